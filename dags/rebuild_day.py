"""Airflow DAG: announces a complete day, or a range of them, again, so that dbt rebuilds the marts
after a correction.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from alerting.callbacks import on_dag_failure
from alerting.policy import default_args
from wiring.announcing import announcement_id
from wiring.datasets import PUBLISH_POOL, RAW_DATASETS

DOC = """
### What it does
Announces a day that all six sources have loaded once more, on all six raw Datasets in one transaction, so that `ecommerce_dbt`
runs for that day again. A source that is loaded again after its day was built triggers this by itself; a person triggers it with
a day, or with a first and a last day, in the form.

### When it fails
`check_days` names the days that are not complete and the sources they lack: load those first. See docs/runbook.md.

### Who cares
Whoever corrected something and waits for the numbers.
"""


def days_between(first: date, last: date) -> list[date]:
    """Every day from the first to the last, both included."""
    return [first + timedelta(days=offset) for offset in range((last - first).days + 1)]


with DAG(
    dag_id="rebuild_day",
    description="Announce a complete day again, so that its marts are rebuilt after a correction.",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args=default_args("publish"),
    on_failure_callback=on_dag_failure,
    params={
        "first_day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="First day",
            description="Empty: the current day.",
        ),
        "last_day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Last day",
            description="Empty: the first day.",
        ),
        "correction_of": Param(
            None,
            type=["null", "string"],
            title="Correction of",
            description="Set by a source that was loaded again: nothing is announced if dbt is about to run for the day anyway.",
        ),
    },
    tags=["ecommerce", "dbt", "on-demand"],
    doc_md=DOC,
) as dag:

    @task(task_id="check_days")
    def check_days() -> list[str]:
        """The days of the range; fails with a sentence if one of them is not complete."""
        from pipeline.days import DayError, current_day, past_day
        from pipeline.gate import check_complete
        from warehouse import open_warehouse

        params: dict[str, Any] = dict(get_current_context()["params"])
        first = past_day(params["first_day"]) if params["first_day"] else current_day()
        last = past_day(params["last_day"]) if params["last_day"] else first
        if last < first:
            raise DayError(f"The last day, {last}, lies before the first, {first}.")
        warehouse = open_warehouse()
        for day in days_between(first, last):
            check_complete(day, warehouse.load_records(day))
        return [day.isoformat() for day in days_between(first, last)]

    @task(task_id="announce_days", outlets=list(RAW_DATASETS), pool=PUBLISH_POOL)
    def announce_days(days: list[str]) -> list[str]:
        """All six Datasets in one transaction, so that dbt fires once per day; returns the days
        announced.
        """
        from warehouse import open_warehouse

        context = get_current_context()
        reason = context["params"]["correction_of"]
        announced = open_warehouse().announce_again(
            announcement_id(context, "rebuild"),
            [date.fromisoformat(day) for day in days],
            unless_due=bool(reason),
        )
        due = [day.isoformat() for day in announced]
        if not due:
            raise AirflowSkipException(
                f"dbt is about to run for {', '.join(days)} and will read this correction."
            )
        for dataset in RAW_DATASETS:
            event = context["outlet_events"][dataset]
            event.extra = {"announced_again": due, "correction_of": reason}
            event.add_partitions(due)
        return due

    announce_days(check_days())
