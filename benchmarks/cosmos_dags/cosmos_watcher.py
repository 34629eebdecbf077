"""Airflow DAG for ``benchmarks.transform_airflow``: the same project by astronomer-cosmos WATCHER,
a `dbt build` and sensors.
"""

from __future__ import annotations

from cosmos import DbtDag
from cosmos.constants import ExecutionMode
from cosmos_project import options

dag = DbtDag(dag_id="cosmos_watcher", schedule=None, **options(ExecutionMode.WATCHER))
