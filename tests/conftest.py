"""What many tests share: PostgreSQL with an empty shop, Stripe emulator, Slack inbox, warehouse."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings as hypothesis_settings

from ingestion.postgres.settings import PostgresSettings
from sandbox.postgres import EmbeddedPostgres
from sandbox.shop import SCHEMA
from tests.builders.chance import EVERYDAY_SEED, LONG
from tests.builders.source_database import SourceDatabase
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from sandbox.slack_inbox import SlackInbox
    from sandbox.stripe_emulator import StripeEmulator
    from tests.builders.object_store import S3Double
    from tests.snowflake_double.server import FakeAccount
    from warehouse.duckdb.warehouse import DuckDBWarehouse
    from warehouse.snowflake.warehouse import SnowflakeWarehouse


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """One seed for everything that is left to chance; ``--hypothesis-seed`` gives it."""
    hypothesis_settings.register_profile("many", max_examples=2_000)
    if LONG:
        hypothesis_settings.load_profile("many")
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = random.randrange(10**6) if LONG else EVERYDAY_SEED


def pytest_report_header(config: pytest.Config) -> str:
    return f"--hypothesis-seed={config.option.hypothesis_seed}" + (" (many examples)" * LONG)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """The seed for a test that draws its chances itself."""
    return int(request.config.option.hypothesis_seed)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL server, one per test process."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False) as server:
        yield server


@pytest.fixture
def source_db(postgres: EmbeddedPostgres) -> Iterator[SourceDatabase]:
    """A fresh database with the shop's four empty tables."""
    name = f"source_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    info = postgres.settings(name)
    database = SourceDatabase(PostgresSettings(_env_file=None, **info), postgres.dsn(name))  # type: ignore[arg-type]
    database.execute(SCHEMA)
    yield database
    postgres.drop_database(name)


@pytest.fixture
def stripe_emulator(tmp_path: Path) -> Iterator[StripeEmulator]:
    """A running Stripe emulator without any objects."""
    from sandbox.stripe_emulator import StripeEmulator

    emulator = StripeEmulator(store=tmp_path / "stripe")
    emulator.start()
    yield emulator
    emulator.stop()


@pytest.fixture
def slack_inbox(tmp_path: Path) -> Iterator[SlackInbox]:
    """A running Slack inbox without any messages."""
    from sandbox.slack_inbox import SlackInbox

    inbox = SlackInbox(store=tmp_path / "slack")
    inbox.start()
    yield inbox
    inbox.stop()


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    """An empty DuckDB warehouse."""
    from warehouse.duckdb.warehouse import DuckDBWarehouse

    return DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=tmp_path / "warehouse"))


@pytest.fixture(scope="session")
def fake_snowflake() -> Iterator[FakeAccount]:
    """A Snowflake account on fakesnow, one per test process."""
    from tests.snowflake_double.server import fake_account

    with fake_account() as account:
        yield account


@pytest.fixture
def snowflake_warehouse(fake_snowflake: FakeAccount, tmp_path: Path) -> SnowflakeWarehouse:
    """An empty Snowflake warehouse on that account."""
    from warehouse.snowflake.settings import SnowflakeSettings
    from warehouse.snowflake.warehouse import SnowflakeWarehouse

    fake_snowflake.reset()
    return SnowflakeWarehouse(
        SnowflakeSettings(
            _env_file=None,
            account="fakesnow",
            user="loader",
            password="Fake-Pass-4711",
            host="127.0.0.1",
            port=fake_snowflake.port,
            protocol="http",
            staging_dir=tmp_path / "staged",
            network_timeout_seconds=5,
            max_tries=1,
        )
    )


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Double]:
    """An empty bucket that boto3 and fsspec of this process reach."""
    from s3fs import S3FileSystem

    from tests.builders.object_store import s3_double

    with s3_double() as double:
        for name, value in double.environment.items():
            monkeypatch.setenv(name, value)
        S3FileSystem.clear_instance_cache()  # it would keep the address of an earlier double
        yield double
    S3FileSystem.clear_instance_cache()
