"""Airflow DAG: at 06:30 UTC looks whether the day is complete, says what is missing, and repairs
what can be repaired.
"""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import DAG, get_current_context, task

from alerting.callbacks import on_dag_failure
from alerting.policy import PIPELINE_SLA, default_args
from pipeline.days import day_of
from pipeline.sources import SOURCES
from wiring.calendar import DAY_PARAM, once_a_day, start_date

PENDING_DAYS_LOOKED_AT = 30
PENDING_DAYS_TOLERATED = 3

DOC = """
### What it does
At 06:30 UTC, the end of the pipeline's SLA, it compares the day's load records and announcements with what is published. A
day that is not published is reported as an SLA breach, with what it is waiting for. If all six sources are loaded and
dbt was never called (its DAG was paused, or an event was lost), it triggers `rebuild_day` for the day and says so. It
also warns when days pile up that only some sources have announced.

### When it fails
It could not read the warehouse or Airflow's events; the pipeline itself is not touched by it. See docs/runbook.md.

### Who cares
Whoever is on call. If the scheduler itself is dead this DAG does not run either: `make status`, or any check of
Airflow's health address from outside, covers that.
"""

with DAG(
    dag_id="ecommerce_sla_monitor",
    description="At 06:30 UTC: is the day complete and published? If not, say what is missing, and repair what can be repaired.",
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

    @task.short_circuit(task_id="check_day")
    def check_day() -> dict[str, Any]:
        """Report the day; what follows runs only if the day has to be announced again."""
        import logging

        from alerting.policy import pipeline_sla
        from alerting.sla import Breach, report_breach
        from alerting.store import newest_errors
        from pipeline.day_report import report_day
        from pipeline.days import current_day
        from pipeline.masking import mask
        from pipeline.schedule import scheduled_start
        from transform import read_publication
        from warehouse import open_warehouse

        log = logging.getLogger("airflow.task")
        context = get_current_context()
        day, ti = day_of(context["dag_run"]), context["ti"]
        warehouse, publication = open_warehouse(), read_publication()
        running = frozenset(
            source.name
            for source in SOURCES
            if ti.get_dr_count(source.dag_id, states=["queued", "running"])
        )
        published_day = publication.day if publication else None
        try:
            reported = newest_errors(scheduled_start(day))
        except Exception as error:
            log.warning(
                "What failed is not known, the store of sent alerts cannot be read: %s",
                mask(str(error)),
            )
            reported = {}
        errors = {
            source.name: text
            for source in SOURCES
            for (of_day, dag_id, _), text in reported.items()
            if (of_day, dag_id) == (day.isoformat(), source.dag_id)
        }
        report = report_day(
            warehouse.day_state(day), warehouse.load_records(day), running, published_day, errors
        )
        for sentence in report.sentences():
            log.info(sentence)

        pending = [
            str(key)
            for key in warehouse.pending_days(day - timedelta(days=PENDING_DAYS_LOOKED_AT))
            if key != day
        ]
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
        return {"day": day.isoformat(), "waiting_for": report.waiting_for} if report.lost else {}

    announce = TriggerDagRunOperator(
        task_id="announce_again",
        trigger_dag_id="rebuild_day",
        conf={"first_day": "{{ ti.xcom_pull('check_day')['day'] }}"},
    )
    check_day() >> announce
