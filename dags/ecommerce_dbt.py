"""Airflow DAG: builds, tests and publishes the marts of a day that all six sources have loaded."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import reduce
from operator import and_
from typing import Any

from airflow.sdk import DAG, PartitionedAssetTimetable, StartOfDayMapper, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from alerting.callbacks import on_dag_failure
from alerting.policy import default_args, policy
from pipeline.days import DAY_FORMAT, day_of
from wiring.calendar import DAY_PARAM
from wiring.datasets import RAW_DATASETS
from wiring.publication import PublishMarts

DOC = """
### What it does
Runs once for a day when all six raw Datasets carry an event **of that day**: checks the six load
records, runs dbt layer by layer (staging, intermediate, marts), tests everything, and only then
publishes the marts, all at once. Where a volume or the revenue is far outside what is usual, it
asks a person first (Required Actions). A source that is loaded again after that starts a run for
its day (`build__<day>__...`); where several wait, the first builds and the others are skipped at
the gate. Beside the published marts lies dbt's documentation of every model and column,
`docs/index.html`, written again when the project changes.

### When it fails
What people read stays as it was: nothing is published before the tests have passed. The alert
names the model or test and how many rows failed. Clear the failed task: it goes on from there. To
build a day again, clear `all_extractions_complete` of its run. See docs/runbook.md.

### Who cares
Everybody who reads a number: finance, marketing, merchandising.
"""

with DAG(
    dag_id="ecommerce_dbt",
    description="Marts, tests and publication of a day, once all six sources have loaded it.",
    schedule=PartitionedAssetTimetable(
        assets=reduce(and_, RAW_DATASETS),
        default_partition_mapper=StartOfDayMapper(input_format=DAY_FORMAT),
    ),
    catchup=False,
    max_active_runs=1,
    default_args=default_args("dbt_run"),
    on_failure_callback=on_dag_failure,
    params={"day": DAY_PARAM},
    tags=["ecommerce", "dbt"],
    doc_md=DOC,
) as dag:

    @task(task_id="all_extractions_complete")
    def all_extractions_complete() -> list[dict[str, Any]]:
        """The six loads of the day, from the warehouse's own records.

        Skipped, with all that follows, where another run has built the day since this one was
        called for: it read everything this one would. So of several corrections that wait, one is
        built.
        """
        from pipeline.gate import check_complete
        from warehouse import open_warehouse

        context, warehouse = get_current_context(), open_warehouse()
        run = context["dag_run"]
        day = day_of(run)
        since = warehouse.day_state(day).builds_since(run.run_after)
        built = since and context["ti"].get_dr_count(run.dag_id, run_ids=since, states=["success"])
        if built and not run.clear_number:  # who clears a run wants it built
            raise AirflowSkipException(f"{day} has been built since this run was called for.")
        return check_complete(day, warehouse.begin_build(run.run_id, day))

    @task(task_id="dbt_run")
    def dbt_run(layer: str) -> dict[str, Any]:
        """Run one layer, after a look at the raw tables' freshness before the first.

        The result lists models with rows and seconds.
        """
        import transform
        from alerting.sla import watched

        context = get_current_context()
        day, first = day_of(context["dag_run"]), context["ti"].xcom_pull(task_ids="dbt_run_staging")
        if layer == "staging":
            transform.source_freshness(day)
        began = datetime.fromisoformat(first["started_at"]).replace(tzinfo=UTC) if first else None
        waiting_for = f"its layer {layer}, which is still running"
        with watched(
            "dbt run",
            day,
            policy("dbt_run").sla,
            began,
            waiting_for=waiting_for,
            dag_run=context["dag_run"],
        ):
            return transform.run_layer(layer, day).as_dict()

    @task(task_id="dbt_test_all", **default_args("dbt_test"))
    def dbt_test_all() -> dict[str, Any]:
        """Run every test; a failed one of severity error stops the day before publication."""
        import transform
        from alerting.sla import watched

        context = get_current_context()
        day = day_of(context["dag_run"])
        waiting_for = "its tests, which are still running"
        with watched(
            "dbt test",
            day,
            policy("dbt_test").sla,
            waiting_for=waiting_for,
            dag_run=context["dag_run"],
        ):
            return transform.test_all(day).as_dict()

    @task(task_id="notify_success", **default_args("notification"))
    def notify_success() -> None:
        from alerting import send_slack_alert
        from pipeline.gate import result_of

        context = get_current_context()
        published = context["ti"].xcom_pull(task_ids="publish_marts")
        result_of("publish_marts", published, "nothing was published")
        send_slack_alert(context, "success")

    layers = [
        dbt_run.override(task_id=f"dbt_run_{layer}")(layer)
        for layer in ("staging", "intermediate", "marts")
    ]
    loads = all_extractions_complete()
    published = PublishMarts(task_id="publish_marts", loads=loads)
    reduce(
        lambda upstream, downstream: upstream >> downstream,
        [loads, *layers, dbt_test_all(), published, notify_success()],
    )
