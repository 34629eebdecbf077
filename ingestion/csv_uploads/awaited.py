"""Which files are late: a series whose newest date is behind what is usual on a morning.

Usual is what the loads of the last four weeks found that ran on their own day. Nothing is expected
of a series with fewer than five of them, or one that does not move on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median_low

from pipeline.days import upper_bound
from pipeline.files import FileRecord
from warehouse import Warehouse

LOOKED_AT = timedelta(days=28)
FEWEST_LOADS = 5
FEWEST_DATES = 3  # a series that has not reached so many newest dates is no regular one
USUAL_SHARE = 0.9  # of the mornings: one that was late itself is no measure
ON_ITS_DAY = timedelta(days=1)


@dataclass(frozen=True)
class LateSeries:
    """``newest``: its newest date; ``usual``: the one it has on other mornings; ``hour``: when its
    files are usually written, UTC.
    """

    series: str
    newest: date
    usual: date
    hour: str

    def __str__(self) -> str:
        return (
            f"{self.series} (newest date {self.newest}, usually {self.usual}, written about "
            f"{self.hour} UTC)"
        )


def mornings(warehouse: Warehouse, source: str, day: date) -> list[date]:
    """Days of the last weeks that were loaded on their own day."""
    found = warehouse.query(
        "select day, min(committed_at) from loads.load_records "
        "where source = ? and day >= ? and day < ? group by day order by day",
        [source, day - LOOKED_AT, day],
    )
    return [of for of, committed_at in found if committed_at < upper_bound(of) + ON_ITS_DAY]


def late_series(
    records: Sequence[FileRecord], loaded: Sequence[date], day: date
) -> list[LateSeries]:
    """The series that are late on a day, by name.

    Args:
        records: every version of every file that was read, the oldest first.
        loaded: the mornings to compare with.
    """
    by_series: dict[str, list[FileRecord]] = {}
    for record in records:
        if record.state == "loaded" and record.last_date is not None:
            by_series.setdefault(record.series, []).append(record)
    late = []
    for series, versions in sorted(by_series.items()):
        known = [(morning, _newest(versions, morning)) for morning in loaded]
        lags = sorted(morning - newest for morning, newest in known if newest is not None)
        dates = {newest for _, newest in known if newest is not None}
        newest = max(record.last_date for record in versions if record.last_date)
        if len(lags) < FEWEST_LOADS or len(dates) < FEWEST_DATES:
            continue
        usual = day - lags[int(USUAL_SHARE * (len(lags) - 1))]
        if newest < usual:
            late.append(LateSeries(series, newest, usual, _hour(versions)))
    return late


def _newest(versions: Sequence[FileRecord], morning: date) -> date | None:
    """The newest date that the load of a morning found."""
    return max(
        (min(v.last_date, morning) for v in versions if v.last_date and v.day <= morning),
        default=None,
    )


def _hour(versions: Sequence[FileRecord]) -> str:
    minutes = median_low([v.modified_at.hour * 60 + v.modified_at.minute for v in versions])
    return f"{datetime(2000, 1, 1) + timedelta(minutes=minutes):%H:%M}"
