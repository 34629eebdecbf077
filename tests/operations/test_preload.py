"""What task processes are born with. The server they are forked from says nothing about a module it
cannot import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.settings import PROJECT

SHOW_WHAT_A_LOAD_ADDS = """
import gc, sys
import operations.preload
assert gc.get_freeze_count() > 100_000
born_with = set(sys.modules)
import ingestion.load, ingestion.postgres.load, ingestion.stripe_api.load
import ingestion.csv_uploads.load
import warehouse.duckdb.warehouse
import alerting.slack, alerting.context, alerting.summary, alerting.store, alerting.channels
import alerting.incidents
import alerting.sla, alerting.deadlines
import pyarrow
pyarrow.array([1])
sys.path.insert(0, "dags")
import wiring.extraction, wiring.builds
import airflow.dag_processing.dagbag, airflow.sdk.execution_time.task_runner
print("added:", *sorted(set(sys.modules) - born_with))
"""
HEAVY = {
    "airflow",
    "dbt",
    "duckdb",
    "httpx",
    "pandas",
    "psycopg2",
    "pyarrow",
    "requests",
    "sqlalchemy",
    "stripe",
}


@pytest.mark.slow
def test_a_task_imports_nothing_heavy_that_it_was_not_born_with(tmp_path: Path) -> None:
    """Fails with the module's name, too, where one of the list cannot be imported. A dbt project
    that cannot be parsed, here one that is not there, stops nothing.
    """
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path),
        "PYTHONPATH": str(PROJECT),
        "DBT_PROJECT_DIR": str(tmp_path / "nowhere"),
    }
    ran = subprocess.run(
        [sys.executable, "-c", SHOW_WHAT_A_LOAD_ADDS],
        capture_output=True,
        text=True,
        env=environment,
        cwd=PROJECT,
    )
    assert ran.returncode == 0, ran.stderr
    assert "The dbt project is not preloaded" in ran.stdout + ran.stderr
    added = next(line for line in ran.stdout.splitlines() if line.startswith("added:")).split()[1:]
    assert [name for name in added if name.partition(".")[0] in HEAVY] == []
