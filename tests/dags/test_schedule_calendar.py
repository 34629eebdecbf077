"""When the schedules tick and which day each tick is for, at any time of the day."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import pytest
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import TimeRestriction
from airflow.timetables.trigger import CronPartitionTimetable

from pipeline.days import current_day
from pipeline.errors import SettingsError
from pipeline.schedule import scheduled_start
from pipeline.settings import settings
from wiring.calendar import once_a_day, start_date

HALF_AN_HOUR = timedelta(minutes=30)


@pytest.fixture(autouse=True)
def fresh_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("PIPELINE_RUN_AT", raising=False)
    settings.cache_clear()
    yield
    settings.cache_clear()


def first_tick(after: timedelta) -> tuple[datetime, str]:
    """The first run after midnight of 1 October 2026 and its partition key, for the scheduler."""
    timetable = decode_timetable(encode_timetable(once_a_day(after)))
    assert isinstance(timetable, CronPartitionTimetable)
    # In the future, so that no tick is missed yet.
    start = start_date().replace(year=2030, month=10, day=1)
    info = timetable.next_dagrun_info_v2(
        last_dagrun_info=None, restriction=TimeRestriction(start, None, catchup=False)
    )
    assert info and info.partition_key
    return info.run_after, info.partition_key


def test_the_sources_are_loaded_at_six_and_the_monitor_looks_half_an_hour_later() -> None:
    for after, moment in ((timedelta(0), "06:00"), (HALF_AN_HOUR, "06:30")):
        run_after, key = first_tick(after)
        assert (run_after.isoformat(), key) == (f"2030-10-01T{moment}:00+00:00", "2030-10-01")


@pytest.mark.parametrize(
    "run_at", ["06:00", "07:45", "23:29", "23:30", "23:59", "00:00", "05:29", "05:30", "05:59"]
)
@pytest.mark.parametrize("after", [timedelta(0), HALF_AN_HOUR])
def test_a_tick_is_for_the_day_that_was_current_when_its_loads_were_started(
    run_at: str, after: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_RUN_AT", run_at)
    settings.cache_clear()
    run_after, key = first_tick(after)
    start = run_after - after
    assert f"{start:%H:%M}" == run_at
    assert key == current_day(start).isoformat()
    assert scheduled_start(date.fromisoformat(key)) == start.replace(tzinfo=None)


@pytest.mark.parametrize("text", ["6:00", "24:00", "06:60", "0 6 * * *", "06:00:00"])
def test_a_time_that_is_none_is_refused_with_a_sentence(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIPELINE_RUN_AT", text)
    settings.cache_clear()
    with pytest.raises(
        SettingsError, match=r"PIPELINE_RUN_AT: .* is no time of the day; give it as HH:MM in UTC"
    ):
        once_a_day()


def test_a_start_date_that_is_none_is_refused_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PIPELINE_START_DATE", "tomorrow")
    settings.cache_clear()
    with pytest.raises(
        SettingsError, match=r"PIPELINE_START_DATE: .* is no day; give it as YYYY-MM-DD"
    ):
        start_date()
