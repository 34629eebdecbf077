"""Settings, typed and checked, from the environment and `.env`; built once, on first use.

The environment wins over the file. The file is `.env` in the project's folder, or the one ``ECOMMERCE_ENV_FILE`` names;
without either, the file that a running sandbox wrote, so that shell commands work beside `make demo`.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime, time
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingestion.errors import SettingsError
from ingestion.sources import SOURCES

PROJECT = Path(__file__).resolve().parent.parent
SANDBOX_ENV_FILE = PROJECT / ".local" / "sandbox.env"


def in_project(path: Path) -> Path:
    """A relative path is one in the project, whatever folder the process runs in: tasks and shells share their settings."""
    return PROJECT / path.expanduser()


class _FromEnvironment(BaseSettings):
    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)


class ScheduleSettings(_FromEnvironment):
    """When the pipeline runs, times in UTC.

    Attributes:
        run_at: HH:MM at which the six loads of the current day are started. What a day holds does not depend on it: all
            sources are cut at 06:00 UTC of the day, so a time before 06:00 loads the day that began at 06:00 the day before.
        start_date: from which day on the schedules count. With a day in the past, a new installation runs the current day.
    """

    model_config = SettingsConfigDict(env_prefix="PIPELINE_")

    run_at: str = "06:00"
    start_date: str = "2026-01-01"

    @field_validator("run_at")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
            raise ValueError(f"{text!r} is no time of the day; give it as HH:MM in UTC, for example 06:00")
        return text

    @field_validator("start_date")
    @classmethod
    def _is_a_day(cls, text: str) -> str:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no day; give it as YYYY-MM-DD") from None
        return text

    @property
    def time_to_run(self) -> time:
        return time.fromisoformat(self.run_at)

    @property
    def first_moment(self) -> datetime:
        """Midnight UTC of ``start_date``, with its zone."""
        return datetime.combine(date.fromisoformat(self.start_date), time(), UTC)


class PostgresSettings(_FromEnvironment):
    """The source database.

    Attributes:
        overlap_minutes: how far a window reaches back behind the watermark.
        blind_overlap_minutes: how much further where the user may not see other sessions' transactions, or the source is
            a replica: no transaction may stay open for longer than that.
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
    sslmode: str = "prefer"
    connect_timeout_seconds: int = 10
    overlap_minutes: int = Field(default=60, ge=0)
    blind_overlap_minutes: int = Field(default=24 * 60, ge=0)
    statement_timeout_seconds: int = Field(default=3600, gt=0)
    split_rows: int = Field(default=5_000_000, gt=0)
    max_parts: int = Field(default=16, ge=1)


class SplitSettings(_FromEnvironment):
    """Which tables are loaded in parts, by tasks of their own (``POSTGRES_SPLIT_TABLES``): names of PostgreSQL sources,
    separated by commas. Apart from the others because DAG files read it to be drawn, without a database at hand."""

    model_config = SettingsConfigDict(env_prefix="POSTGRES_")

    split_tables: str = ""

    @field_validator("split_tables")
    @classmethod
    def _are_sources(cls, text: str) -> str:
        known = [source.name for source in SOURCES if source.kind == "postgres"]
        if unknown := sorted(_names(text) - set(known)):
            raise ValueError(f"{', '.join(unknown)} is no PostgreSQL source; these are: {', '.join(known)}")
        return text

    def splits(self, source_name: str) -> bool:
        return source_name in _names(self.split_tables)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",")} - {""}


WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class StripeSettings(_FromEnvironment):
    """Stripe. ``STRIPE_API_BASE`` points at the emulator in the sandbox.

    Attributes:
        max_requests_per_second: Stripe allows 100 in live mode and 25 in test mode, shared by all users of the account.
        parallel_windows: how many requests are under way at a time.
        max_retries: further tries of one request before the load fails.
        relist_days: how far back a re-list reaches, for changes that no event told of.
        relist_weekday: whose loads re-list in any case; ``never``: only when the cursor is older than Stripe's events.
        reconcile_days: how far back a reconciliation compares; 0: everything there ever was.
    """

    model_config = SettingsConfigDict(env_prefix="STRIPE_")

    api_key: SecretStr
    api_base: str = "https://api.stripe.com"
    overlap_minutes: int = Field(default=60, ge=0)
    max_requests_per_second: float = Field(default=80, gt=0)
    parallel_windows: int = Field(default=4, ge=1, le=32)
    max_retries: int = Field(default=6, ge=0)
    timeout_seconds: float = Field(default=60, gt=0)
    relist_days: int = Field(default=180, ge=0)
    relist_weekday: Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "never"] = "sunday"
    reconcile_days: int = Field(default=400, ge=0)


class CsvSettings(_FromEnvironment):
    """The CSV inbox: a folder or any fsspec address. ``CSV_MAX_REJECT_RATIO``: share of bad rows from which nothing loads."""

    model_config = SettingsConfigDict(env_prefix="CSV_")

    inbox: str = Field(repr=False)  # an address can hold a password
    max_reject_ratio: float = Field(default=0.10, ge=0, le=1)

    @field_validator("inbox")
    @classmethod
    def _same_folder_for_every_process(cls, inbox: str) -> str:
        return inbox if "://" in inbox or "::" in inbox else str(in_project(Path(inbox)))


