"""Which warehouse is used, and where the embedded one keeps its files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from pipeline.settings import PROJECT, FromEnvironment, in_project


class WarehouseSettings(FromEnvironment):
    """Which warehouse, and where DuckDB keeps its files (``WAREHOUSE_DUCKDB_DIR``)."""

    model_config = SettingsConfigDict(env_prefix="WAREHOUSE_")

    kind: Literal["duckdb", "snowflake"] = "duckdb"
    duckdb_dir: Path = PROJECT / ".local" / "warehouse"
    lock_timeout_seconds: int = Field(default=600, gt=0)

    @property
    def published_file(self) -> Path:
        """Where dashboards and people find the published marts of DuckDB."""
        return self.duckdb_dir / "published" / "ecommerce_analytics.duckdb"

    @field_validator("duckdb_dir")
    @classmethod
    def _same_folder_for_every_process(cls, folder: Path) -> Path:
        return in_project(folder)
