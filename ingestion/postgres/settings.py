"""Settings of the PostgreSQL source."""

from __future__ import annotations

from typing import Literal
from zoneinfo import available_timezones

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict

from pipeline.settings import FromEnvironment
from pipeline.sources import SOURCES


class PostgresSettings(FromEnvironment):
    """The source database.

    Attributes:
        timezone: of the local times in columns without zone (IANA name).
        overlap_minutes: how far a window reaches back behind the watermark.
        blind_overlap_minutes: how much further where the user may not see other sessions'
            transactions, or the source is a replica: no transaction may stay open for longer than
            that.
        max_wait_seconds: for a replica that is behind, or a server whose clock is, to reach the
            upper bound of the day that is loaded.
        max_gone: largest share of a table's rows that may be gone from the source since the load
            before.
        max_reject_ratio: largest share of rows that a load may set aside.
        statement_timeout_seconds: for each statement, the one that reads the whole table included.
        split_rows: a load in parts is split when it has more rows to read than this.
        max_parts: but into no more parts than this.
    """

    model_config = SettingsConfigDict(env_prefix="POSTGRES_")

    host: str
    port: int = 5432
    db: str = "ecommerce_source"
    user: str
    password: SecretStr
    source_schema: str = "public"
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = "prefer"
    connect_timeout_seconds: int = 10
    timezone: str = "UTC"
    overlap_minutes: int = Field(default=60, ge=0)
    blind_overlap_minutes: int = Field(default=24 * 60, ge=0)
    max_wait_seconds: int = Field(default=120, ge=0)
    max_gone: float = Field(default=0.05, ge=0, le=1)
    max_reject_ratio: float = Field(default=0.10, ge=0, le=1)
    statement_timeout_seconds: int = Field(default=3600, gt=0)
    split_rows: int = Field(default=5_000_000, gt=0)
    max_parts: int = Field(default=16, ge=1)

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        if name not in available_timezones():
            raise ValueError(f"{name!r} is no time zone; give an IANA name like Europe/Berlin")
        return name


class SplitSettings(FromEnvironment):
    """Which tables are loaded in parts: ``POSTGRES_SPLIT_TABLES``, separated by commas.

    They are names of PostgreSQL sources. Apart from the other settings because DAG files read it to
    be drawn, without a database at hand.
    """

    model_config = SettingsConfigDict(env_prefix="POSTGRES_")

    split_tables: str = ""

    @field_validator("split_tables")
    @classmethod
    def _are_sources(cls, text: str) -> str:
        known = [source.name for source in SOURCES if source.kind == "postgres"]
        if unknown := sorted(_names(text) - set(known)):
            raise ValueError(
                f"{', '.join(unknown)} is no PostgreSQL source; these are: {', '.join(known)}"
            )
        return text

    def splits(self, source_name: str) -> bool:
        return source_name in _names(self.split_tables)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",")} - {""}
