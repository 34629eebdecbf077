"""Loads of a few products into any warehouse, and what is in it afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from pipeline.contracts import RawTable
from pipeline.records import LoadRecord, Window
from pipeline.sources import PRODUCTS, source
from warehouse import Warehouse
from warehouse.arrow import schema_of

DAY = date(2026, 11, 22)
END = datetime(2026, 11, 22, 6)
WINDOW = Window(END - timedelta(days=1), END)
SHOP = source("products")
T0 = datetime(2026, 11, 21, 12)

Row = dict[str, Any]


def product(
    product_id: int,
    name: str = "Mug",
    price: str = "9.90",
    updated_at: datetime | None = T0,
    **other: Any,
) -> Row:
    row = dict.fromkeys(PRODUCTS.column_names)
    return (
        row
        | {
            "product_id": product_id,
            "name": name,
            "price": Decimal(price),
            "updated_at": updated_at,
        }
        | other
    )


def batch(
    rows: Iterable[Row], table: RawTable = PRODUCTS, extra: tuple[pa.Field, ...] = ()
) -> pa.RecordBatch:
    schema = schema_of(table)
    for field in extra:
        schema = schema.append(field)
    return pa.RecordBatch.from_pylist(
        [{name: row.get(name) for name in schema.names} for row in rows], schema=schema
    )


def load(
    warehouse: Warehouse,
    *rows: Row,
    day: date = DAY,
    watermark: datetime | None = END,
    replace: bool = False,
) -> LoadRecord:
    with warehouse.begin_load(SHOP, day, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch(rows)])
        return open_load.commit(watermark, replace=replace)


def products(
    warehouse: Warehouse, columns: str = "product_id, name, price, updated_at", where: str = "true"
) -> list[tuple[Any, ...]]:
    return warehouse.query(
        f"select {columns} from ecommerce_raw.postgres.raw_products where {where} order by "
        "product_id"
    )


def names(warehouse: Warehouse) -> dict[int, str]:
    return dict(products(warehouse, "product_id, name", "_deleted_at is null"))


def counts(record: LoadRecord) -> tuple[int, int, int]:
    (table,) = record.tables
    assert table.extracted == table.inserted + table.updated + table.unchanged
    return table.inserted, table.updated, table.unchanged
