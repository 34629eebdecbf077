"""Which days were repaired by a reconciliation, and for which sources. No Airflow in here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any


def repaired_days(results: Iterable[Mapping[str, Any] | None]) -> dict[date, list[str]]:
    """Names of the repaired sources by day, from the results of their tasks; None where a task
    failed or was skipped.
    """
    days: dict[date, list[str]] = {}
    for result in results:
        if result and result["repaired_day"]:
            days.setdefault(date.fromisoformat(result["repaired_day"]), []).append(result["source"])
    return dict(sorted(days.items()))
