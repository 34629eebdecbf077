"""Airflow DAG: has the marts of a complete day, or of a range of days, built again on request."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from alerting.callbacks import on_dag_failure
from alerting.policy import default_args
from wiring.builds import build_day

DOC = """
### What it does
Starts a run of `ecommerce_dbt` for a day that all six sources have loaded, or for each day from
the first to the last given in the form, one after the other. A source that is loaded again after
its day was built has its marts rebuilt without this DAG.

### When it fails
`check_days` names the days that are not complete and the sources they lack: load those first. See
docs/runbook.md.

### Who cares
Whoever corrected something and waits for the numbers.
"""


def _day_param(title: str, empty: str) -> Param:
    return Param(
        None, type=["null", "string"], format="date", title=title, description=f"Empty: {empty}."
    )


with DAG(
    dag_id="rebuild_day",
    description="Build the marts of a complete day, or of a range of days, again.",
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args=default_args("publish"),
    on_failure_callback=on_dag_failure,
    params={
        "first_day": _day_param("First day", "the current day"),
        "last_day": _day_param("Last day", "the first day"),
    },
    tags=["ecommerce", "dbt", "on-demand"],
    doc_md=DOC,
) as dag:

    @task(task_id="check_days")
    def check_days() -> list[dict[str, str]]:
        """The days of the range; fails with a sentence if one of them is not complete."""
        from pipeline.days import DayError, current_day, past_day
        from pipeline.gate import check_complete
        from warehouse import open_warehouse

        context = get_current_context()
        params: dict[str, Any] = dict(context["params"])
        first = past_day(params["first_day"]) if params["first_day"] else current_day()
        last = past_day(params["last_day"]) if params["last_day"] else first
        if last < first:
            raise DayError(f"The last day, {last}, lies before the first, {first}.")
        days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        warehouse = open_warehouse()
        for day in days:
            check_complete(day, warehouse.load_records(day))
        return [
            {"day": str(day), "cause": context["run_id"], "why": "Asked for with rebuild_day."}
            for day in days
        ]

    build_day.expand_kwargs(check_days())
