"""Where the dbt project is and how dbt runs, from ``DBT_...`` variables (the names dbt's own
command line reads too).
"""

from __future__ import annotations

from pathlib import Path

import yaml  # type: ignore[import-untyped]
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from pipeline.settings import PROJECT, FromEnvironment


class TransformSettings(FromEnvironment):
    """``DBT_TARGET_PATH`` and ``DBT_LOG_PATH`` move what dbt writes out of the project, for example
    where it is read-only.
    """

    model_config = SettingsConfigDict(env_prefix="DBT_")

    project_dir: Path = PROJECT / "dbt_ecommerce"
    profiles_dir: Path | None = None  # default: the project's folder
    target_path: Path | None = None  # default: target/ in the project's folder
    log_path: Path | None = None  # default: logs/ in the project's folder
    # A folder or fsspec address for the documentation; default: docs/ beside the published marts.
    docs_path: str | None = None
    threads: int = Field(default=4, ge=1)
    # What DuckDB takes of memory while dbt runs; the rest goes to disk, beside its file.
    duckdb_memory: str = "2GB"
    keep_publications: int = Field(
        default=3, ge=1
    )  # the current one and those that `rollback` can bring back

    @property
    def shop_currency(self) -> str:
        """The shop's own currency, which the marts' amounts are in, such as ``USD``."""
        declared = yaml.safe_load((self.project_dir / "dbt_project.yml").read_text())
        return str(declared["vars"]["shop_currency"]).upper()

    @property
    def target(self) -> Path:
        return self.target_path or self.project_dir / "target"

    @property
    def logs(self) -> Path:
        return self.log_path or self.project_dir / "logs"
