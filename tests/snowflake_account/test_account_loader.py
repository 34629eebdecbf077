"""The loader's contract on a real account: DuckDB's tests, and what the double cannot show."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa

from pipeline.sources import ORDER_ITEMS, source
from tests.builders.loads import DAY, END, T0, WINDOW, load, names, product
from tests.warehouse import test_warehouse, test_warehouse_days
from warehouse.arrow import schema_of
from warehouse.snowflake.warehouse import SnowflakeWarehouse

# The same tests, with this folder's `warehouse`.
for _module in (test_warehouse, test_warehouse_days):
    for _name, _test in vars(_module).items():
        if _name.startswith("test_"):
            globals()[_name] = _test


def test_decimals_and_microseconds_arrive_exactly(warehouse: SnowflakeWarehouse) -> None:
    moment = T0 + timedelta(microseconds=1)
    load(
        warehouse, *(product(number, price="0.01", updated_at=moment) for number in range(1, 1001))
    )
    found = warehouse.query(
        "select sum(price), min(updated_at), max(updated_at) from postgres.raw_products"
    )
    assert found == [(Decimal("10.00"), moment, moment)]


def test_two_loads_that_commit_in_the_same_moment_lose_nothing(
    warehouse: SnowflakeWarehouse,
) -> None:
    def commit(name: str, hours: int) -> None:
        load(
            warehouse,
            product(1, name, updated_at=T0 + timedelta(hours=hours)),
            product(10 + hours, name),
        )

    load(warehouse, product(1, "first"))
    threads = [
        threading.Thread(target=commit, args=(f"after {hours} h", hours)) for hours in range(1, 6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(warehouse)[1] == "after 5 h"
    assert len(names(warehouse)) == 6
    assert warehouse.query(
        "select count(*), count(distinct committed_at) from loads.load_records"
    ) == [(6, 6)]


def test_ten_million_rows_stream(warehouse: SnowflakeWarehouse) -> None:
    def batches(rows: int, at_once: int = 100_000) -> Iterator[pa.RecordBatch]:
        schema = schema_of(ORDER_ITEMS)
        for start in range(0, rows, at_once):
            keys = pa.array(np.arange(start, start + at_once, dtype=np.int64))
            amount = pa.array([Decimal("1.00")] * at_once, pa.decimal128(10, 2))
            columns = {
                "order_item_id": keys,
                "order_id": keys,
                "product_id": keys,
                "quantity": keys.cast(pa.int32()),
                "unit_price": amount,
                "discount_pct": pa.nulls(at_once, pa.decimal128(5, 2)),
                "line_total": amount.cast(pa.decimal128(12, 2)),
                "created_at": pa.array([T0] * at_once, pa.timestamp("us")),
            }
            yield pa.RecordBatch.from_arrays(
                [columns[name] for name in schema.names], schema=schema
            )

    with warehouse.begin_load(source("order_items"), DAY, WINDOW) as open_load:
        assert open_load.stage(ORDER_ITEMS, batches(10_000_000)) == 10_000_000
        record = open_load.commit(END)
    assert record.tables[0].inserted == 10_000_000
    assert warehouse.query(
        "select count(distinct order_item_id), sum(line_total) from postgres.raw_order_items"
    ) == [(10_000_000, Decimal("10000000.00"))]


def test_every_query_of_a_load_carries_its_tag(warehouse: SnowflakeWarehouse) -> None:
    record = load(warehouse, product(1))
    tags = warehouse.query(
        "select distinct query_tag from "
        "table(information_schema.query_history_by_session(result_limit => 1000)) "
        "union select distinct query_tag from "
        "table(information_schema.query_history_by_user(result_limit => 1000))"
    )
    found = [json.loads(str(tag)) for (tag,) in tags if str(tag).startswith("{")]
    assert {"app": "ecommerce_pipeline", "source": "products", "day": str(DAY)} in found
    assert record.source == "products"
