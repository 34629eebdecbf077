"""Which day a run is for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from airflow.sdk import Param

from pipeline.days import current_day, past_day

DAY_FORMAT = "%Y-%m-%d"

DAY_PARAM = Param(
    None,
    type=["null", "string"],
    format="date",
    title="Day",
    description="The day to load, YYYY-MM-DD. Empty: the partition key of the run, or the current day (since 06:00 UTC).",
)


def day_of(context: Mapping[str, Any]) -> date:
    """The partition key of the run, else the day given in the trigger form, else the day that was
    current when it was asked for.

    ``DayError`` for a text that is no day, and for a day that has not come yet.
    """
    run = context["dag_run"]
    given = run.partition_key or (context.get("params") or {}).get("day")
    if given:
        return past_day(str(given))
    asked_for: datetime = run.run_after or datetime.now(UTC)
    return current_day(asked_for)
