"""When the schedules tick, from which day on, and which day each tick is for."""

from __future__ import annotations

from datetime import datetime, timedelta

from airflow.sdk import CronPartitionTimetable, Param

from pipeline.days import DAY_FORMAT
from pipeline.schedule import daily_tick
from pipeline.settings import ScheduleSettings, settings

DAY_PARAM = Param(
    None,
    type=["null", "string"],
    format="date",
    title="Day",
    description="YYYY-MM-DD. Empty: the run's partition key, or the current day (since 06:00 UTC).",
)


def start_date() -> datetime:
    """``PIPELINE_START_DATE``; with a date in the past, a new installation runs the current day."""
    first: datetime = settings(ScheduleSettings).first_moment
    return first


def once_a_day(after: timedelta = timedelta(0)) -> CronPartitionTimetable:
    """One run a day, ``after`` the loads' start; its partition key is the day current then."""
    tick = daily_tick(after)
    return CronPartitionTimetable(
        tick.cron, timezone="UTC", run_offset=tick.run_offset, key_format=DAY_FORMAT
    )
