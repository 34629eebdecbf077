"""Settings of the CSV inbox."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from ingestion.csv_uploads.contract import LAYOUTS
from pipeline.settings import FromEnvironment, in_project


class CsvSettings(FromEnvironment):
    """The CSV inbox: a folder or any fsspec address.

    Attributes:
        max_reject_ratio: share of a file's rows that may be bad; a worse file is refused.
        max_spend_ratio: a campaign's spend of a day above so many times its usual one is set aside.
        late_after_minutes: after the start of the day's loads; files that are not there then are
            late, and an alert names them.
        layouts: JSON: by name, the header that an export has for each column, or ``=TEXT`` for a
            column whose value all its rows share. They are tried before those that ship.
    """

    model_config = SettingsConfigDict(env_prefix="CSV_")

    inbox: str = Field(repr=False)  # an address can hold a password
    max_reject_ratio: float = Field(default=0.10, ge=0, le=1)
    max_spend_ratio: float = Field(default=100, gt=1)
    late_after_minutes: float = Field(default=8, ge=0)
    layouts: dict[str, dict[str, str]] = Field(default={})

    @field_validator("inbox")
    @classmethod
    def _same_folder_for_every_process(cls, inbox: str) -> str:
        return inbox if "://" in inbox or "::" in inbox else str(in_project(Path(inbox)))

    @property
    def all_layouts(self) -> dict[str, dict[str, str]]:
        return {**self.layouts, **{k: dict(v) for k, v in LAYOUTS.items() if k not in self.layouts}}
