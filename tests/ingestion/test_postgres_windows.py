"""What a load of a PostgreSQL table reads: nothing lost or doubled, whatever else goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg2
import pytest

from ingestion.postgres import load, window
from pipeline.errors import SourceUnavailableError
from pipeline.records import Window
from pipeline.sources import ORDER_ITEMS
from tests.builders.postgres_shop import DAY, NEXT_DAY, Shop, moment

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    return Shop(source_db, warehouse)


@pytest.fixture
def narrow_role(shop: Shop) -> Iterator[str]:
    """A user who may read the tables and nothing else."""
    name = "reader_" + shop.source.settings.db[-8:]
    shop.source.execute(f"create role {name} login password 'narrow'")
    shop.source.execute(
        f"grant usage on schema public to {name}; grant select on all tables in schema public to "
        f"{name}"
    )
    yield name
    shop.source.execute(f"drop owned by {name}; drop role {name}")


@pytest.fixture
def ends_now(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Callable[..., datetime]:
    """Lets days end now, or that much later, instead of at 06:00: call it before a load."""

    def cut(later: timedelta = timedelta()) -> datetime:
        ((now,),) = shop.source.query("select clock_timestamp() at time zone 'utc'")
        for module in (window, load):
            monkeypatch.setattr(module, "upper_bound", lambda day: now + later)
        return now + later  # type: ignore[no-any-return]

    return cut


def test_a_first_load_takes_everything_up_to_six_in_the_morning_of_the_day(shop: Shop) -> None:
    shop.order(1, "2020-01-01 00:00:00")
    shop.order(2, "2026-03-10 06:00:00")
    shop.order(3, "2026-03-10 06:00:00.000001")
    record = shop.load()
    assert shop.statuses().keys() == {1, 2}
    assert record.window == Window(None, moment("2026-03-10 06:00:00"))
    assert record.watermark == moment("2026-03-10 06:00:00")


def test_the_next_load_reads_from_the_watermark_less_the_overlap(shop: Shop) -> None:
    shop.order(1)
    shop.load()
    shop.order(2, "2026-03-10 12:00:00")
    shop.change(1, "paid", "2026-03-11 05:59:59")
    record = shop.load(NEXT_DAY)
    assert record.window == Window(moment("2026-03-10 05:00:00"), moment("2026-03-11 06:00:00"))
    assert (record.tables[0].inserted, record.tables[0].updated, record.tables[0].unchanged) == (
        1,
        1,
        0,
    )
    shop.assert_equal()


def test_a_first_load_ends_with_its_own_day_whatever_is_loaded_beside_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two days of a new source begin at once; the later commits while the earlier looks around."""
    shop.order(1)
    shop.order(2, "2026-03-10 12:00:00")
    asked: list[str] = []

    def interrupted(name: str) -> Callable[..., Any]:
        question = getattr(shop.warehouse, name)

        def ask(*arguments: Any) -> Any:
            asked.append(name)
            if len(asked) == 2:  # between the two questions, in whatever order they are asked
                monkeypatch.undo()
                shop.load(NEXT_DAY)
            return question(*arguments)

        return ask

    for name in ("watermark", "raw_columns"):
        monkeypatch.setattr(shop.warehouse, name, interrupted(name))
    record = shop.load(DAY)
    assert sorted(asked) == ["raw_columns", "watermark"]
    assert record.window == Window(None, moment("2026-03-10 06:00:00"))
    assert record.watermark == moment("2026-03-11 06:00:00")
    shop.assert_equal()


def test_a_late_commit_is_not_lost(shop: Shop, ends_now: Callable[..., datetime]) -> None:
    """A transaction opened before 06:00 commits behind the extraction's upper bound."""
    shop.order(1, "2020-01-01 00:00:00")
    with closing(shop.source.connect()) as late, late.cursor() as cursor:
        cursor.execute(
            "insert into orders (order_id, order_date, status, total_amount) values (2, now(), "
            "'late', 5) returning updated_at"
        )
        (changed_at,) = cursor.fetchone()  # type: ignore[misc]
        assert ends_now() > changed_at
        record = shop.load()
        assert record.watermark is not None and record.watermark <= changed_at
        late.commit()
    assert shop.statuses() == {1: "pending"}
    ends_now()
    shop.load(NEXT_DAY)
    assert shop.statuses() == {1: "pending", 2: "late"}


