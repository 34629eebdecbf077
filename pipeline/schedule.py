"""When the loads of a day are started: ``PIPELINE_RUN_AT``, 06:00 UTC unless a setting says
otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pipeline.days import upper_bound
from pipeline.settings import ScheduleSettings, settings

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class DailyTick:
    """A moment of every day as cron names it, and how many ticks the day it is for lies behind (0
    or -1).
    """

    cron: str
    run_offset: int


def scheduled_start(day: date) -> datetime:
    """When the day's loads are started, UTC without a zone: the first ``PIPELINE_RUN_AT`` at or
    after 06:00 UTC of the day.

    What a day holds does not depend on it: its upper bound stays 06:00 UTC.
    """
    start = datetime.combine(day, settings(ScheduleSettings).time_to_run)
    return start if start >= upper_bound(day) else start + _DAY


def daily_tick(after: timedelta = timedelta(0)) -> DailyTick:
    """The tick that comes ``after`` the start of a day's loads; ``after`` in whole minutes, less
    than a day.
    """
    any_day = date(2000, 1, 3)
    moment = scheduled_start(any_day) + after
    return DailyTick(f"{moment.minute} {moment.hour} * * *", (any_day - moment.date()).days)
