"""Airflow DAG: at 06:30 UTC looks whether the day is complete, says what is missing, and repairs
what can be repaired.
"""

from __future__ import annotations

from datetime import UTC, date, timedelta

from airflow.sdk import DAG, get_current_context, task

from alerting.callbacks import on_dag_failure
from alerting.policy import PIPELINE_SLA, default_args
from pipeline.days import day_of
from pipeline.sources import SOURCES
from wiring.builds import DBT_DAG, build_day
from wiring.calendar import DAY_PARAM, once_a_day, start_date

DAYS_LOOKED_AT = 30
PENDING_DAYS_TOLERATED = 3

DOC = """
### What it does
At 06:30 UTC, the end of the pipeline's SLA, it compares the day's load records and announcements
with what is published. A day that is not published is reported as an SLA breach, with what it is
waiting for. If all six sources of it, or of one of the 30 days before, are loaded and dbt never
began (it was paused, or an event was lost), it starts a run of `ecommerce_dbt` for that day and
says so; while that DAG is paused the run waits for it. It also warns when days pile up that only
some sources have announced.

### When it fails
It could not read the warehouse or Airflow's events; the pipeline itself is not touched by it. See
docs/runbook.md.

### Who cares
Whoever is on call. If the scheduler itself is dead this DAG does not run either: `make status`,
or any check of Airflow's health address from outside, covers that.
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

        from alerting.policy import pipeline_sla
        from alerting.sla import Breach, report_breach
        from pipeline.day_report import report_day
        from pipeline.days import current_day
        from pipeline.schedule import scheduled_start
        from transform import read_publication
        from warehouse import open_warehouse

        log = logging.getLogger("airflow.task")
        context, warehouse, publication = (
            get_current_context(),
            open_warehouse(),
            read_publication(),
        )
        day, ti = day_of(context["dag_run"]), context["ti"]
        first = day - timedelta(days=DAYS_LOOKED_AT)
        running = frozenset(
            source.name
            for source in SOURCES
            if ti.get_dr_count(source.dag_id, states=["queued", "running"])
        )
        state, records = warehouse.day_state(day), warehouse.load_records(day)
        to_build = warehouse.days_to_build(first, day)
        report = report_day(
            state,
            records,
            running=running,
            published_day=publication.day if publication else None,
            errors=_errors_of(day),
            lost=day in to_build,
            paused=ti.get_dag(DBT_DAG).is_paused,
        )
        for sentence in report.sentences():
            log.info(sentence)
        earlier = [str(other) for other in to_build if other != day]
        if earlier:
            log.warning(
                "Complete, but not built: %s. Runs of them are started.", ", ".join(earlier)
            )
        pending = [str(other) for other in warehouse.pending_days(first) if other != day]
        if len(pending) > PENDING_DAYS_TOLERATED:
            log.warning(
                "%d days wait for some of their sources: %s", len(pending), ", ".join(pending)
            )

        if not report.published and day == current_day():
            report_breach(
                Breach(
                    scope="the pipeline",
                    day=day,
                    sla=pipeline_sla(),
                    since=scheduled_start(day).replace(tzinfo=UTC),
                    waiting_for=" ".join(report.conclusion()),
                    dag_id=context["dag"].dag_id,
                    run_id=context["run_id"],
                )
            )
        return [
            {"day": str(other), "cause": load_id, "why": "The monitor found it loaded, not built."}
            for other, load_id in to_build.items()
        ]

    build_day.expand_kwargs(check_day())


def _errors_of(day: date) -> dict[str, str]:
    """What was reported last of each source's failed tries of a day; none where that is unknown."""
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
    names = {source.dag_id: source.name for source in SOURCES}
    return {
        names[dag_id]: text
        for (of_day, dag_id, _), text in reported.items()
        if of_day == str(day) and dag_id in names
    }
