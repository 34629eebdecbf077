"""A repair that only marks rows as deleted reaches all marts on the day it happens."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path

import pytest

from tests.builders.dbt_days import A_DAY, BUILD, MARTS, snapshot_of_marts
from tests.builders.raw_shop import RawShop, Row
from tests.builders.run_dbt import runner, warehouse

pytestmark = pytest.mark.slow


def without_the_mark(shop: RawShop) -> dict[str, list[Row]]:
    return {
        name: [row | {"_deleted_at": None, "_loaded_at": None} for row in rows.values()]
        for name, rows in shop.tables.items()
    }


def test_rows_that_a_repair_only_marked_as_deleted_leave_the_incremental_marts(
    tmp_path: Path, target_path: Path
) -> None:
    dbt, shop = runner(tmp_path, target_path), RawShop(11, date(2026, 11, 1))
    shop.open()
    refunded = [
        charge
        for charge in shop.alive("charges")
        if charge["status"] == "succeeded" and charge["order_id"] not in ("1", "2", "3")
    ]
    for charge in refunded[:20]:
        shop.refund(charge)
    shop.write(tmp_path)
    dbt(*BUILD)
    before, loaded = snapshot_of_marts(tmp_path), copy.deepcopy(without_the_mark(shop))

    order = shop.tables["orders"][(1,)]
    line = next(row for row in shop.alive("order_items") if row["order_id"] == 2)
    charge = next(row for row in shop.alive("charges") if row["order_id"] == "3")
    refund = next(row for row in shop.alive("refunds") if row["status"] == "succeeded")
    spend = next(iter(shop.tables["marketing_spend"].values()))
    customer = next(
        row for row in shop.alive("customers") if row["customer_id"] == order["customer_id"]
    )
    for row in (order, line, charge, refund, spend, customer):
        shop.delete(row)
    assert without_the_mark(shop) == loaded, "nothing else has changed"
    shop.write(tmp_path)
    dbt(*A_DAY)
    after = snapshot_of_marts(tmp_path)

    def ids(marts: dict[str, list[Row]], mart: str, key: str) -> set[object]:
        return {row[key] for row in marts[mart]}

    assert ids(before, "fct_orders", "order_id") - ids(after, "fct_orders", "order_id") == {1}
    assert ids(before, "fct_order_items", "order_item_id") - ids(
        after, "fct_order_items", "order_item_id"
    ) == {line["order_item_id"]}
    assert ids(before, "fct_payments", "charge_id") - ids(after, "fct_payments", "charge_id") == {
        charge["charge_id"]
    }
    (payment,) = (row for row in after["fct_payments"] if row["charge_id"] == refund["charge_id"])
    (paid_before,) = (
        row for row in before["fct_payments"] if row["charge_id"] == refund["charge_id"]
    )
    assert payment["refund_count"] == paid_before["refund_count"] - 1
    assert sum(row["spend"] for row in after["fct_marketing_performance"]) == (
        sum(row["spend"] for row in before["fct_marketing_performance"]) - spend["spend"]
    )
    assert not any(
        row["is_current"]
        for row in after["dim_customers"]
        if row["customer_id"] == customer["customer_id"]
    )

    dbt(*BUILD, "--full-refresh")
    at_once = snapshot_of_marts(tmp_path)
    for mart in MARTS:
        assert after[mart] == at_once[mart], mart
    with warehouse(tmp_path) as connection:
        kept = connection.execute(
            "select count(*) from ecommerce_raw.postgres.raw_orders where order_id = 1"
        ).fetchone()
    assert kept == (1,), "raw keeps the row, marked"