def test_the_watermark_waits_for_a_transaction_that_was_open_far_longer_than_the_overlap(
    shop: Shop, ends_now: Callable[..., datetime]
) -> None:
    shop.order(1)
    with closing(shop.source.connect()) as open_one, open_one.cursor() as cursor:
        cursor.execute("select now() at time zone 'utc'")  # has not written yet, but still may
        (began,) = cursor.fetchone()  # type: ignore[misc]
        ends_now()
        assert shop.load().watermark == began
    ends_now()
    assert shop.load(NEXT_DAY).watermark > began  # type: ignore[operator]


def test_the_watermark_waits_for_a_prepared_transaction(
    shop: Shop, postgres: object, ends_now: Callable[..., datetime]
) -> None:
    if shop.source.query("show max_prepared_transactions")[0][0] == "0":
        with closing(shop.source.connect()) as connection:
            connection.autocommit = True
            connection.cursor().execute("alter system set max_prepared_transactions to 5")
        postgres.stop()  # type: ignore[attr-defined]
        postgres.start()  # type: ignore[attr-defined]
    shop.order(1)
    with closing(shop.source.connect()) as connection, connection.cursor() as cursor:
        connection.tpc_begin(connection.xid(1, "shop", "late"))
        cursor.execute(
            "insert into orders (order_id, order_date, status, total_amount) values (2, now(), "
            "'prepared', 5)"
        )
        connection.tpc_prepare()
        connection.reset()
        prepared = shop.source.query("select prepared at time zone 'utc' from pg_prepared_xacts")[
            0
        ][0]
        ends_now()
        assert shop.load().watermark == prepared - timedelta(
            minutes=shop.source.settings.blind_overlap_minutes
        )
        connection.tpc_commit(connection.xid(1, "shop", "late"))
    ends_now()
    shop.load(NEXT_DAY)
    shop.assert_equal()


