"""Settings of the CSV inbox."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from pipeline.settings import FromEnvironment, in_project


class CsvSettings(FromEnvironment):
    """The CSV inbox: a folder or any fsspec address. ``CSV_MAX_REJECT_RATIO``: share of bad rows
    from which nothing loads.
    """

    model_config = SettingsConfigDict(env_prefix="CSV_")

    inbox: str = Field(repr=False)  # an address can hold a password
    max_reject_ratio: float = Field(default=0.10, ge=0, le=1)

    @field_validator("inbox")
    @classmethod
    def _same_folder_for_every_process(cls, inbox: str) -> str:
        return inbox if "://" in inbox or "::" in inbox else str(in_project(Path(inbox)))
