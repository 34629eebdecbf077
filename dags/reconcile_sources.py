"""Airflow DAG: compares every source with its raw tables each week, and repairs them on request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param, TriggerRule, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from alerting.callbacks import on_dag_failure
from alerting.policy import default_args
from pipeline.sources import SOURCES
from wiring.builds import build_day

DOC = """
### What it does
On Sundays at 03:00 UTC it compares each source with its raw tables, in buckets of keys or days:
number of rows, keys, content. It finds what no daily load can: rows changed behind the watermark,
deleted in the source, altered in the warehouse. What differs is a warning in the log and in the
alerts; nothing is changed. Triggered with `repair`, it reads the buckets that differ again, marks
rows as deleted that the source no longer has, and has the marts of that day rebuilt.

### When it fails
A difference does not fail a task. A failed task could not read its source or the warehouse; the
others are not held up by it. Its alert names the section of docs/runbook.md; what to do about
differences is in its section SourceDiffers.

### Who cares
Whoever vouches that the numbers are those of the sources: finance at the end of a month.
"""

with DAG(
    dag_id="reconcile_sources",
    description="Weekly: do the raw tables hold what the sources hold? Repairs it on request.",
    # The first run is that of the next Sunday, not of the last one: a new installation has nothing
    # to compare.
    schedule=CronTriggerTimetable("0 3 * * 0", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=2,
    default_args=default_args("reconcile"),
    on_failure_callback=on_dag_failure,
    params={
        "repair": Param(
            False,
            type="boolean",
            title="Repair",
            description="Read again what differs, mark what is deleted, rebuild the marts.",
        )
    },
    tags=["ecommerce", "monitor"],
    doc_md=DOC,
) as dag:

    @task(task_id="reconcile")
    def reconcile_source(name: str) -> dict[str, Any]:
        """Compare one source; skipped before its first load.

        The result is for the tasks that follow, and for people.
        """
        import logging

        from alerting.difference import report_differences
        from ingestion.reconcile import NeverLoadedError, reconcile
        from ingestion.reconcile.loads import last_day
        from pipeline.sources import source
        from warehouse import open_warehouse

        log = logging.getLogger("airflow.task")
        context = get_current_context()
        repair = bool(context["params"]["repair"])
        try:
            report = reconcile(name, repair=repair)
        except NeverLoadedError as nothing:
            raise AirflowSkipException(str(nothing)) from None
        log.log(logging.INFO if not report.differences else logging.WARNING, "%s", report)
        if not report.is_equal:
            report_differences(context, name, str(report), report.advice)
        day = report.repaired_day
        # The try before may have died after it repaired.
        if repair and day is None and context["ti"].try_number > 1:
            day = last_day(source(name), open_warehouse())
        return {
            "source": name,
            "rows": report.rows,
            "rows_that_differ": report.rows_that_differ,
            "rows_reloaded": report.rows_reloaded,
            "rows_marked": report.rows_marked,
            "repaired_day": day.isoformat() if day else None,
        }

    @task(task_id="days_to_rebuild", trigger_rule=TriggerRule.ALL_DONE, **default_args("publish"))
    def days_to_rebuild() -> list[dict[str, str]]:
        """The days of the repairs, but for those that dbt has yet to build anyway."""
        from datetime import date

        from warehouse import open_warehouse

        context, warehouse = get_current_context(), open_warehouse()
        tasks = [f"reconcile_{source.name}" for source in SOURCES]
        found = context["ti"].xcom_pull(task_ids=tasks)  # None of one that failed or was skipped
        repaired = sorted({each["repaired_day"] for each in found if each} - {None})
        return [
            {"day": day, "cause": context["run_id"], "why": "A reconciliation repaired the day."}
            for day in repaired
            if warehouse.day_state(date.fromisoformat(day)).announced_by_all
        ]

    compared = [
        reconcile_source.override(task_id=f"reconcile_{source.name}")(source.name)
        for source in SOURCES
    ]
    to_rebuild = days_to_rebuild()
    rebuilding = build_day.expand_kwargs(to_rebuild)
    # Without this leaf, a failed comparison would leave the run green.
    done = EmptyOperator(
        task_id="done", trigger_rule=TriggerRule.NONE_FAILED, on_execute_callback=None
    )
    compared >> to_rebuild >> rebuilding >> done
    compared >> done