class WarehouseSettings(_FromEnvironment):
    """Which warehouse, and where DuckDB keeps its files (``WAREHOUSE_DUCKDB_DIR``)."""

    model_config = SettingsConfigDict(env_prefix="WAREHOUSE_")

    kind: Literal["duckdb", "snowflake"] = "duckdb"
    duckdb_dir: Path = PROJECT / ".local" / "warehouse"
    lock_timeout_seconds: int = Field(default=600, gt=0)

    @field_validator("duckdb_dir")
    @classmethod
    def _same_folder_for_every_process(cls, folder: Path) -> Path:
        return in_project(folder)


class SnowflakeSettings(_FromEnvironment):
    """The Snowflake account, for the loader and dbt alike. Signs in with what is set, in this order: a key pair
    (``SNOWFLAKE_PRIVATE_KEY_FILE`` or, in the environment, ``SNOWFLAKE_PRIVATE_KEY``), a programmatic access token, a password.

    Attributes:
        private_key: the key as PEM, or its Base64 body alone, for places without files.
        private_key_file_pwd: the passphrase of the key, wherever it comes from.
        transform_user: who dbt signs in as, with the same key; default: ``user``.
        marts_warehouse: where dbt builds the marts; default: ``transform_warehouse``, where it does everything else.
        host, port, protocol: only for private links and test servers; the connector finds the others by the account.
        name_prefix: put before the name of each database, role and warehouse, for a second environment in one account.
        part_mb: compressed size of one staged Parquet file, in MiB. Snowflake advises 100 to 250 at most.
        parallel_uploads: how many files are uploaded at a time, each over a connection of its own.
        network_timeout_seconds: after it the connector gives up sending a request again; statements may run for longer.
        max_tries: of each operation, where the error is a passing one.
    """

    model_config = SettingsConfigDict(env_prefix="SNOWFLAKE_")

    account: str
    user: str
    private_key_file: Path | None = None
    private_key: SecretStr | None = None
    private_key_file_pwd: SecretStr | None = None
    token: SecretStr | None = None
    password: SecretStr | None = None
    transform_user: str | None = None
    load_role: str = "LOADER"
    load_warehouse: str = "LOADING_WH"
    transform_role: str = "TRANSFORMER"
    transform_warehouse: str = "TRANSFORMING_WH"
    marts_warehouse: str | None = None
    name_prefix: str = Field(default="", pattern=r"^[A-Za-z0-9_]*$")
    host: str | None = None
    port: int | None = None
    protocol: Literal["https", "http"] = "https"
    staging_dir: Path = PROJECT / ".local" / "staged"
    part_mb: int = Field(default=64, ge=1, le=1024)
    parallel_uploads: int = Field(default=4, ge=1, le=16)
    login_timeout_seconds: int = Field(default=30, gt=0)
    network_timeout_seconds: int = Field(default=120, gt=0)
    statement_timeout_seconds: int = Field(default=3600, gt=0)
    max_tries: int = Field(default=4, ge=1)

    @field_validator("staging_dir", "private_key_file")
    @classmethod
    def _same_path_for_every_process(cls, path: Path | None) -> Path | None:
        return in_project(path) if path else None

    @field_validator("account")
    @classmethod
    def _is_no_address(cls, account: str) -> str:
        if "://" in account or account.endswith(".snowflakecomputing.com"):
            raise ValueError("give the account's identifier alone, such as MYORG-MYACCOUNT, not an address")
        return account

    def named(self, name: str) -> str:
        """The name of a database, role or warehouse in this environment."""
        return f"{self.name_prefix}{name}".upper()


Model = TypeVar("Model", bound=_FromEnvironment)


def env_file() -> Path | None:
    """The file settings are read from, whether or not the one that was named is there."""
    named = os.environ.get("ECOMMERCE_ENV_FILE")
    if named:
        return Path(named)
    for candidate in (PROJECT / ".env", SANDBOX_ENV_FILE):
        if candidate.exists():
            return candidate
    return None


def _variable(model: type[_FromEnvironment], name: str) -> str:
    return f"{model.model_config.get('env_prefix', '')}{name}".upper()


@cache
def settings(model: type[Model]) -> Model:
    """The settings of one kind, read on first use; ``SettingsError`` names each variable that is missing or wrong.

    ``settings.cache_clear()`` makes the next call read again.
    """
    file = env_file()
    if file and (file.is_dir() or not file.exists()):
        raise SettingsError(f"ECOMMERCE_ENV_FILE names {file}, which is no file. Correct it or unset it.")
    try:
        return model(_env_file=file)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"The settings file {file} cannot be read: {reason}.") from None
    except ValidationError as error:
        problems = []
        for problem in error.errors(include_input=False):
            variable = _variable(model, str(problem["loc"][0])) if problem["loc"] else model.__name__
            missing = problem["type"] == "missing"
            problems.append(f"{variable} is not set" if missing else f"{variable}: {problem['msg']}")
        raise SettingsError(f"{'; '.join(problems)}. Set it in the environment or in .env (see .env.example).") from None
