"""Airflow DAG for ``benchmarks.transform_airflow``: cosmos LOCAL, two tasks per model."""

from __future__ import annotations

from cosmos import DbtDag
from cosmos.constants import ExecutionMode
from cosmos_project import options

# One task at a time, because DuckDB has one writer.
dag = DbtDag(
    dag_id="cosmos_local", schedule=None, max_active_tasks=1, **options(ExecutionMode.LOCAL)
)
