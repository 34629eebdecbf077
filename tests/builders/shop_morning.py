"""Mornings of a small shop: a real PostgreSQL, staged payments, loads, dbt, publication."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import transform
from pipeline.days import upper_bound
from pipeline.records import Window
from pipeline.sources import CHARGES, SOURCES
from tests.builders.loads import batch
from tests.builders.postgres_shop import Shop
from transform.results import Layer
from transform.settings import TransformSettings

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

# 20 customers, 8 products, 40 delivered orders of 100.00 with one line each.
BEGINNING = """
insert into customers (customer_id, email, city, created_at, updated_at)
select i, i || '@example.com', 'Rome', '2026-03-01', '2026-03-01' from generate_series(1, 20) i;
insert into products (product_id, name, price, created_at, updated_at)
select i, 'Lamp ' || i, 50, '2026-03-01', '2026-03-01' from generate_series(1, 8) i;
insert into orders
    (order_id, customer_id, order_date, status, total_amount, created_at, updated_at)
select i, (i - 1) % 20 + 1, '2026-03-01', 'delivered', 100, '2026-03-01', '2026-03-01'
from generate_series(1, 40) i;
insert into order_items
    (order_item_id, order_id, product_id, quantity, unit_price, discount_pct, line_total,
     created_at)
select i, i, (i - 1) % 8 + 1, 2, 50, 0, 100, '2026-03-01' from generate_series(1, 40) i;
"""


class Mornings(Shop):
    def __init__(self, source: SourceDatabase, warehouse: DuckDBWarehouse, target: Path) -> None:
        super().__init__(source, warehouse)
        self._dbt: Any = {
            "warehouse": warehouse.settings,
            "dbt": TransformSettings(
                _env_file=None,
                target_path=target,
                log_path=target,
                threads=2,
            ),
        }

    def load_all(self, day: date, paid: Iterable[int] = ()) -> None:
        """Load all six sources; these orders have been paid since the day before."""
        for source in SOURCES:
            if source.kind == "postgres":
                self.load(day, source.name)
                continue
            with self.warehouse.begin_load(source, day, Window(None, upper_bound(day))) as load:
                if source.name == "charges":
                    load.stage(CHARGES, [batch([_charge(order, day) for order in paid], CHARGES)])
                load.commit(upper_bound(day))

    def publish(self, day: date) -> None:
        for layer in get_args(Layer):
            transform.run_layer(layer, day, **self._dbt)
        transform.test_all(day, **self._dbt)
        transform.publish_marts(day, **self._dbt)

    def published(self, sql: str) -> list[tuple[object, ...]]:
        """Rows of a query on what people read (schema ``published``)."""
        return transform.read_published(sql, self.warehouse.settings)


def _charge(order_id: int, day: date) -> dict[str, Any]:
    at = upper_bound(day)
    return dict.fromkeys(CHARGES.column_names) | {
        "charge_id": f"ch_{order_id}",
        "order_id": str(order_id),
        "status": "succeeded",
        "currency": "usd",
        "amount_minor": 10_000,
        **dict.fromkeys(("amount", "amount_captured"), Decimal(100)),
        "amount_refunded": Decimal(0),
        **dict.fromkeys(("is_paid", "is_captured"), True),
        **dict.fromkeys(("is_refunded", "is_disputed"), False),
        "created_at": at,
        "payload": json.dumps({"id": f"ch_{order_id}", "object": "charge"}),
        "_fetched_at": at,
    }
