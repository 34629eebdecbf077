"""The gate before dbt: the warehouse's own load records decide whether a day is complete, not the
events alone.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from pipeline.errors import PermanentError
from pipeline.records import LoadRecord
from pipeline.sources import SOURCES


class HeldDayError(PermanentError):
    """A doubtful day was not published, because somebody said so or nobody answered in time."""


class MarkedByHandError(PermanentError):
    """Somebody marked a task as a success that had not done its work: nothing came of it."""


class IncompleteDayError(PermanentError):
    """A day was announced as complete, but the warehouse has no load record for one of its
    sources.
    """


def result_of(task_id: str, returned: Any, lacking: str) -> dict[str, Any]:
    """What a task returned; ``MarkedByHandError`` where it returned nothing, because it never ended
    by itself.

    Args:
        lacking: what is not there because of that, such as "nothing was loaded".
    """
    if isinstance(returned, dict):
        return returned
    raise MarkedByHandError(
        f"{task_id} was marked success by hand, and {lacking}. Clear {task_id}: what follows it is "
        "run again with it."
    )


def check_complete(day: date, records: tuple[LoadRecord, ...]) -> list[dict[str, Any]]:
    """What each of the six loads of the day brought, in the order of ``SOURCES``;
    ``IncompleteDayError`` names those missing.
    """
    loaded = {record.source: record for record in records}
    missing = [source for source in SOURCES if source.name not in loaded]
    if missing:
        names = ", ".join(f"{source.name} (DAG {source.dag_id})" for source in missing)
        raise IncompleteDayError(
            f"{day} is not complete: the warehouse has no load record of {names}. "
            "Trigger the DAG named for that day; dbt follows by itself when all six are there."
        )
    return [loaded[source.name].as_event() for source in SOURCES]
