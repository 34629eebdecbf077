"""dim_dates against others' calendars: Python's ISO weeks and pandas' US federal holidays."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pandas.tseries.holiday import USFederalHolidayCalendar

from tests.builders.raw_shop import RawShop
from tests.builders.run_dbt import runner, warehouse

Day = dict[str, Any]


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory, target_path: Path) -> dict[date, Day]:
    folder = tmp_path_factory.mktemp("warehouse")
    RawShop(1, date(2026, 11, 1)).write(folder)
    runner(folder, target_path)("run", "--select", "dim_dates")
    with warehouse(folder) as connection:
        cursor = connection.execute(
            "select * from ecommerce_analytics.marts.dim_dates order by date_day"
        )
        names = [column[0] for column in cursor.description or ()]
        return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def test_the_calendar_has_every_day_of_its_years(days: dict[date, Day]) -> None:
    first, last = min(days), max(days)
    assert (first, last) == (date(2015, 1, 1), date(2044, 12, 31))
    assert list(days) == [
        first + timedelta(days=number) for number in range((last - first).days + 1)
    ]


def test_iso_weeks_are_pythons(days: dict[date, Day]) -> None:
    for day, row in days.items():
        year, week, weekday = day.isocalendar()
        assert (row["iso_year"], row["iso_week"], row["day_of_week"]) == (year, week, weekday)
        assert row["iso_week_label"] == f"{year}-W{week:02d}"
        assert (row["day_name"], row["month_name"]) == (day.strftime("%A"), day.strftime("%B"))
        assert row["day_of_year"] == day.timetuple().tm_yday


def test_the_fiscal_year_begins_in_february(days: dict[date, Day]) -> None:
    def fiscal(day: date) -> tuple[int, int, int]:
        return days[day]["fiscal_year"], days[day]["fiscal_quarter"], days[day]["fiscal_month"]

    assert fiscal(date(2026, 1, 31)) == (2025, 4, 12)
    assert fiscal(date(2026, 2, 1)) == (2026, 1, 1)
    assert fiscal(date(2026, 4, 30)) == (2026, 1, 3)
    assert fiscal(date(2026, 5, 1)) == (2026, 2, 4)
    assert fiscal(date(2026, 12, 31)) == (2026, 4, 11)


def test_days_off_are_the_federal_holidays_as_observed(days: dict[date, Day]) -> None:
    calendar = USFederalHolidayCalendar().holidays(start=min(days), end=max(days))
    # a New Year's Day on the Saturday after the calendar's last day would be observed on that last
    # day
    expected = {holiday.date() for holiday in calendar if isinstance(holiday, pd.Timestamp)}
    observed = {day for day, row in days.items() if row["is_observed_holiday"]}
    assert observed == expected


def test_a_holiday_keeps_its_own_date_too(days: dict[date, Day]) -> None:
    assert days[date(2026, 7, 4)]["holiday_name"] == "Independence Day"  # a Saturday
    assert days[date(2026, 7, 4)]["observed_holiday_name"] is None
    assert days[date(2026, 7, 3)]["observed_holiday_name"] == "Independence Day"
    assert not days[date(2026, 7, 3)]["is_business_day"]
    assert days[date(2021, 12, 31)]["observed_holiday_name"] == "New Year's Day"  # of the next year
    assert days[date(2020, 6, 19)]["holiday_name"] is None  # Juneteenth is a holiday since 2021
