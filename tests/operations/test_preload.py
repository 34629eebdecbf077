"""What task processes are born with. The server they are forked from says nothing about a module it
cannot import.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from operations.preloaded import PRELOADED
from pipeline.settings import PROJECT

SHOW_WHAT_A_LOAD_ADDS = """
import importlib, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
born_with = set(sys.modules)
import ingestion.load, ingestion.postgres.load, ingestion.stripe_api.load, ingestion.csv_uploads.load, warehouse.duckdb.warehouse
import alerting.slack, alerting.context, alerting.summary, alerting.store, alerting.channels, alerting.sla, alerting.deadlines
import pyarrow
pyarrow.array([1])
sys.path.insert(0, "dags")
import wiring.extraction, wiring.announcing
import airflow.dag_processing.dagbag, airflow.sdk.execution_time.task_runner
print("added:", *sorted(set(sys.modules) - born_with))
"""


@pytest.mark.slow
def test_a_task_imports_nothing_heavy_that_it_was_not_born_with(tmp_path: Path) -> None:
    """Fails with the module's name, too, where one of the list cannot be imported."""
    preloaded = ",".join(
        name for name in PRELOADED if name != "transform.preload"
    )  # it parses the project: not needed here
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)}
    ran = subprocess.run(
        [sys.executable, "-c", SHOW_WHAT_A_LOAD_ADDS, preloaded],
        capture_output=True,
        text=True,
        env=environment,
        cwd=PROJECT,
    )
    assert ran.returncode == 0, ran.stderr
    added = next(line for line in ran.stdout.splitlines() if line.startswith("added:")).split()[1:]
    heavy = {
        "airflow",
        "duckdb",
        "httpx",
        "pandas",
        "psycopg2",
        "pyarrow",
        "requests",
        "sqlalchemy",
        "stripe",
    }
    assert [name for name in added if name.partition(".")[0] in heavy] == []


def test_the_collector_is_frozen_last() -> None:
    """Importing `transform.preload` freezes what is there by then; a module imported after it would
    not gain.
    """
    assert PRELOADED[-1] == "transform.preload"
