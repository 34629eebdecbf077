"""What no window brings arrives with the day: deletions, rows born old, a touched order's lines."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ingestion.postgres.keys import RowsGoneError
from ingestion.postgres.load import PostgresExtractor
from ingestion.postgres.parts import Part
from ingestion.postgres.reconcile import reconcile_table
from pipeline.records import LoadRecord
from pipeline.sources import ORDER_ITEMS, ORDERS, source
from tests.builders.postgres_shop import DAY, NEXT_DAY, Shop, moment

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

LATER = NEXT_DAY + timedelta(days=1)
KEYS = (-3, 0, 1, 9_999, 10_000, 25_000, 3_000_000_000, 3_000_000_001)


class ShopWithLines(Shop):
    def line(
        self, line_id: int, order_id: int, created_at: str = "2026-03-10 04:00:00", **columns: Any
    ) -> None:
        row = {
            "order_item_id": line_id,
            "order_id": order_id,
            "quantity": 2,
            "unit_price": "10.00",
            "line_total": "20.00",
            "created_at": created_at,
            **columns,
        }
        self.source.execute(
            f"insert into order_items ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})",
            list(row.values()),
        )

    def touch(self, order_id: int, at: str) -> None:
        self.source.execute("update orders set updated_at = %s where order_id = %s", (at, order_id))

    def load_both(self, day: Any) -> tuple[LoadRecord, LoadRecord]:
        return self.load(day, ORDERS), self.load(day, ORDER_ITEMS)

    def lines(self) -> dict[int, int]:
        """Quantity by line, of those that are not marked as deleted."""
        rows = self.raw("order_item_id, quantity", ORDER_ITEMS, "_deleted_at is null")
        return {int(line_id): int(quantity) for line_id, quantity in rows}


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> ShopWithLines:
    source_db.execute(
        "alter table orders alter order_id type bigint; "
        "alter table order_items alter order_id type bigint"
    )
    return ShopWithLines(source_db, warehouse)


# --- gone, and born old


def test_rows_that_are_gone_go_with_the_day_and_rows_born_old_come_with_it(
    shop: ShopWithLines, caplog: pytest.LogCaptureFixture
) -> None:
    extractor = shop.extractor(max_gone=1)
    for key in KEYS:
        shop.order(key, "2026-03-01 00:00:00")
    first = extractor.extract_table("orders", DAY)
    assert first.tables[0].deleted == 0
    for deleted in ("order_id = -3", "order_id = 10000", "order_id > 3000000000"):
        shop.source.execute(f"delete from orders where {deleted}")
    for key in (-20_000, 2, 10_001, 4_000_000_000):
        shop.order(key, "2025-03-01 00:00:00")
    shop.order(3, "2026-03-11 06:00:01")  # of the day after
    record = extractor.extract_table("orders", NEXT_DAY)
    assert (record.tables[0].inserted, record.tables[0].deleted) == (4, 3)
    assert "3 gone from the source" in record.summary
    assert shop.statuses().keys() == {
        *{0, 1, 9_999, 25_000, 3_000_000_000},
        *{-20_000, 2, 10_001, 4_000_000_000},
    }
    marked = shop.raw(
        "order_id, _load_id, _loaded_at, _day, _deleted_at", where="_deleted_at is not null"
    )
    assert [row[0] for row in marked] == [-3, 10_000, 3_000_000_001]
    for _, load_id, loaded_at, day, deleted_at in marked:
        assert (load_id, day) == (record.load_id, NEXT_DAY)
        assert first.committed_at <= deleted_at <= loaded_at <= record.committed_at
    again = extractor.extract_table("orders", NEXT_DAY)
    assert (again.tables[0].inserted, again.tables[0].updated, again.tables[0].deleted) == (0, 0, 0)
    extractor.extract_table("orders", LATER)
    shop.assert_equal()


def test_an_old_day_loaded_again_takes_nothing_away_and_brings_nothing_of_later_days(
    shop: ShopWithLines,
) -> None:
    shop.order(1)
    shop.load(DAY)
    for number in range(60):  # more buckets than are looked at key by key
        shop.order(100_000 * (number + 1), "2026-03-11 07:00:00")
    shop.order(5, "2025-01-01 00:00:00")
    record = shop.load(NEXT_DAY)
    assert shop.statuses().keys() == {1, 5} and record.tables[0].deleted == 0
    shop.load(LATER)
    assert len(shop.statuses()) == 62
    record = shop.load(NEXT_DAY)
    assert len(shop.statuses()) == 62 and record.tables[0].deleted == 0
    shop.assert_equal()


def test_a_row_that_comes_back_as_it_was_is_there_again(shop: ShopWithLines) -> None:
    for key in range(1, 41):
        shop.order(key)
    shop.load(DAY)
    shop.source.execute(
        "create table kept as select * from orders where order_id = 9; "
        "delete from orders where order_id = 9"
    )
    shop.load(NEXT_DAY)
    assert 9 not in shop.statuses()
    shop.source.execute("insert into orders select * from kept")
    shop.load(LATER)
    assert 9 in shop.statuses()
    shop.assert_equal()


def test_a_deletion_that_is_not_committed_is_none(shop: ShopWithLines) -> None:
    for key in range(1, 41):
        shop.order(key)
    shop.load(DAY)
    with closing(shop.source.connect()) as deleting, deleting.cursor() as cursor:
        cursor.execute("delete from orders where order_id = 1")
        assert shop.load(NEXT_DAY).tables[0].deleted == 0
        deleting.commit()
    assert shop.load(NEXT_DAY).tables[0].deleted == 1


def test_rows_another_load_brings_meanwhile_are_not_taken_for_gone(shop: ShopWithLines) -> None:
    """A load of another day commits after this one has taken its snapshot."""
    for key in range(1, 41):
        shop.order(key)
    shop.load(DAY)

    class Interrupted(PostgresExtractor):
        def _reading(self, *arguments: Any) -> Any:
            shop.order(50, "2026-03-10 12:00:00")
            shop.load(NEXT_DAY)
            return super()._reading(*arguments)

    Interrupted(shop.settings(), shop.warehouse).extract_table("orders", DAY)
    assert 50 in shop.statuses()
    shop.assert_equal()


def test_too_many_rows_gone_stop_the_day_until_somebody_accepts_it(shop: ShopWithLines) -> None:
    shop.source.execute(
        "insert into orders (order_id, order_date, status, total_amount, created_at, updated_at) "
        "select i, '2026-03-01', 'pending', 1, '2026-03-01', '2026-03-01' "
        "from generate_series(1, 10000) i"
    )
    shop.load(DAY)
    shop.source.execute("truncate orders cascade")
    for key in range(1, 51):
        shop.order(key, "2026-03-10 12:00:00", status="new")
    with pytest.raises(RowsGoneError) as raised:
        shop.load(NEXT_DAY)
    said = str(raised.value)
    assert "9,950 of 10,000 orders are gone from the source" in said
    assert "POSTGRES_MAX_GONE" in said and "(5%)" in said
    assert "python -m ingestion reconcile orders --repair" in said
    assert len(shop.statuses()) == 10_000 and not shop.warehouse.load_records(NEXT_DAY)
    with pytest.raises(RowsGoneError):
        shop.extractor(split_rows=10).plan_parts("orders", NEXT_DAY)

    reconcile_table(source("orders"), shop.settings(), shop.warehouse, repair=True)
    shop.load(NEXT_DAY)
    assert shop.statuses() == dict.fromkeys(range(1, 51), "new")
    shop.assert_equal()


def test_a_share_of_few_rows_is_no_single_row(shop: ShopWithLines) -> None:
    for key in (1, 2, 3, 4):
        shop.order(key)
    shop.load(DAY)
    shop.source.execute("delete from orders where order_id = 1")
    assert shop.load(NEXT_DAY).tables[0].deleted == 1
    shop.source.execute("delete from orders")
    with pytest.raises(RowsGoneError, match="3 of 3 orders are gone"):
        shop.load(NEXT_DAY)
    shop.load(NEXT_DAY, full_refresh=True)
    assert shop.statuses() == {}


def test_a_first_load_of_nothing_says_so_and_what_comes_later_is_not_lost(
    shop: ShopWithLines, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        shop.load(DAY)
    assert "The first load of orders found no row" in caplog.text
    caplog.clear()
    for key in range(1, 4):
        shop.order(key, "2025-03-01 00:00:00")
    with caplog.at_level(logging.WARNING):
        shop.load(NEXT_DAY)
    assert shop.statuses().keys() == {1, 2, 3} and not caplog.text
    shop.assert_equal()


def test_a_load_in_parts_brings_and_takes_away_the_same(shop: ShopWithLines) -> None:
    for key in range(1, 201):
        shop.order(key)
        shop.line(key, key)
    extractor = shop.extractor(split_rows=10, max_parts=3)

    def load_in_parts(name: str, day: Any) -> LoadRecord:
        plan = extractor.plan_parts(name, day)
        parts = [Part.from_dict(json.loads(json.dumps(part.as_dict()))) for part in plan]
        for part in parts:
            extractor.extract_part(part)
        return extractor.commit_parts(parts)

    for name in ("orders", "order_items"):
        load_in_parts(name, DAY)
    shop.source.execute(
        "delete from order_items where order_id = 9; delete from orders where order_id = 9; "
        "update orders set updated_at = '2026-03-10 12:00:00' where order_id in (1, 200); "
        "update order_items set quantity = 7 where order_id in (1, 200); "
        "insert into orders (order_id, order_date, status, total_amount, created_at, updated_at) "
        "values (300, '2025-01-01', 'old', 1, '2025-01-01', '2025-01-01')"
    )
    shop.line(300, 300, "2025-01-01 00:00:00")
    for name in ("orders", "order_items"):
        record = load_in_parts(name, NEXT_DAY)
        assert (record.tables[0].inserted, record.tables[0].deleted) == (1, 1)
    shop.assert_equal()
    shop.assert_equal(ORDER_ITEMS)


# --- lines of a touched order


def test_a_touched_order_brings_its_lines_as_they_are_now(shop: ShopWithLines) -> None:
    for order_id in range(1, 41):
        shop.order(order_id)
        shop.line(order_id, order_id)
    shop.load_both(DAY)
    # altered in place; with an older time of creation; moved to another order that is touched
    shop.source.execute(
        "update order_items set quantity = 1, line_total = 10 where order_item_id = 7; "
        "update order_items set quantity = 3, created_at = '2026-01-01' where order_item_id = 8; "
        "update order_items set order_id = 7 where order_item_id = 9"
    )
    # written anew; and one more
    shop.source.execute("delete from order_items where order_id = 10")
    shop.line(100, 10, "2026-03-10 12:00:00")
    shop.line(101, 11, "2026-03-01 12:00:00")
    for order_id in (7, 8, 9, 10, 11):
        shop.touch(order_id, "2026-03-10 12:00:00")
    _, lines = shop.load_both(NEXT_DAY)
    assert (lines.tables[0].inserted, lines.tables[0].updated, lines.tables[0].deleted) == (2, 3, 1)
    shop.assert_equal(ORDER_ITEMS)


def test_lines_of_an_order_that_is_edited_after_six_wait_for_the_order(
    shop: ShopWithLines,
) -> None:
    """Else the order would be published without lines: its new ones belong to the next day."""
    for order_id in range(1, 41):
        shop.order(order_id)
        shop.line(order_id, order_id)
    shop.load_both(DAY)
    shop.source.execute("delete from order_items where order_id in (1, 2)")
    shop.touch(1, "2026-03-11 06:02:00")
    shop.line(100, 1, "2026-03-11 06:02:00")
    shop.touch(2, "2026-03-11 05:59:00")
    shop.line(101, 2, "2026-03-11 05:59:00")
    shop.load_both(NEXT_DAY)
    assert {1, 101} <= shop.lines().keys() and not {2, 100} & shop.lines().keys()
    shop.load_both(LATER)
    assert {100, 101} <= shop.lines().keys() and not {1, 2} & shop.lines().keys()
    shop.assert_equal(ORDER_ITEMS)


def test_an_order_born_before_six_and_edited_after_it_has_its_lines_of_now(
    shop: ShopWithLines,
) -> None:
    shop.order(1)
    shop.load_both(DAY)
    shop.order(2, "2026-03-11 05:59:00", "2026-03-11 06:02:00")
    shop.line(1, 2, "2026-03-11 06:02:00")
    shop.load_both(NEXT_DAY)
    assert shop.statuses().keys() == {1, 2} and shop.lines() == {1: 2}


def test_no_line_is_older_in_the_warehouse_for_being_read_twice(shop: ShopWithLines) -> None:
    shop.order(1)
    shop.line(1, 1)
    shop.load_both(DAY)
    shop.touch(1, "2026-03-10 12:00:00")
    before = shop.raw("*", ORDER_ITEMS)
    _, record = shop.load_both(NEXT_DAY)
    assert (record.rows_extracted, record.tables[0].unchanged) == (1, 1)
    assert shop.raw("*", ORDER_ITEMS) == before
    assert record.watermark == moment("2026-03-11 06:00:00")
