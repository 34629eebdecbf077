"""A load from a streaming standby waits until it holds the whole day, or fails saying where it is.

A standby with nothing to replay is not behind.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta

import pytest

from ingestion.postgres import load, window
from ingestion.postgres.settings import PostgresSettings
from pipeline.errors import SourceUnavailableError
from pipeline.records import LoadRecord
from sandbox.postgres import EmbeddedPostgres
from sandbox.shop import SCHEMA
from tests.builders.postgres_shop import Shop
from tests.builders.source_database import SourceDatabase
from tests.builders.standby import standby_of
from warehouse.duckdb.warehouse import DuckDBWarehouse

NOW = "select clock_timestamp() at time zone 'utc'"


class Replicated(Shop):
    """A shop whose orders come in at the primary, and are loaded from its standby."""

    def __init__(
        self, primary: EmbeddedPostgres, standby: EmbeddedPostgres, warehouse: DuckDBWarehouse
    ) -> None:
        self.standby = database(standby)
        super().__init__(database(primary), warehouse)

    def load_today(self, monkeypatch: pytest.MonkeyPatch, **settings: object) -> LoadRecord:
        """Load a day that ends now, as if it were 06:00."""
        ((now,),) = self.source.query(NOW)
        for module in (window, load):
            monkeypatch.setattr(module, "upper_bound", lambda day: now)
        chosen = self.standby.settings.model_copy(update={"blind_overlap_minutes": 0, **settings})
        return load.PostgresExtractor(chosen, self.warehouse).extract_table("orders", now.date())


def database(server: EmbeddedPostgres) -> SourceDatabase:
    settings = PostgresSettings(_env_file=None, **server.settings("shop"))  # type: ignore[arg-type]
    return SourceDatabase(settings, server.dsn("shop"))


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[EmbeddedPostgres, EmbeddedPostgres]]:
    folder = tmp_path_factory.mktemp("servers")
    with EmbeddedPostgres(folder / "primary", durable=False) as primary:
        primary.create_database("shop")
        database(primary).execute(SCHEMA)
        with standby_of(primary, folder / "standby") as standby:
            yield primary, standby


@pytest.fixture
def shop(
    servers: tuple[EmbeddedPostgres, EmbeddedPostgres], warehouse: DuckDBWarehouse
) -> Iterator[Replicated]:
    shop = Replicated(*servers, warehouse)
    yield shop
    resume(shop)
    shop.source.execute("truncate orders cascade")


def pause(shop: Replicated) -> None:
    shop.standby.execute("select pg_wal_replay_pause()")
    while shop.standby.query("select pg_get_wal_replay_pause_state()") != [("paused",)]:
        time.sleep(0.05)


def resume(shop: Replicated) -> None:
    shop.standby.execute("select pg_wal_replay_resume()")


def test_a_standby_that_is_behind_is_no_complete_day(
    shop: Replicated, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.order(1)
    assert shop.load_today(monkeypatch).rows_extracted == 1
    pause(shop)
    ((paused_at,),) = shop.source.query(NOW)
    for order_id in range(2, 12):
        shop.order(order_id, str(shop.source.query(NOW)[0][0]))
    with pytest.raises(SourceUnavailableError) as raised:
        shop.load_today(monkeypatch, max_wait_seconds=1)
    said = str(raised.value)
    assert "The replica 'shop' on 127.0.0.1:" in said and "its replay is paused" in said
    assert f"stands at {paused_at:%Y-%m-%d %H:}" in said and "Nothing was loaded" in said
    assert "after 1 seconds of waiting (POSTGRES_MAX_WAIT_SECONDS)" in said
    assert shop.statuses().keys() == {1}

    resume(shop)
    record = shop.load_today(monkeypatch, max_wait_seconds=60)
    assert shop.statuses().keys() == set(range(1, 12))
    assert record.watermark == record.window.end, "the standby held everything up to its end"


def test_an_idle_primary_is_not_stuck(shop: Replicated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was committed for hours: the newest commit that was replayed says nothing."""
    shop.order(1)
    time.sleep(2)  # long enough for the standby to have nothing left to replay
    replayed_at = shop.standby.query(
        "select pg_last_xact_replay_timestamp() at time zone 'utc', " + NOW.removeprefix("select ")
    )[0]
    assert replayed_at[1] - replayed_at[0] > timedelta(seconds=1)
    record = shop.load_today(monkeypatch, max_wait_seconds=60)
    assert record.watermark == record.window.end and shop.statuses().keys() == {1}


def test_a_role_that_sees_nothing_of_the_receiver_trusts_what_was_received(
    shop: Replicated, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydantic import SecretStr

    shop.source.execute(
        "create role narrow login password 'narrow'; grant select on orders to narrow"
    )
    try:
        shop.order(1)
        time.sleep(1)
        role = {"user": "narrow", "password": SecretStr("narrow")}
        assert shop.load_today(monkeypatch, max_wait_seconds=60, **role).rows_extracted == 1
        pause(shop)
        shop.order(2)
        time.sleep(1)
        with pytest.raises(SourceUnavailableError, match="its replay is paused"):
            shop.load_today(monkeypatch, max_wait_seconds=0, **role)
    finally:
        resume(shop)
        shop.source.execute("drop owned by narrow; drop role narrow")
