"""A source that refuses, is gone or breaks off: a sentence, nothing half-loaded, a good retry."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from ingestion.postgres.load import PostgresExtractor
from ingestion.postgres.settings import PostgresSettings
from pipeline.contracts import RawTable
from pipeline.errors import (
    CredentialsError,
    MissingInputError,
    SourceUnavailableError,
    TooManyRejectsError,
)
from pipeline.sources import ORDERS
from sandbox.postgres import EmbeddedPostgres
from sandbox.shop import SCHEMA
from tests.builders.postgres_shop import DAY, Shop
from warehouse import Load

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

SECRET = "hunter2-and-more"


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    return Shop(source_db, warehouse)


def test_a_wrong_password_is_told_without_the_password(shop: Shop) -> None:
    with pytest.raises(CredentialsError, match="POSTGRES_PASSWORD") as refused:
        shop.extractor(password=SecretStr(SECRET)).extract_table("orders", DAY)
    assert SECRET not in str(refused.value) and SECRET not in repr(refused.value.__cause__)


def test_an_unknown_user_is_told(shop: Shop) -> None:
    with pytest.raises(CredentialsError, match="'nobody'"):
        shop.extractor(user="nobody", password=SecretStr(SECRET)).extract_table("orders", DAY)


def test_a_missing_database_is_told(shop: Shop) -> None:
    with pytest.raises(MissingInputError, match=r"no database 'elsewhere'.*POSTGRES_DB"):
        shop.extractor(db="elsewhere").extract_table("orders", DAY)


def test_a_missing_schema_is_told(shop: Shop) -> None:
    with pytest.raises(MissingInputError, match=r"sales\.orders.*POSTGRES_SOURCE_SCHEMA"):
        shop.extractor(source_schema="sales").extract_table("orders", DAY)


def test_a_host_that_does_not_listen_is_a_passing_error(shop: Shop) -> None:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(SourceUnavailableError, match=f"127.0.0.1:{port}"):
            shop.extractor(port=port).extract_table("orders", DAY)


def test_a_host_that_accepts_and_says_nothing_is_given_up(shop: Shop) -> None:
    with closing(socket.socket()) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with pytest.raises(SourceUnavailableError):
            shop.extractor(port=silent.getsockname()[1], connect_timeout_seconds=2).extract_table(
                "orders", DAY
            )


def test_a_host_name_nobody_knows_is_a_passing_error(shop: Shop) -> None:
    with pytest.raises(SourceUnavailableError, match=r"no-such-host\.invalid"):
        shop.extractor(host="no-such-host.invalid").extract_table("orders", DAY)


def test_a_statement_over_its_time_is_broken_off(shop: Shop) -> None:
    shop.source.execute("alter table orders rename to stored")
    shop.source.execute("create view orders as select stored.* from stored, pg_sleep(30)")
    shop.source.execute(
        "insert into stored (order_id, order_date, status, total_amount) values (1, '2026-03-01', "
        "'x', 1)"
    )
    with pytest.raises(SourceUnavailableError, match="POSTGRES_STATEMENT_TIMEOUT_SECONDS"):
        shop.extractor(statement_timeout_seconds=1).extract_table("orders", DAY)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A server of its own, to be restarted."""
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        yield server


@pytest.mark.slow
def test_a_server_restarted_in_mid_copy_loses_nothing(
    server: EmbeddedPostgres, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.builders.source_database import SourceDatabase

    server.create_database("restarted")
    settings = PostgresSettings(_env_file=None, **server.settings("restarted"))  # type: ignore[arg-type]
    shop = Shop(SourceDatabase(settings, server.dsn("restarted")), warehouse)
    shop.source.execute(SCHEMA)
    shop.source.execute(
        "insert into orders (order_id, order_date, status, total_amount, shipping_address, "
        "created_at, updated_at) "
        "select i, '2026-03-01', 'pending', i, repeat('x', 450), '2026-03-01', '2026-03-01' from "
        "generate_series(1, 120000) i"
    )
    stage = Load.stage

    def restarting(
        self: Load, table: RawTable, batches: Iterable[pa.RecordBatch], **options: Any
    ) -> int:
        rows = iter(batches)
        first = next(rows)
        server.stop()
        server.start()
        return stage(self, table, chain([first], rows), **options)

    with monkeypatch.context() as patched:
        patched.setattr(Load, "stage", restarting)
        with pytest.raises(SourceUnavailableError, match=r"public\.orders"):
            PostgresExtractor(settings, warehouse).extract_table("orders", DAY)
    assert warehouse.raw_columns(ORDERS) == ()
    assert warehouse.load_records(DAY) == ()
    shop = Shop(
        SourceDatabase(settings.model_copy(update={"port": server.port}), server.dsn("restarted")),
        warehouse,
    )
    shop.load()
    shop.assert_equal()


def test_a_table_that_is_being_rebuilt_is_never_read_as_empty(shop: Shop) -> None:
    """A rewrite is not seen by older snapshots: they would find no rows.

    The load waits for its end instead.
    """
    for order_id in range(1, 20):
        shop.order(order_id)
    with closing(shop.source.connect()) as rebuilding, rebuilding.cursor() as cursor:
        cursor.execute(
            "alter table orders alter column shipping_city type text using shipping_city || ''"
        )
        loading = threading.Thread(target=shop.load)
        loading.start()
        while not shop.source.query(
            "select 1 from pg_locks where not granted and relation = 'orders'::regclass"
        ):
            loading.join(0.05)
        rebuilding.commit()
        loading.join()
    shop.assert_equal()


def test_a_failed_load_leaves_the_warehouse_as_it_was(shop: Shop) -> None:
    shop.order(1)
    shop.load()
    before = shop.raw()
    shop.source.execute(
        "insert into orders (order_id, order_date, status, total_amount, shipping_address, "
        "created_at, updated_at) "
        "select i, case when i % 5 = 0 then 'infinity'::timestamp else '2026-03-10' end, 'new', 1, "
        "repeat('x', 400), "
        "'2026-03-10 05:00', '2026-03-10 05:00' from generate_series(2, 50000) i"
    )
    with pytest.raises(TooManyRejectsError, match="order_date"):
        shop.load()
    assert shop.raw() == before
    shop.source.execute("update orders set order_date = '2026-03-10' where order_date = 'infinity'")
    shop.load()
    shop.assert_equal()
