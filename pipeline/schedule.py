"""When a day's loads start: ``PIPELINE_RUN_AT``, by default 06:00 UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline.days import upper_bound
from pipeline.settings import ScheduleSettings, settings

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DailyTick:
    """A moment of every day as cron names it; ``run_offset``: ticks back to its day (0 or -1)."""

    cron: str
    run_offset: int


def scheduled_start(day: date) -> datetime:
    """When the day's loads start: the first ``PIPELINE_RUN_AT`` from 06:00 UTC of the day on.

    UTC, without a zone.

    What a day holds does not depend on it: its upper bound stays 06:00 UTC.
    """
    start = datetime.combine(day, settings(ScheduleSettings).time_to_run)
    return start if start >= upper_bound(day) else start + _DAY


def daily_tick(after: timedelta = timedelta(0)) -> DailyTick:
    """The tick ``after`` the start of a day's loads; whole minutes, less than a day."""
    any_day = date(2000, 1, 3)
    moment = scheduled_start(any_day) + after
    return DailyTick(f"{moment.minute} {moment.hour} * * *", (any_day - moment.date()).days)
