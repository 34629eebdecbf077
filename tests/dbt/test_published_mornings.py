"""What a real shop does to its orders in a day, from its PostgreSQL to the published marts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingestion.postgres.keys import RowsGoneError
from tests.builders.postgres_shop import DAY, NEXT_DAY
from tests.builders.shop_morning import BEGINNING, Mornings

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

pytestmark = pytest.mark.slow

# Order 9 is deleted, 7 gets its line altered, 11 its line written anew as two, 300 comes with the
# stamps of last year, and keys grow past an integer.
A_DAY = """
delete from order_items where order_id = 9;
delete from orders where order_id = 9;
update order_items set quantity = 1, line_total = 50 where order_id = 7;
update orders set total_amount = 50, updated_at = '2026-03-10 12:00' where order_id = 7;
delete from order_items where order_id = 11;
alter table order_items alter order_id type bigint;
alter table orders alter order_id type bigint;
insert into orders
    (order_id, customer_id, order_date, status, total_amount, created_at, updated_at)
values (300, 1, '2025-03-01', 'delivered', 100, '2025-03-01', '2025-03-01'),
       (3000000000, 1, '2026-03-10', 'delivered', 100, '2026-03-10', '2026-03-10 12:00');
insert into order_items
    (order_item_id, order_id, product_id, quantity, unit_price, line_total, created_at)
values (300, 300, 1, 2, 50, 100, '2025-03-01'),
       (301, 3000000000, 1, 2, 50, 100, '2026-03-10 12:00'),
       (302, 11, 1, 1, 50, 50, '2026-03-10 12:00'), (303, 11, 2, 1, 50, 50, '2026-03-10 12:00');
update orders set updated_at = '2026-03-10 12:00' where order_id = 11;
"""


def test_an_ordinary_day_of_changes_is_published_as_the_shop_has_it(
    source_db: SourceDatabase, warehouse: DuckDBWarehouse, target_path: Path
) -> None:
    shop = Mornings(source_db, warehouse, target_path)
    source_db.execute(BEGINNING)
    shop.load_all(DAY, paid=range(1, 41))
    shop.publish(DAY)
    totals = "select count(*), sum(total_amount), sum(lines_total) from published.fct_orders"
    assert shop.published(totals) == [(40, Decimal(4000), Decimal(4000))]

    source_db.execute(A_DAY)
    shop.load_all(NEXT_DAY, paid=[300, 3_000_000_000])
    shop.publish(NEXT_DAY)
    assert shop.published(totals) == [(41, Decimal(4050), Decimal(4050))]
    changed = (
        "select order_id, item_count, lines_total, payment_status from published.fct_orders "
        "where order_id in (7, 9, 11, 300, 3000000000) order by 1"
    )
    assert [row[:3] for row in shop.published(changed)] == [
        (7, 1, Decimal(50)),
        (11, 2, Decimal(100)),
        (300, 1, Decimal(100)),
        (3_000_000_000, 1, Decimal(100)),
    ]
    assert {row[3] for row in shop.published(changed)[1:]} == {"matched"}
    assert shop.published("select count(*) from published.fct_order_items where order_id = 9") == [
        (0,)
    ]
    assert shop.published(
        "select order_id from published.fct_payments where charge_id = 'ch_3000000000'"
    ) == [(3_000_000_000,)]

    source_db.execute("truncate orders restart identity cascade")
    for order_id in range(1, 11):
        shop.order(order_id, "2026-03-10 12:00:00")
    with pytest.raises(RowsGoneError, match="32 of 41 orders are gone from the source"):
        shop.load(NEXT_DAY)
    assert shop.published(totals) == [(41, Decimal(4050), Decimal(4050))]
