"""Airflow DAG: the whole day as one DAG, the form that the small DAGs are measured against.

Only the benchmark loads it.

Its tasks, edges, retries, time limits, SLAs and callbacks are those of the original design: six
extractions side by side, a gate without logic, the three layers of dbt, its tests, a notification.
It calls the functions that the small DAGs call.

The original design lets people read what `dbt run` writes, so it has no step of publication. Here
everybody reads a published
copy, so the day would not be done without it: `dbt_test_all` publishes once the tests have passed,
without a task of its own.
The extractions announce nothing, and the gate looks at no load records: that is what the small DAGs
have to bear.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import reduce
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronPartitionTimetable, get_current_context, task

from alerting.callbacks import on_dag_failure
from alerting.policy import Kind, default_args, pipeline_sla, policy
from pipeline.days import DAY_FORMAT, day_of
from pipeline.sources import SOURCES
from wiring.calendar import DAY_PARAM, start_date

DOC = """
### What it does
Loads all six sources of a day side by side, runs dbt layer by layer, tests everything, says so.

### When it fails
Clear the failed task: it goes on from there.

### Who cares
Whoever wants to know what the small DAGs cost.
"""


@contextmanager
def watched_twice(scope: str, kind: Kind, since: datetime | None = None) -> Iterator[None]:
    """Watch the SLA of the task and that of the whole DAG, while the task is at work."""
    from alerting.sla import watched

    context = get_current_context()
    run, day = context["dag_run"], day_of(context["dag_run"])
    whole = watched("the pipeline", day, pipeline_sla(), run.start_date, dag_run=run)
    with whole, watched(scope, day, policy(kind).sla, since, dag_run=run):
        yield


with DAG(
    dag_id="ecommerce_master_dag",
    description="End-to-end E-Commerce analytics pipeline: Extract -> Transform -> Test -> Notify",
    schedule=CronPartitionTimetable("0 6 * * *", timezone="UTC", key_format=DAY_FORMAT),
    start_date=start_date(),
    catchup=False,
    max_active_runs=1,
    default_args=default_args("postgres"),
    on_failure_callback=on_dag_failure,
    params={"day": DAY_PARAM},
    tags=["ecommerce", "production", "daily"],
    doc_md=DOC,
) as dag:

    @task(task_id="extract")
    def extract(name: str, kind: Kind) -> dict[str, Any]:
        from ingestion.load import load

        context = get_current_context()
        with watched_twice(context["ti"].task_id, kind, context["dag_run"].start_date):
            record = load(name, day_of(context["dag_run"]))
        return {"source": record.source, "load_id": record.load_id, "rows": record.rows_extracted}

    @task(task_id="dbt_run", **default_args("dbt_run"))
    def dbt_run(layer: str) -> dict[str, Any]:
        import transform

        context = get_current_context()
        day, first = day_of(context["dag_run"]), context["ti"].xcom_pull(task_ids="dbt_run_staging")
        if layer == "staging":
            transform.source_freshness(day)
        began = datetime.fromisoformat(first["started_at"]).replace(tzinfo=UTC) if first else None
        with watched_twice("dbt run", "dbt_run", began):
            return transform.run_layer(layer, day).as_dict()  # type: ignore[arg-type]  # one of the three below

    @task(task_id="dbt_test_all", **default_args("dbt_test"))
    def dbt_test_all() -> dict[str, Any]:
        """Test everything and publish.

        ``publishing_seconds`` says how much of it the original design would not have.
        """
        import time

        import transform

        day = day_of(get_current_context()["dag_run"])
        with watched_twice("dbt test", "dbt_test"):
            tests = transform.test_all(day).as_dict()
        began = time.monotonic()
        transform.publish_marts(day)
        return {**tests, "publishing_seconds": time.monotonic() - began}

    @task(task_id="notify_success", **default_args("notification"))
    def notify_success() -> None:
        from alerting import send_slack_alert

        send_slack_alert(get_current_context(), "success")

    extractions = [
        extract.override(task_id=source.dag_id, **default_args(source.kind))(
            source.name, source.kind
        )
        for source in SOURCES
    ]
    # Without callbacks the scheduler itself marks it as done: no process starts for it.
    gate = EmptyOperator(task_id="all_extractions_complete", on_execute_callback=None)
    layers = [
        dbt_run.override(task_id=f"dbt_run_{layer}")(layer)
        for layer in ("staging", "intermediate", "marts")
    ]
    extractions >> gate  # type: ignore[operator]  # Airflow's lists of tasks
    reduce(
        lambda upstream, downstream: upstream >> downstream,
        [gate, *layers, dbt_test_all(), notify_success()],
    )
