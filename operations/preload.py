"""Imported by Airflow's forkserver, from which every task process is forked:

    [scheduler] mp_start_method = forkserver
    [scheduler] mp_forkserver_preload = operations.preload

Task processes are born with the modules that a load, an announcement, dbt and an alert need, and
with the dbt project parsed. The DAG files are read by each task. Of processor time, starting a
worker then takes 0.03 s instead of 1.45, a load or an announcement up to its first line 0.05 s
instead of 0.6, and a layer of dbt 2 s less. An edit of the project's code counts from the next
start.

Tasks also give way to the scheduler and the API server. Six loads keep two cores busy; the
scheduler needs little, but each of its turns decides when the next task starts.
"""

from __future__ import annotations

import os
from importlib import import_module

from transform.dbt_runner import preload

PRELOADED = (
    "airflow.__main__",
    "airflow.executors.local_executor",
    "airflow.dag_processing.dagbag",
    "airflow.providers.common.io.assets.file",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.short_circuit",
    "airflow.sdk.definitions.asset.metadata",
    "airflow.sdk.definitions.decorators",
    "pandas",  # pyarrow imports these to see whether what it is given comes from there
    "pyarrow.pandas_compat",
    "pyarrow.vendored.version",
    "stripe",
    "ingestion.load",
    "ingestion.postgres.load",
    "ingestion.stripe_api.load",
    "ingestion.csv_uploads.load",
    "alerting.channels",
    "alerting.context",
    "alerting.deadlines",
    "pipeline.masking",
    "alerting.policy",
    "alerting.sla",
    "alerting.slack",
    "alerting.summary",
    "alerting.store",
    "alerting.incidents",
    "transform.steps",
)

os.nice(5)
for _name in PRELOADED:
    import_module(_name)
preload()  # last: it also tells the collector that all of this stays
