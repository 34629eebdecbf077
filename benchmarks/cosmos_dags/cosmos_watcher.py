"""Airflow DAG for ``benchmarks.transform_airflow``: cosmos WATCHER, one `dbt build` and sensors."""

from __future__ import annotations

from cosmos import DbtDag
from cosmos.constants import ExecutionMode
from cosmos_project import options

dag = DbtDag(dag_id="cosmos_watcher", schedule=None, **options(ExecutionMode.WATCHER))
