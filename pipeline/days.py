"""A day, the unit of everything: its key, its upper bound, and which day a run of Airflow is
for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from pipeline.errors import PermanentError
from pipeline.settings import ScheduleSettings, settings

DAY_FORMAT = "%Y-%m-%d"
# UTC. All sources of a day have the same upper bound, so that they agree with each other.
BOUNDARY = time(6, 0)
EARLIEST = date(2000, 1, 1)  # windows reach back from a day, and 0001-01-01 has nothing before it


class DayError(PermanentError):
    """The text given as a day is none, or the day lies too far back or in the future."""


def parse_day(text: str) -> date:
    """``2026-11-22`` as a date; ``DayError`` for anything else, and for a day before
    ``EARLIEST``.
    """
    try:
        day = datetime.strptime(text, DAY_FORMAT).date()
    except (TypeError, ValueError):
        day = None
    # strptime takes 2026-1-2 as well, which is no partition key.
    if day is None or day.isoformat() != text:
        raise DayError(
            f"{text!r} is not a day. Give it as YYYY-MM-DD, for example {current_day()}."
        )
    if day < EARLIEST:
        raise DayError(f"{text} cannot be loaded: the earliest day is {EARLIEST}.")
    return day


def current_day(now: datetime | None = None) -> date:
    """The latest day whose upper bound (06:00 UTC) has passed. ``now`` without a zone is UTC."""
    now = now or datetime.now(UTC)
    now = now.astimezone(UTC) if now.tzinfo else now
    return (now - timedelta(hours=BOUNDARY.hour, minutes=BOUNDARY.minute)).date()


def past_day(text: str, now: datetime | None = None) -> date:
    """``parse_day``, refusing a day whose upper bound has not come yet, and one further back than
    ``PIPELINE_MOST_DAYS_BACK``.
    """
    day, today = parse_day(text), current_day(now)
    if day > today:
        raise DayError(
            f"{day} has not come yet: a day can be loaded from 06:00 UTC on it. The latest is "
            f"{today}."
        )
    most = settings(ScheduleSettings).most_days_back
    if (today - day).days > most:
        raise DayError(
            f"{day} lies {(today - day).days:,} days back: is the year right? "
            f"PIPELINE_MOST_DAYS_BACK allows {most:,} days."
        )
    return day


def upper_bound(day: date) -> datetime:
    """06:00 UTC of the day, without a zone, as all timestamps in the warehouse are: rows up to and
    including it count.
    """
    return datetime.combine(day, BOUNDARY)


def day_of(run: Any) -> date:
    """The day a run is for.

    It is the run's partition key, else the ``day`` of its conf (typed into the trigger form, or
    given by a task that started the run), else the day that was current when the run was asked for.

    Args:
        run: as Airflow hands it over: the ``dag_run`` of a task, a row of the metadata database, or
            the JSON of the REST API and of deadline callbacks.

    Raises:
        DayError: the text given is no day, the day has not come yet, or the run says nothing at
            all. A task fails with it; an alert then has no day, a run no deadline, and the page
            leaves the run out.
    """
    given = _field(run, "partition_key") or (_field(run, "conf") or {}).get("day")
    if given:
        return past_day(str(given))
    asked_for = _field(run, "run_after")
    if isinstance(asked_for, str):
        asked_for = datetime.fromisoformat(asked_for)
    if asked_for is None:
        raise DayError("The run has neither a partition key nor the moment it was asked for.")
    return current_day(asked_for)


def known_day(run: Any) -> date | None:
    """``day_of``, or None for a run whose key is no day of ours: anybody can trigger one."""
    try:
        return day_of(run)
    except DayError:
        return None


def _field(run: Any, name: str) -> Any:
    return run.get(name) if isinstance(run, Mapping) else getattr(run, name, None)
