"""A day's build of the dbt project, and what it has to equal: a full refresh, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from tests.builders.run_dbt import Dbt, warehouse

MARTS = (
    "dim_customers", "dim_products", "dim_dates", "fct_orders", "fct_order_items", "fct_payments",
    "fct_daily_revenue",
    "fct_marketing_performance",
)  # fmt: skip
BUILD = (
    *("build", "--resource-type", "model", "--resource-type", "seed"),
    *("--resource-type", "snapshot"),
)
LAYERS = ("path:models/intermediate", "path:snapshots", "path:models/marts")
A_DAY = (*BUILD, "--select", *LAYERS)  # staging are views: they follow


def rows_of(
    connection: duckdb.DuckDBPyConnection, table: str, schema: str = "marts"
) -> list[dict[str, Any]]:
    """Rows that are not marked as deleted: of those a full refresh keeps only what raw keeps."""
    relation = f"ecommerce_analytics.{schema}.{table}"
    names = [
        column[0]
        for column in connection.execute(f"select * from {relation} limit 0").description or ()
    ]
    alive = "where not is_deleted" if "is_deleted" in names and schema == "intermediate" else ""
    rows = connection.execute(f"select * from {relation} {alive} order by all").fetchall()
    return [dict(zip(names, row, strict=True)) for row in rows]


def snapshot_of_marts(folder: Path) -> dict[str, list[dict[str, Any]]]:
    with warehouse(folder) as connection:
        return {mart: rows_of(connection, mart) for mart in MARTS}


def snapshot_of_intermediates(folder: Path) -> dict[str, list[dict[str, Any]]]:
    with warehouse(folder) as connection:
        tables = connection.execute(
            "select table_name from duckdb_tables() where schema_name = 'intermediate' "
            "and table_name <> 'build_state'"
        ).fetchall()
        return {name: rows_of(connection, name, "intermediate") for (name,) in sorted(tables)}


def assert_equal_to_a_full_refresh(folder: Path, dbt: Dbt) -> None:
    """Every mart and intermediate table, row by row."""
    day_by_day = snapshot_of_intermediates(folder) | snapshot_of_marts(folder)
    dbt(*BUILD, "--full-refresh")
    at_once = snapshot_of_intermediates(folder) | snapshot_of_marts(folder)
    assert day_by_day.keys() == at_once.keys()
    for name, rows in at_once.items():
        assert day_by_day[name] == rows, name
