"""What Airflow's task processes are born with: the modules that a load, an announcement, dbt and an
alert need.
"""

from __future__ import annotations

# Imported once by the process that all task processes are forked from (`operations.preload`); the
# DAG files are not, they are read by each task. Of processor time, starting a worker then takes
# 0.03 s instead of 1.45, a load or an announcement up to its first line 0.05 s instead of 0.6, and
# a layer of dbt 2 s less. Code of the project that is edited counts from the next start.
PRELOADED = (
    "airflow.__main__",
    "airflow.executors.local_executor",
    "airflow.dag_processing.dagbag",
    "airflow.providers.common.io.assets.file",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.decorators.short_circuit",
    "airflow.providers.standard.operators.empty",
    "airflow.providers.standard.operators.trigger_dagrun",
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
    "warehouse.duckdb.warehouse",
    "alerting.channels",
    "alerting.context",
    "alerting.deadlines",
    "pipeline.masking",
    "alerting.policy",
    "alerting.sla",
    "alerting.slack",
    "alerting.summary",
    "alerting.store",
    "transform.duckdb",
    "transform.preload",
)
