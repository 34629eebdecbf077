"""What one engine needs is not loaded where the other is used."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

EACH = """
import sys
from datetime import date
from warehouse import open_warehouse
import transform, alerting.sla, alerting.summary, ingestion.load
warehouse = open_warehouse()
warehouse.publications, warehouse.dbt_environment(), warehouse.dbt_run_environment(date.today())
print(type(warehouse).__name__)
assert sys.argv[1] not in sys.modules, sys.argv[1]
"""


@pytest.mark.parametrize(
    ("kind", "opened", "driver"),
    [
        ("snowflake", "SnowflakeWarehouse", "duckdb"),
        ("duckdb", "DuckDBWarehouse", "snowflake.connector"),
    ],
)
def test_the_driver_of_the_other_engine_is_not_imported(
    kind: str, opened: str, driver: str
) -> None:
    account = {"ACCOUNT": "my-account", "USER": "loader", "PASSWORD": "x"}
    environment = os.environ | {"WAREHOUSE_KIND": kind, "ECOMMERCE_ENV_FILE": os.devnull}
    environment |= {f"SNOWFLAKE_{name}": value for name, value in account.items()}
    command = [sys.executable, "-c", EACH, driver]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == opened, done.stdout
