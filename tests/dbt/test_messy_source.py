"""A messy morning in a real PostgreSQL, followed to the marts.

What is set aside there stays as it was, and everything else is as the source says.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.records import Window
from pipeline.sources import SOURCES
from tests.builders.dbt_days import BUILD
from tests.builders.postgres_shop import NEXT_DAY, Shop, moment
from tests.builders.run_dbt import runner, statuses
from tests.builders.run_dbt import warehouse as marts_of
from tests.builders.shop_morning import BEGINNING

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

pytestmark = pytest.mark.slow
ORDERS = 40
END = "2026-03-10 06:00:00"
TWENTY_MORE = """
insert into customers (customer_id, email, city, created_at, updated_at)
select i, i || '@example.com', 'Rome', '2026-03-01', '2026-03-01' from generate_series(21, 40) i;
"""
MESS = """
create type order_status as enum ('delivered', 'pending', 'cancelled');
create domain money_amount as numeric(14, 4);
create domain order_amount as money_amount;
alter table orders alter column status type order_status using status::order_status,
    alter column total_amount type order_amount,
    add column meta json default '{"a":"\\ud83d"}', add column valid_until timestamp default
    'infinity', add column tmp int default 1;
alter table customers alter column email drop not null;
create table orders_history () inherits (orders);
insert into orders_history select * from orders where order_id < 3;
update orders_history set status = 'cancelled', updated_at = '2026-03-10 12:00:00';
update customers set city = 'X', email = null, updated_at = '2026-03-10 12:00:00'
where customer_id = 3;
update customers set city = 'X', updated_at = 'infinity' where customer_id = 5;
update only orders set order_date = '0044-03-15 BC', updated_at = '2026-03-10 12:00:00'
where order_id = 7;
update only orders set status = 'pending', updated_at = '2099-01-01' where order_id in (8, 9);
update only orders set status = 'delivered' where order_id = 9;
insert into customers (customer_id, email, created_at, updated_at)
values (50, null, '2026-03-10 12:00:00', '2026-03-10 12:00:00');
insert into orders
    (order_id, customer_id, order_date, status, total_amount, created_at, updated_at)
values (41, 50, '2026-03-10', 'delivered', 100, '2026-03-10 12:00:00', '2026-03-10 12:00:00');
insert into order_items
    (order_item_id, order_id, product_id, quantity, unit_price, line_total, created_at)
values (41, 41, 1, 2, 50, 100, '2026-03-10 12:00:00');
"""


def test_what_a_messy_morning_leaves_in_the_marts(
    source_db: SourceDatabase, warehouse: DuckDBWarehouse, target_path: Path
) -> None:
    shop = Shop(source_db, warehouse)
    tables = ("orders", "customers", "products", "order_items")
    source_db.execute(BEGINNING + TWENTY_MORE)
    for source in SOURCES:
        if source.kind == "postgres":
            shop.load(table=source.name)
        else:
            with warehouse.begin_load(source, date(2026, 3, 10), Window(None, moment(END))) as load:
                load.commit(None)
    source_db.execute(MESS)
    shop.load(NEXT_DAY, "orders")
    source_db.execute(
        "update only orders set status = 'cancelled', updated_at = '2026-03-10 20:00:00' "
        "where order_id = 8; alter table orders drop column tmp"
    )
    for table in tables:
        shop.load(NEXT_DAY, table)
        assert shop.reconcile(name=table).is_equal

    folder = warehouse.settings.duckdb_dir
    dbt = runner(folder, target_path)
    dbt(*BUILD)
    results = statuses(dbt("test", succeeds=False))
    assert set(results.values()) == {"pass", "warn"}, results
    assert results["orders_changed_in_the_future"] == "warn"
    with marts_of(folder) as connection:
        marts = connection.execute(
            "select status, count(*), sum(total_amount), sum(lines_total) "
            "from ecommerce_analytics.marts.fct_orders group by 1 order by 1"
        ).fetchall()
        customers = connection.execute(
            "select customer_id, email, city from ecommerce_analytics.marts.dim_customers "
            "where is_current and customer_id in (3, 5) order by 1"
        ).fetchall()
    assert marts == [
        ("cancelled", 1, Decimal("100.00"), Decimal("100.00")),
        ("delivered", ORDERS, Decimal("4000.00"), Decimal("4000.00")),
    ]
    assert customers == [(3, "3@example.com", "Rome"), (5, "5@example.com", "Rome")]
