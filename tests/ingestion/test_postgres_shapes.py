"""Tables that are written otherwise than declared and mean the same: types, children, width."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pipeline.sources import ORDERS
from tests.builders.postgres_shop import NEXT_DAY, Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    shop = Shop(source_db, warehouse)
    shop.source.execute("alter table orders drop constraint orders_customer_id_fkey")
    for order_id in (1, 2):
        shop.order(order_id, shipping_city="Zürich", shipping_country="CH", customer_id=7)
    return shop


def test_types_whose_values_arrive_exactly_load_and_compare_equal(shop: Shop) -> None:
    shop.load()
    shop.source.execute(
        """
        create type order_status as enum ('pending', 'paid', 'sent today');
        create domain money_amount as numeric(14, 4) check (value >= 0);
        create domain net_amount as money_amount;
        create domain town as varchar(300);
        create domain home_town as town check (value <> '');
        create domain moment as timestamptz;
        alter table orders alter column status type order_status using status::order_status,
            alter column total_amount type net_amount,
            alter column customer_id type bigint,
            alter column order_date type moment using order_date at time zone 'UTC',
            alter column shipping_address type uuid using gen_random_uuid(),
            alter column shipping_city type home_town,
            alter column shipping_country type char(3),
            alter column created_at type timestamp(0);
        """
    )
    shop.order(3, "2026-03-10 12:00:00", status="sent today", total_amount="10.2500")
    shop.load(NEXT_DAY, full_refresh=True)
    shop.source.execute("set timezone to 'UTC'")
    assert shop.raw(
        "order_id, customer_id, status, total_amount, shipping_city, shipping_country"
    ) == [
        (1, 7, "pending", Decimal("10.00"), "Zürich", "CH "),
        (2, 7, "pending", Decimal("10.00"), "Zürich", "CH "),
        (3, None, "sent today", Decimal("10.25"), None, None),
    ]
    assert shop.raw("order_date::varchar", where="order_id = 3") == [("2026-03-10 12:00:00",)]
    assert shop.reconcile().is_equal
    for second, amount in enumerate(
        ("numeric", "numeric(20, 10)", "numeric(10, 1)", "integer", "smallint")
    ):
        shop.source.execute(f"alter table orders alter column total_amount type {amount}")
        shop.change(3, "paid", f"2026-03-10 13:00:0{second}")
        shop.load(NEXT_DAY)
        assert shop.reconcile().is_equal, amount


def test_text_that_ignores_case_is_text(shop: Shop) -> None:
    """Written as the extension citext writes it for the catalog, which not every server has."""
    shop.source.execute(
        "create type citext; "
        "create function citext_in(cstring) returns citext as 'textin' language internal "
        "immutable strict; "
        "create function citext_out(citext) returns cstring as 'textout' language internal "
        "immutable strict; "
        "create type citext (input = citext_in, output = citext_out, like = text, category = 'S'); "
        "create cast (varchar as citext) without function as assignment;"
        "alter table orders alter column shipping_city type citext using shipping_city::citext"
    )
    shop.load()
    assert shop.raw("shipping_city") == [("Zürich",), ("Zürich",)]
    assert shop.reconcile().is_equal


def test_the_rows_of_inherited_children_are_not_those_of_the_table(shop: Shop) -> None:
    shop.load()
    shop.source.execute(
        "create table orders_history () inherits (orders);"
        "insert into orders_history select * from orders;"
        "update orders_history set status = 'old';"
        "delete from only orders where order_id = 2"
    )
    shop.load(NEXT_DAY)
    assert shop.statuses() == {1: "pending"}
    assert shop.reconcile().is_equal
    parts = shop.extractor(split_rows=1).plan_parts("orders", NEXT_DAY, full_refresh=True)
    assert [shop.extractor().extract_part(part) for part in parts] == [1]


def test_a_parent_without_rows_of_its_own_is_read_with_its_children(shop: Shop) -> None:
    shop.source.execute(
        "create table orders_2026 () inherits (orders);"
        "with moved as (delete from only orders returning *) insert into orders_2026 select * "
        "from moved"
    )
    shop.load()
    assert shop.statuses().keys() == {1, 2}
    assert shop.reconcile().is_equal


def test_wide_tables_load_and_compare_equal(shop: Shop) -> None:
    def widen(prefix: str, count: int) -> None:
        shop.source.execute(
            "alter table orders "
            + ", ".join(f"add column {prefix}_{number} int default 1" for number in range(count))
        )

    widen("few", 39)
    shop.load()
    assert shop.reconcile().is_equal
    widen("many", 150)
    shop.load()
    shop.change(1, "paid", "2026-03-10 12:00:00")
    shop.load(NEXT_DAY)
    assert shop.reconcile().is_equal
    assert shop.raw("many_149", ORDERS) == [("1",), ("1",)]
