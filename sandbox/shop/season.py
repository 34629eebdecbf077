"""When people order: growth over the year, weekdays, hours, and the holiday season of a US shop.

Moments are whole microseconds since 1970, UTC.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, timedelta
from functools import cache

import numpy as np

from sandbox.shop.chance import Floats, Ints

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
GROWTH_PER_DAY = math.log(3) / 365  # three times as many orders as a year ago

WEEKDAYS = (1.06, 1.02, 0.99, 0.97, 0.93, 0.95, 1.08)
HOURS_UTC = (
    *(1.25, 1.20, 1.10, 0.95, 0.75, 0.50, 0.32, 0.22, 0.18, 0.18, 0.25, 0.40),
    *(0.65, 0.90, 1.10, 1.25, 1.35, 1.40, 1.40, 1.35, 1.30, 1.30, 1.35, 1.32),
)


def micros(moment: datetime) -> int:
    """A UTC moment without a zone, as microseconds since 1970."""
    return (moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def iso(moments: Ints) -> list[str]:
    """ISO 8601 texts, microseconds included, as PostgreSQL reads them."""
    return [
        str(text) for text in np.datetime_as_string(moments.astype("datetime64[us]"), unit="us")
    ]


def black_friday(year: int) -> date:
    """The day after the fourth Thursday of November."""
    first = date(year, 11, 1)
    return first + timedelta(days=(3 - first.weekday()) % 7 + 22)


@cache
def day_factor(day: date) -> float:
    """How busy a day is compared with an ordinary day of the same year, growth included."""
    after_black_friday = (day - black_friday(day.year)).days
    season = {
        -4: 1.5,
        -3: 1.5,
        -2: 1.6,
        -1: 1.8,
        0: 3.2,
        1: 2.2,
        2: 2.0,
        3: 3.0,
        4: 1.9,
        5: 1.7,
    }.get(after_black_friday)
    if season is None:
        match day.month, day.day:
            case 11, number:
                season = 1.05 + number / 100
            case 12, number if number <= 18:
                season = 1.65
            case 12, number if number <= 23:
                season = 1.3
            case 12, 24 | 25:
                season = 0.45
            case 12, _:
                season = 1.1
            case 1, _:
                season = 0.8
            case 2, number if 7 <= number <= 13:
                season = 1.25
            case 7, number if 14 <= number <= 17:
                season = 1.6
            case ((2 | 7 | 8), _):
                season = 0.92
            case _:
                season = 1.0
    return (
        season * WEEKDAYS[day.weekday()] * math.exp(GROWTH_PER_DAY * (day - date(2026, 1, 1)).days)
    )


def _hourly(start: int, end: int) -> tuple[Ints, Ints, Floats]:
    """The hours in (start, end], cut at both ends: begin, length, and worth in orders."""
    begins = np.arange(start // HOUR, (end - 1) // HOUR + 1, dtype=np.int64) * HOUR
    ends = np.minimum(begins + HOUR, end)
    begins = np.maximum(begins, start)
    first = date(1970, 1, 1)
    factors = [
        day_factor(first + timedelta(days=int(begin // DAY))) * HOURS_UTC[int(begin % DAY // HOUR)]
        for begin in begins
    ]
    return begins, ends - begins, np.array(factors) * (ends - begins) / HOUR


def worth(start: int, end: int) -> float:
    """How many orders (start, end] is worth, in a unit that is the same at all times."""
    return float(_hourly(start, end)[2].sum()) if end > start else 0.0


def moments(rng: np.random.Generator, count: int, start: int, end: int) -> Ints:
    """``count`` moments in (start, end], sorted, as dense as the shop is busy."""
    if count == 0:
        return np.empty(0, dtype=np.int64)
    begins, lengths, weights = _hourly(start, end)
    hours = rng.choice(len(begins), size=count, p=weights / weights.sum())
    drawn = begins[hours] + 1 + (rng.random(count) * lengths[hours]).astype(np.int64)
    return np.sort(np.minimum(drawn, end))
