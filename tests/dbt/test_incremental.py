"""Marts built day by day equal marts built at once from the same raw tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.builders.raw_shop import RawShop
from tests.builders.run_dbt import runner, warehouse

MARTS = (
    "dim_customers", "dim_products", "dim_dates", "fct_orders", "fct_order_items", "fct_payments", "fct_daily_revenue",
    "fct_marketing_performance",
)  # fmt: skip
INCREMENTAL = (
    "int_charges_converted", "int_charges_joined", "int_order_items_summed", "int_order_payments_summed", "int_orders_joined",
    "int_customer_lifetime", "int_customer_profiles", "int_orders_cleaned", "int_first_orders", "int_refunds_matched",
    "int_payments_matched", "int_order_items_cleaned",
)  # fmt: skip
BUILD = (
    "build",
    "--resource-type",
    "model",
    "--resource-type",
    "seed",
    "--resource-type",
    "snapshot",
)
LAYERS = (
    "path:models/intermediate",
    "path:snapshots",
    "path:models/marts",
    "path:models/watermark",
)
A_DAY = (*BUILD, "--select", *LAYERS)  # staging are views: they follow


def rows_of(
    connection: duckdb.DuckDBPyConnection, table: str, schema: str = "marts"
) -> list[dict[str, Any]]:
    rows = f"select * from ecommerce_analytics.{schema}.{table}"
    if "_build_number" in [
        column[0] for column in connection.execute(f"{rows} limit 0").description or ()
    ]:
        rows = rows.replace("*", "* exclude (_build_number)")  # the one thing that differs
    cursor = connection.execute(f"{rows} order by all")
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def snapshot_of_marts(folder: Path) -> dict[str, list[dict[str, Any]]]:
    with warehouse(folder) as connection:
        return {mart: rows_of(connection, mart) for mart in MARTS}


def snapshot_of_intermediates(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The intermediate tables that a day changes instead of building them again."""
    with warehouse(folder) as connection:
        return {table: rows_of(connection, table, "intermediate") for table in INCREMENTAL}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261122])
def test_twenty_days_built_one_by_one_equal_one_full_refresh(
    seed: int, tmp_path: Path, target_path: Path
) -> None:
    dbt = runner(tmp_path, target_path)
    shop = RawShop(seed, date(2026, 11, 1))
    shop.open()
    shop.write(tmp_path)
    dbt(*BUILD)
    for _ in range(20):
        shop.next_day()
        shop.write(tmp_path)
        dbt(*A_DAY)
    day_by_day, beneath = snapshot_of_marts(tmp_path), snapshot_of_intermediates(tmp_path)
    dbt(*BUILD, "--full-refresh")
    at_once, beneath_at_once = snapshot_of_marts(tmp_path), snapshot_of_intermediates(tmp_path)

    for mart in MARTS:
        assert day_by_day[mart] == at_once[mart], mart
    for table in INCREMENTAL:
        assert beneath[table] == beneath_at_once[table], table
    assert len(day_by_day["fct_orders"]) > 60
    assert any(row["valid_to"] for row in day_by_day["dim_customers"]), "no customer ever changed"
    assert any(row["refund_count"] for row in day_by_day["fct_orders"]), "nothing was ever refunded"
