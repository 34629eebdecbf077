"""Airflow DAG: at 06:30 UTC looks whether the day is complete, says what is missing, and repairs
what can be repaired.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, get_current_context, task

from alerting.callbacks import on_dag_failure
from alerting.policy import PIPELINE_SLA, default_args
from pipeline.day_report import DBT_DAG
from pipeline.days import day_of
from pipeline.records import DayState
from pipeline.sources import SOURCES
from wiring.builds import build_day
from wiring.calendar import DAY_PARAM, once_a_day, start_date

DAYS_LOOKED_AT = 30
DAGS = tuple(source.dag_id for source in SOURCES)

DOC = """
### What it does
At 06:30 UTC, the end of the pipeline's SLA, it compares the day's load records and announcements
with what is published. A day that is not published is reported as an SLA breach, with what it is
waiting for. If all six sources of it, or of one of the 30 days before, are loaded and dbt never
began (it was paused, or an event was lost), it starts a run of `ecommerce_dbt` for that day and
says so; while that DAG is paused the run waits for it. It also says which days since the last
complete one lack a source, which DAGs are paused, which DAG files cannot be read, and on Mondays
what came back within the week. At its end it calls `HEARTBEAT_URL`, so that a dead scheduler is
noticed from outside.

### When it fails
It could not read the warehouse or Airflow's events; the pipeline itself is not touched by it. See
docs/runbook.md.

### Who cares
Whoever is on call. If the scheduler itself is dead this DAG does not run either: then the heartbeat
is missing.
"""

with DAG(
    dag_id="ecommerce_sla_monitor",
    description="At 06:30 UTC: is the day published? Says what is missing, repairs what it can.",
    schedule=once_a_day(PIPELINE_SLA),
    start_date=start_date(),
    catchup=False,
    max_active_runs=1,
    default_args=default_args("publish"),
    on_failure_callback=on_dag_failure,
    params={"day": DAY_PARAM},
    tags=["ecommerce", "monitor"],
    doc_md=DOC,
) as dag:

    @task(task_id="check_day")
    def check_day() -> list[dict[str, str]]:
        """Report the day; returns the builds to start, of this day and of those before it."""
        import logging

        from alerting.heartbeat import beat
        from alerting.morning import incomplete_days, sentences_about, unreadable
        from alerting.sla import report_morning, report_week
        from pipeline.day_report import report_day
        from pipeline.days import current_day
        from transform import read_publication
        from warehouse import open_warehouse

        log = logging.getLogger("airflow.task")
        context, warehouse = get_current_context(), open_warehouse()
        day, ti = day_of(context["dag_run"]), context["ti"]
        publication = read_publication()
        first = day - timedelta(days=DAYS_LOOKED_AT)
        state, errors = warehouse.day_state(day), _errors_of(day)
        to_build = warehouse.days_to_build(first, day)
        report = report_day(
            state,
            warehouse.load_records(day),
            running=_running(ti),
            published_day=publication.day if publication else None,
            errors=errors,
            lost=day in to_build,
            paused=[dag_id for dag_id in (*DAGS, DBT_DAG) if ti.get_dag(dag_id).is_paused],
            build_failed=_build_failed(ti, state, errors),
        )
        for sentence in report.sentences():
            log.info(sentence)
        waiting = [str(other) for other in to_build if other != day]
        if waiting:
            log.warning(
                "Complete, but not built: %s. Runs of them are started.", ", ".join(waiting)
            )
        days = [first + timedelta(days=number) for number in range(DAYS_LOOKED_AT)]
        before = sentences_about(
            incomplete_days(warehouse.rows_loaded(days), first, day - timedelta(days=1))
        )
        broken = unreadable(Path(__file__).parent)
        for sentence in (*before, *broken):
            log.warning(sentence)

        if day == current_day():
            also = [("Days before", text) for text in before] + [("DAGs", text) for text in broken]
            report_morning(report, also, context["dag"].dag_id, context["run_id"])
            report_week(day, context["dag"].dag_id, context["run_id"])
        beat()
        return [
            {"day": str(other), "cause": load_id, "why": "The monitor found it loaded, not built."}
            for other, load_id in to_build.items()
        ]

    build_day.expand_kwargs(check_day())


def _running(ti: Any) -> frozenset[str]:
    """Sources whose DAG has a run that is queued or under way."""
    return frozenset(
        source.name
        for source in SOURCES
        if ti.get_dr_count(source.dag_id, states=["queued", "running"])
    )


def _build_failed(ti: Any, state: DayState, errors: Mapping[str, str]) -> str:
    """What the newest build of the day failed with; empty where it has not failed."""
    newest = [run_id for run_id, began in state.builds.items() if began == state.last_build]
    if not newest or not ti.get_dr_count(DBT_DAG, run_ids=newest, states=["failed"]):
        return ""
    return errors.get(DBT_DAG) or "its run was marked failed"


def _errors_of(day: date) -> dict[str, str]:
    """What was reported last of the day's failed tries, by source, and of `ecommerce_dbt`; none
    where that is unknown.
    """
    import logging

    from alerting.store import newest_errors
    from pipeline.masking import mask
    from pipeline.schedule import scheduled_start

    try:
        reported = newest_errors(scheduled_start(day))
    except Exception as error:
        logging.getLogger("airflow.task").warning(
            "What failed is not known, the store of sent alerts cannot be read: %s",
            mask(str(error)),
        )
        return {}
    names = {source.dag_id: source.name for source in SOURCES} | {DBT_DAG: DBT_DAG}
    return {
        names[dag_id]: said.text
        for (of_day, dag_id, _), said in reported.items()
        if of_day == str(day) and dag_id in names
    }
