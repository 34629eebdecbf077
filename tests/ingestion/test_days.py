"""A day begins to count at 06:00 UTC, and is written in one way only."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.days import EARLIEST, DayError, current_day, parse_day, past_day, upper_bound
from pipeline.errors import PermanentError
from pipeline.settings import settings

NOW = datetime(2026, 11, 22, 5, 59, 59, tzinfo=UTC)


@given(st.dates(min_value=EARLIEST))
def test_a_key_is_read_back_as_the_day_it_was_made_from(day: date) -> None:
    assert parse_day(day.isoformat()) == day


@given(st.text(max_size=12))
def test_any_text_is_the_one_key_of_a_day_or_refused(text: str) -> None:
    try:
        assert parse_day(text).isoformat() == text
    except DayError as error:
        assert "YYYY-MM-DD" in str(error) or text < str(EARLIEST)


@pytest.mark.parametrize(
    "text",
    [
        "2026-1-2",
        "20261122",
        "2026-02-30",
        "22.11.2026",
        "2026-W47-7",
        " 2026-11-22",
        "２０２６-11-22",
        "",
    ],
)
def test_other_ways_to_write_a_day_are_refused_for_good(text: str) -> None:
    with pytest.raises(PermanentError, match="is not a day"):
        parse_day(text)


def test_a_day_before_everything_is_refused_for_good() -> None:
    """A window that reaches back from it would leave the calendar."""
    with pytest.raises(PermanentError, match="0001-01-01 cannot be loaded: the earliest day is"):
        parse_day("0001-01-01")


def test_a_day_begins_at_six_utc() -> None:
    assert current_day(NOW) == date(2026, 11, 21)
    assert current_day(NOW + timedelta(seconds=1)) == date(2026, 11, 22)
    assert upper_bound(date(2026, 11, 22)) == datetime(2026, 11, 22, 6)


def test_the_zone_of_the_clock_does_not_matter() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    assert tokyo.date() == date(2026, 11, 22)
    assert current_day(tokyo) == date(2026, 11, 21)


@given(
    st.datetimes(
        min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC)
    )
)
def test_the_current_day_is_the_latest_whose_upper_bound_has_passed(now: datetime) -> None:
    day = current_day(now)
    assert upper_bound(day) <= now.replace(tzinfo=None) < upper_bound(day + timedelta(days=1))


def test_a_day_that_has_not_come_is_refused_with_the_latest_that_has() -> None:
    assert past_day("2026-11-21", NOW) == date(2026, 11, 21)
    with pytest.raises(DayError, match=r"2026-11-22 has not come yet.*The latest is 2026-11-21"):
        past_day("2026-11-22", NOW)


def test_a_year_mistyped_is_refused_and_the_limit_is_a_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(DayError, match=r"2016-11-21 lies 3,652 days back: is the year right\?"):
        past_day("2016-11-21", NOW)
    monkeypatch.setenv("PIPELINE_MOST_DAYS_BACK", "4000")
    settings.cache_clear()
    assert past_day("2016-11-21", NOW) == date(2016, 11, 21)
    settings.cache_clear()