def test_a_day_that_has_not_come_by_the_servers_clock_is_awaited(
    shop: Shop, ends_now: Callable[..., datetime], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's clock may be ahead: it says that the day is there."""
    shop.order(1)
    soon = ends_now(timedelta(seconds=1.5))
    assert shop.load().window.end == soon
    ((now,),) = shop.source.query("select clock_timestamp() at time zone 'utc'")
    assert now > soon
    monkeypatch.undo()
    tomorrow = now.date() + timedelta(days=1)
    with pytest.raises(SourceUnavailableError, match="there the day has not come yet") as raised:
        shop.extractor(max_wait_seconds=0).extract_table("orders", tomorrow)
    assert f"before 06:00 UTC of {tomorrow}" in str(raised.value)
    assert "POSTGRES_MAX_WAIT_SECONDS" in str(raised.value)
    assert shop.warehouse.load_records(tomorrow) == ()


def test_where_other_sessions_are_hidden_the_window_reaches_further_back_and_one_warning_is_given(
    shop: Shop, narrow_role: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pydantic import SecretStr

    monkeypatch.setattr(window, "_warned", set())
    extractor = shop.extractor(
        user=narrow_role, password=SecretStr("narrow"), blind_overlap_minutes=600
    )
    shop.order(1)
    with caplog.at_level(logging.WARNING):
        first = extractor.extract_table("orders", DAY)
        second = extractor.extract_table("orders", NEXT_DAY)
    assert first.watermark == moment("2026-03-09 20:00:00")
    assert second.window.start == moment("2026-03-09 19:00:00")
    warnings = [
        record.getMessage() for record in caplog.records if "cannot be seen" in record.getMessage()
    ]
    assert len(warnings) == 1
    assert (
        "pg_read_all_stats" in warnings[0]
        and "POSTGRES_BLIND_OVERLAP_MINUTES" in warnings[0]
        and "narrow'" not in warnings[0]
    )


def test_a_hidden_transaction_that_commits_late_is_not_lost(shop: Shop, narrow_role: str) -> None:
    from pydantic import SecretStr

    extractor = shop.extractor(
        user=narrow_role, password=SecretStr("narrow"), blind_overlap_minutes=600
    )
    shop.order(1)
    extractor.extract_table("orders", DAY)
    # Seen now only, nine hours behind the end of the first window.
    shop.order(2, "2026-03-09 20:30:00")
    extractor.extract_table("orders", NEXT_DAY)
    shop.assert_equal()


def test_a_row_born_in_the_window_and_touched_after_it_is_taken_as_it_is_now(shop: Shop) -> None:
    shop.order(1, "2026-03-01 00:00:00")
    shop.load(date(2026, 3, 9))
    shop.order(2, "2026-03-10 05:59:00")
    shop.change(2, "paid", "2026-03-10 06:00:05")
    shop.load()
    assert shop.statuses() == {1: "pending", 2: "paid"}
    shop.load(NEXT_DAY)
    shop.assert_equal()


def test_rows_without_a_version_are_never_lost(shop: Shop) -> None:
    shop.order(1, "2026-03-01 00:00:00", None)
    shop.order(2, None, None)
    shop.load()
    assert shop.statuses().keys() == {1, 2}
    shop.source.execute("update orders set status = 'paid' where order_id = 1")
    shop.order(3, "2026-01-01 00:00:00", None)
    shop.order(4, "2026-03-11 07:00:00", None)
    shop.load(NEXT_DAY)
    assert shop.statuses() == {1: "paid", 2: "pending", 3: "pending"}


def test_loading_the_same_day_five_times_changes_nothing(shop: Shop) -> None:
    for order_id in range(1, 40):
        shop.order(order_id)
    shop.load()
    before = shop.raw()
    for _ in range(4):
        record = shop.load()
        assert (record.tables[0].inserted, record.tables[0].updated) == (0, 0)
    assert shop.raw() == before
    shop.assert_equal()


def test_days_loaded_in_reverse_end_in_the_sources_state(shop: Shop) -> None:
    days = [DAY + timedelta(days=number) for number in range(4)]
    for number, day in enumerate(days):
        shop.order(number, f"{day} 03:00:00")
        shop.change(0, f"step {number}", f"{day} 04:00:00")
    for day in reversed(days):
        shop.load(day)
    shop.assert_equal()


def test_an_old_day_loaded_again_reads_that_day_again_and_moves_no_watermark_back(
    shop: Shop,
) -> None:
    shop.order(1, "2026-03-01 00:00:00")
    for number in range(3):
        shop.load(DAY + timedelta(days=number))
    shop.source.execute(
        "update orders set status = 'forgotten', updated_at = '2026-03-10 03:00:00' where order_id "
        "= 1"
    )
    record = shop.load(DAY)
    assert record.window == Window(moment("2026-03-09 05:00:00"), moment("2026-03-10 06:00:00"))
    assert record.watermark == moment("2026-03-12 06:00:00")
    shop.assert_equal()


def test_rows_updated_while_they_are_extracted_are_read_as_of_one_instant(shop: Shop) -> None:
    """Each update moves an amount between two orders: every consistent read has the same total."""
    count = 20_000
    shop.source.execute(
        "insert into orders (order_id, order_date, status, total_amount, shipping_address, "
        "created_at, updated_at) "
        "select i, '2026-03-01', 'pending', 100, repeat('x', 400), '2026-03-01', '2026-03-01' from "
        "generate_series(1, %s) i",
        (count,),
    )
    stop = threading.Event()

    def shuffle() -> None:
        with closing(shop.source.connect()) as connection, connection.cursor() as cursor:
            step = 0
            while not stop.is_set():
                step += 1
                cursor.execute(
                    "update orders set total_amount = total_amount + case when order_id = %(a)s "
                    "then 1 else -1 end, "
                    "updated_at = '2026-03-10 05:30' where order_id in (%(a)s, %(b)s)",
                    {"a": step * 7919 % count + 1, "b": (step * 104729 + count // 2) % count + 1},
                )
                connection.commit() if cursor.rowcount == 2 else connection.rollback()

    writer = threading.Thread(target=shuffle)
    writer.start()
    try:
        totals = set()
        for _ in range(4):
            shop.load()
            totals.add(
                shop.warehouse.query("select sum(total_amount) from postgres.raw_orders")[0][0]
            )
    finally:
        stop.set()
        writer.join()
    assert {int(total) for total in totals} == {100 * count}
    shop.load()
    shop.assert_equal()


def test_a_column_with_time_zone_is_read_as_utc(shop: Shop) -> None:
    shop.order(1, "2026-03-10 04:00:00")
    shop.source.execute(
        "alter table orders alter updated_at type timestamptz using updated_at at time zone 'UTC'"
    )
    shop.load()
    shop.source.execute(
        "insert into orders (order_id, order_date, status, total_amount, created_at, updated_at) "
        "values (2, now(), 'zoned', 1, '2026-03-10 23:30:00', '2026-03-11 01:30:00.000001+02')"
    )
    shop.load(NEXT_DAY)
    assert shop.raw("updated_at") == [
        (moment("2026-03-10 04:00:00"),),
        (moment("2026-03-10 23:30:00.000001"),),
    ]


def test_order_items_are_appended_by_creation_and_still_idempotent(shop: Shop) -> None:
    insert = (
        "insert into order_items (order_item_id, quantity, unit_price, line_total, created_at) "
        "values (%s, 1, 2, 2, %s)"
    )
    shop.source.execute(insert, (1, "2026-03-10 05:00:00"))
    shop.load(DAY, ORDER_ITEMS)
    shop.source.execute(insert, (2, "2026-03-10 05:30:00"))  # committed late, within the overlap
    shop.source.execute(insert, (3, "2026-03-10 09:00:00"))
    shop.source.execute(insert, (4, None))
    for _ in range(3):
        shop.load(NEXT_DAY, ORDER_ITEMS)
    shop.assert_equal(ORDER_ITEMS)


def test_a_full_refresh_forgets_what_the_source_no_longer_has(shop: Shop) -> None:
    for order_id in (1, 2, 3):
        shop.order(order_id)
    shop.load()
    shop.source.execute("delete from orders where order_id = 2")
    record = shop.load(full_refresh=True)
    assert record.window.start is None
    assert shop.statuses().keys() == {1, 3}
    shop.assert_equal()


@pytest.mark.parametrize("reason", ["full refresh", "table lost", "new column"])
def test_an_old_day_read_from_the_beginning_loses_nothing_that_later_days_brought(
    shop: Shop, reason: str
) -> None:
    shop.order(1)
    shop.load()
    shop.order(2, "2026-03-10 12:00:00")
    shop.load(NEXT_DAY)
    extra = []
    if reason == "table lost":
        with shop.warehouse.session("change rows", writes=True) as connection:
            connection.execute("drop table postgres.raw_orders")
    elif reason == "new column":
        shop.source.execute("alter table orders add column channel text default 'web'")
        extra = ["channel"]
    shop.load(DAY, full_refresh=reason == "full refresh")
    shop.assert_equal(extra=extra)
    shop.load(NEXT_DAY + timedelta(days=1))
    shop.assert_equal(extra=extra)


def test_a_replica_is_taken_for_blind() -> None:
    horizon = window.Horizon(
        moment("2026-03-10 05:00:00"), None, None, blind_because="it is a replica"
    )
    assert horizon.watermark(moment("2026-03-10 06:00:00"), timedelta(hours=3)) == moment(
        "2026-03-10 02:00:00"
    )


def test_two_loads_of_one_table_at_once_end_in_the_sources_state(shop: Shop) -> None:
    for order_id in range(1, 50):
        shop.order(order_id)
    failures: list[BaseException] = []

    def load() -> None:
        try:
            shop.load()
        except BaseException as error:
            failures.append(error)

    loads = [threading.Thread(target=load) for _ in range(2)]
    for thread in loads:
        thread.start()
    for thread in loads:
        thread.join()
    assert not failures
    shop.assert_equal()


def test_the_source_is_never_written_to(shop: Shop) -> None:
    from ingestion.postgres.snapshot import open_snapshot
    from pipeline.sources import ORDERS

    with (
        open_snapshot(shop.source.settings, ORDERS) as snapshot,
        pytest.raises(psycopg2.errors.ReadOnlySqlTransaction),
    ):
        snapshot.connection.cursor().execute("delete from orders")
