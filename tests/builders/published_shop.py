"""A published shop: raw rows, the real dbt project, its tests, the publication of the page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import duckdb

import transform
from tests.builders.raw_shop import RawShop
from transform.publication import published_file
from transform.results import Layer
from transform.settings import TransformSettings
from warehouse.settings import WarehouseSettings

FIRST_DAY = date(2026, 11, 17)
LAST_DAY = FIRST_DAY + timedelta(days=4)


@dataclass(frozen=True)
class PublishedShop:
    warehouse: WarehouseSettings

    @property
    def file(self) -> Path:
        return published_file(self.warehouse)

    def query(self, sql: str, parameters: list[object] | None = None) -> list[tuple[Any, ...]]:
        """Rows of SQL that the test wrote itself, on the marts (schema ``published``)."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            return connection.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: list[object] | None = None) -> Any:
        return self.query(sql, parameters)[0][0]


def build(folder: Path, target_path: Path) -> PublishedShop:
    """Some days of a small shop, built, tested and published with the project's own dbt code."""
    warehouse = WarehouseSettings(_env_file=None, duckdb_dir=folder)  # type: ignore[call-arg]
    dbt = TransformSettings(
        _env_file=None, target_path=target_path, log_path=target_path, threads=2
    )  # type: ignore[call-arg]
    shop = RawShop(seed=9, first_day=FIRST_DAY)
    shop.open(customers=40, products=12, orders=160)
    while shop.day < LAST_DAY:
        shop.next_day()
    hostile = '![x](https://elsewhere.example/x.png)<img src="https://elsewhere.example/y.png">'
    best = max(shop.alive("order_items"), key=lambda item: item["line_total"])["product_id"]
    shop.put("products", product_id=best, name=hostile)
    shop.put(
        "products", product_id=1 if best != 1 else 2, name='=HYPERLINK("https://elsewhere.example")'
    )
    for item in shop.alive("order_items")[:1]:
        shop.put(
            "order_items",
            order_item_id=item["order_item_id"],
            line_total=item["line_total"] + Decimal("0.01"),
        )
    shop.write(folder)
    with duckdb.connect(str(folder / "ecommerce_raw.duckdb")) as connection:
        connection.execute("update loads.load_records set rows_extracted = 1")
    for layer in get_args(Layer):
        transform.run_layer(layer, LAST_DAY, warehouse=warehouse, dbt=dbt)
    transform.test_all(LAST_DAY, warehouse=warehouse, dbt=dbt)
    transform.publish_marts(LAST_DAY, warehouse=warehouse, dbt=dbt)
    return PublishedShop(warehouse)
