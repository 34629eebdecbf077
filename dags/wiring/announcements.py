"""What has been announced for a day, read from the raw Datasets' events, and what is to be announced next.

Every event of a day belongs to a round: the first is complete when all six sources have announced the day, and makes dbt
run. A seventh event alone would begin a round that nothing ever completes, so after the first round a source never
announces alone again: the whole day is announced again, by `rebuild_day`, all six in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from ingestion.days import upper_bound
from wiring.datasets import RAW_DATASETS

Announced = dict[str, datetime | None]


def announced(inlet_events: Mapping[Any, Any], day: date) -> Announced:
    """When each source last announced that day, by Dataset name; None where it has not."""
    since = upper_bound(day).replace(tzinfo=UTC).isoformat()  # nothing can be announced before its day's upper bound
    newest: Announced = {}
    for dataset in RAW_DATASETS:
        events = [event for event in inlet_events[dataset].after(since) if event.partition_key == day.isoformat()]
        newest[dataset.name] = max((event.timestamp for event in events), default=None)
    return newest


def is_correction(own: str, day: Announced) -> bool:
    """Whether the day's first round is complete without this announcement, so that announcing alone would never fire dbt."""
    return all(day.values()) and day[own] is not None


def build_is_due(day: Announced, last_build: datetime | None) -> bool:
    """Whether dbt has been called for the day but has not begun yet: it will read everything loaded until now.

    ``last_build``: when the newest dbt run for the day began, before it read the load records; UTC without a zone.
    """
    called = [moment for moment in day.values() if moment is not None]
    if len(called) < len(day):
        return False
    return last_build is None or max(called) > last_build.replace(tzinfo=UTC)
