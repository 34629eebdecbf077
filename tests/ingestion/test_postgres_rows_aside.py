"""A bad value sets its row aside and stops no other; a version from the future gives way."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from ingestion.postgres.reconcile import reconcile_table
from pipeline.errors import ContractError, TooManyRejectsError
from pipeline.sources import CUSTOMERS, ORDER_ITEMS, ORDERS, source
from tests.builders.postgres_shop import NEXT_DAY, Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

GOOD = 100


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    """A hundred orders and customers that are loaded; nothing in the source forbids bad ones."""
    source_db.execute(
        f"""
        alter table orders drop constraint orders_customer_id_fkey,
            alter column total_amount type numeric, alter column customer_id type bigint,
            alter column status drop not null, alter column order_date drop not null;
        alter table customers alter column email drop not null;
        insert into orders (order_id, order_date, status, total_amount, created_at, updated_at)
        select i, '2026-03-01', 'pending', 10.25, '2026-03-01', '2026-03-01'
        from generate_series(1, {GOOD}) i;
        insert into customers (customer_id, email, city, created_at, updated_at)
        select i, i || '@example.com', 'Rome', '2026-03-01', '2026-03-01'
        from generate_series(1, 20) i;
        """
    )
    shop = Shop(source_db, warehouse)
    shop.load()
    shop.load(table=CUSTOMERS)
    return shop


def aside(shop: Shop, table: str = "raw_orders", healed: bool = False) -> list[tuple[Any, ...]]:
    return shop.warehouse.query(
        "select key, column_name, text, reason from loads.rejected_rows where table_name = ? "
        f"and healed_at is {'not' if healed else ''} null order by key::bigint, column_name",
        [table],
    )


def test_bad_values_set_their_rows_aside_by_key_and_the_others_load(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    late, text = "2026-03-10 12:00:00", "9" * 300
    years, amount = "is not in the years 1 to 9999", "does not fit decimal(12,2)"
    bad: dict[int, tuple[str, str | None, str]] = {
        1: ("order_date", "0044-03-15 00:00:00 BC", years),
        2: ("order_date", "infinity", years),
        3: ("created_at", "-infinity", years),
        4: ("order_date", "10000-01-01 00:00:00", years),
        5: ("order_date", None, "has no value"),
        6: ("status", None, "has no value"),
        7: ("total_amount", "NaN", amount),
        8: ("total_amount", "10000000000", amount),
        9: ("total_amount", "0.005", amount),
        10: ("total_amount", text, amount),
    }
    for key, (column, value, _) in bad.items():
        shop.source.execute(
            f"update orders set {column} = %s, updated_at = %s where order_id = %s",
            (value, late, key),
        )
    shop.order(11_000, late, total_amount="-9999999999.9900", order_date="9999-12-31 23:59:59")
    shop.order(11_001, late, total_amount="0.10", order_date="0001-01-01")
    with caplog.at_level(logging.WARNING):
        record = shop.load(NEXT_DAY)
    expected = [
        (str(key), column, (value or "")[:200], reason)
        for key, (column, value, reason) in bad.items()
    ]
    assert aside(shop) == expected
    assert (record.rows_rejected, record.rows_newly_rejected) == (10, 10)
    assert "10 rows were set aside" in caplog.text and "has no value" in caplog.text
    assert shop.raw("updated_at", where="order_id <= 10") == [(datetime(2026, 3, 1),)] * 10
    assert shop.raw("total_amount::varchar", where="order_id > 11000 - 1") == [
        ("-9999999999.99",),
        ("0.10",),
    ]
    assert shop.reconcile().is_equal and shop.reconcile(repair=True).is_equal

    caplog.clear()
    again = shop.load(NEXT_DAY)  # said once
    assert (again.rows_rejected, again.rows_newly_rejected) == (10, 0)
    assert "set aside" not in caplog.text
    shop.load(NEXT_DAY, full_refresh=True)
    assert aside(shop) == expected

    shop.source.execute(  # right again, without a new version; one is gone
        "delete from orders where order_id = 1; update orders set order_date = '2026-03-01', "
        "created_at = '2026-03-01', status = 'paid', total_amount = 11 where order_id <= 9;"
        "update orders set total_amount = 'Infinity' where order_id = 10"
    )
    shop.load(NEXT_DAY)
    assert [row[:3] for row in aside(shop)] == [("10", "total_amount", "Infinity")]
    assert len(aside(shop, healed=True)) == 10
    assert shop.raw("status, total_amount::varchar", where="order_id between 2 and 9") == (
        [("paid", "11.00")] * 8
    )


def test_a_time_that_no_window_holds_is_seen_and_said(shop: Shop) -> None:
    for key, moment in ((5, "infinity"), (6, "-infinity"), (7, "0044-03-15 BC")):
        shop.source.execute(
            "update customers set city = 'X', updated_at = %s where customer_id = %s",
            (moment, key),
        )
    assert [key for key, *_ in aside(shop, "raw_customers")] == []
    with pytest.raises(TooManyRejectsError, match="key 5: updated_at is not in the years"):
        shop.load(NEXT_DAY, CUSTOMERS)  # three of twenty
    shop.source.execute("update customers set updated_at = '2026-03-01' where customer_id = 7")
    shop.load(NEXT_DAY, CUSTOMERS)
    assert [row[:3] for row in aside(shop, "raw_customers")] == [
        ("5", "updated_at", "infinity"),
        ("6", "updated_at", "-infinity"),
    ]
    shop.source.execute("update customers set city = 'Rome' where customer_id = 7")
    assert shop.reconcile(name="customers").is_equal
    assert shop.reconcile(name="customers", repair=True).is_equal
    shop.load(NEXT_DAY, CUSTOMERS, full_refresh=True)
    assert shop.reconcile(name="customers").is_equal
    shop.source.execute(
        "update customers set updated_at = '2026-03-10 20:00:00' where customer_id in (5, 6)"
    )
    shop.load(NEXT_DAY, CUSTOMERS)
    assert aside(shop, "raw_customers") == []
    assert shop.raw("city", CUSTOMERS, "customer_id in (5, 6)") == [("X",), ("X",)]


def test_moments_at_the_ends_of_time_stop_nothing_in_any_zone(shop: Shop) -> None:
    for key, moment in enumerate(("9999-12-31 23:59:59", "0001-01-01", "294276-12-31 23:59"), 1):
        shop.source.execute(
            "update orders set order_date = %s, updated_at = '2026-03-10 12:00:00' "
            "where order_id = %s",
            (moment, key),
        )
    shop.source.execute("update orders set updated_at = '294276-12-31 23:59' where order_id = 4")
    shop.extractor(timezone="America/New_York").extract_table(ORDERS, NEXT_DAY)
    assert [row[:2] for row in aside(shop)] == [("3", "order_date"), ("4", "updated_at")]
    assert shop.raw("order_date::varchar", where="order_id < 3") == [
        ("9999-12-31 23:59:59",),
        ("0001-01-01 00:00:00",),
    ]
    zone = shop.settings(timezone="America/New_York")
    assert reconcile_table(source("orders"), zone, shop.warehouse, repair=True).is_equal


def test_lines_that_never_change_are_sifted_too(shop: Shop) -> None:
    shop.source.execute(
        "alter table order_items alter column quantity type bigint;"
        "insert into order_items (order_item_id, quantity, unit_price, line_total, created_at) "
        "select i, 1, 10, 10, '2026-03-01' from generate_series(1, 20) i;"
        "update order_items set quantity = 3000000000 where order_item_id = 4;"
        "update order_items set created_at = 'infinity', unit_price = 'NaN' "
        "where order_item_id = 5"
    )
    shop.load(table=ORDER_ITEMS)
    assert aside(shop, "raw_order_items") == [
        ("4", "quantity", "3000000000", "does not fit integer"),
        (
            "5",
            "unit_price",
            "NaN",
            "does not fit decimal(10,2); created_at is not in the years 1 to 9999",
        ),
    ]
    assert len(shop.raw("1", ORDER_ITEMS)) == 18
    assert shop.reconcile(name="order_items").is_equal


def test_a_bad_row_that_was_not_loaded_yet_is_set_aside_by_a_repair(shop: Shop) -> None:
    shop.source.execute("update customers set email = null where customer_id = 3")
    assert shop.reconcile(name="customers", repair=True).is_equal
    assert aside(shop, "raw_customers") == [("3", "email", "", "has no value")]


def test_an_erased_customer_on_a_quiet_day_stops_nothing(shop: Shop) -> None:
    shop.source.execute(
        "update customers set email = null, updated_at = '2026-03-10 12:00:00' "
        "where customer_id = 3"
    )
    assert shop.load(NEXT_DAY, CUSTOMERS).rows_rejected == 1


def test_too_many_bad_rows_load_nothing_and_the_first_are_named(shop: Shop) -> None:
    before = shop.raw()
    shop.source.execute(
        "update orders set order_date = 'infinity', updated_at = '2026-03-10 12:00:00' "
        "where order_id <= 11"
    )
    with pytest.raises(TooManyRejectsError, match=r"11 of 11 rows .*MAX_REJECT") as refused:
        shop.load(NEXT_DAY)
    assert len(refused.value.rejects) == 5 and "key 1: order_date" in str(refused.value)
    assert shop.raw() == before and aside(shop) == []
    with pytest.raises(TooManyRejectsError):
        shop.load(NEXT_DAY, full_refresh=True)
    shop.extractor(max_reject_ratio=0.11).extract_table(ORDERS, NEXT_DAY)
    assert len(aside(shop)) == 11
    shop.load(NEXT_DAY)  # known ones count no more


def test_parts_set_rows_aside_too(shop: Shop) -> None:
    shop.source.execute("update orders set status = null where order_id in (1, 99); analyze orders")
    extractor = shop.extractor(split_rows=30)
    parts = extractor.plan_parts("orders", NEXT_DAY, full_refresh=True)
    assert len(parts) > 1
    rows = [extractor.extract_part(part) for part in parts]
    record = extractor.commit_parts(parts)
    assert (sum(rows), record.rows_newly_rejected) == (GOOD - 2, 2)
    assert [key for key, *_ in aside(shop)] == ["1", "99"]


def test_a_null_key_stops_the_load_and_is_named(shop: Shop) -> None:
    shop.source.execute(
        "alter table order_items drop constraint order_items_order_id_fkey;"
        "alter table orders drop constraint orders_pkey, alter column order_id drop not null;"
        "update orders set order_id = null, updated_at = '2026-03-10 12:00:00' where order_id = 2"
    )
    before = shop.raw()
    with pytest.raises(ContractError, match="orders has a row without a value in its key order_id"):
        shop.load(NEXT_DAY)
    assert shop.raw() == before


def test_a_version_from_the_future_gives_way_to_a_sane_one_and_is_said(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.order(500, "2026-03-10 12:00:00", "2099-01-01")
    shop.source.execute(
        "update orders set status = 'held', updated_at = '2098-01-01' where order_id = 1"
    )
    with caplog.at_level(logging.WARNING):
        shop.load(NEXT_DAY)
    assert "2 rows of orders have their updated_at in the future" in caplog.text
    assert "key 500: 2099-01-01" in caplog.text
    assert (shop.statuses()[1], shop.statuses()[500]) == ("held", "pending")
    assert shop.reconcile().is_equal
    shop.source.execute("update orders set status = 'lost' where order_id = 1")
    shop.change(500, "cancelled", "2026-03-10 20:00:00")
    shop.load(NEXT_DAY)
    assert (shop.statuses()[1], shop.statuses()[500]) == ("lost", "cancelled")
    shop.change(1, "sent", "2026-03-10 21:00:00")
    shop.load(NEXT_DAY)
    assert shop.statuses()[1] == "sent"
    shop.assert_equal()
    assert shop.reconcile().is_equal
