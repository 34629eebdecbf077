"""What a build of the marts selects, and the rows it has left in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from tests.builders.run_dbt import warehouse

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
