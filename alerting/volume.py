"""What a source usually brings on that weekday, and whether a day lies far outside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median

WEEKS = 8  # how many earlier days of the same weekday are looked at
FEWEST = 4  # with fewer of them nothing is said
# A spread of MAD * 1.4826 is a standard deviation for normally distributed counts. Eight days tell
# it badly, so a day less than 30 % off is never called far outside, whatever they say; nor are five
# rows of a source that brings a handful.
SIGMAS, FLOOR_SHARE, FLOOR_ROWS = 4.0, 0.30, 5.0
_MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Band:
    """Rows that are usual: the median of the same weekday, and how far a day may be off."""

    middle: float
    low: float
    high: float

    def far_outside(self, rows: int) -> bool:
        return not self.low <= rows <= self.high


def usual(rows_by_day: Mapping[date, int], day: date) -> Band | None:
    """The usual band of a day: the same weekday of the eight weeks before.

    None where fewer than four of them are known.
    """
    earlier = [rows_by_day[before] for before in same_weekday(day) if before in rows_by_day]
    return _band(earlier)


def same_weekday(day: date) -> list[date]:
    """The days a day is compared with, newest first."""
    return [day - timedelta(weeks=weeks) for weeks in range(1, WEEKS + 1)]


def _band(rows: Sequence[int]) -> Band | None:
    if len(rows) < FEWEST:
        return None
    middle = float(median(rows))
    spread = _MAD_TO_SIGMA * float(median(abs(value - middle) for value in rows))
    off = max(SIGMAS * spread, FLOOR_SHARE * middle, FLOOR_ROWS)
    return Band(middle, max(0.0, middle - off), middle + off)
