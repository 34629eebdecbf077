"""Whether a day is doubtful: a volume or figure so unusual that a person should look first.

Far is `DOUBTFUL_DAY_FACTOR` times, five by default: a good day of sales is a day like any other,
no order on a Monday or ten times the revenue is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeGuard

from alerting.settings import AlertingSettings
from alerting.volume import Band, same_weekday, usual
from pipeline.settings import settings
from warehouse import open_warehouse
from warehouse.session import ANALYTICS

# Rows of another span than a day's cannot be compared: a source loaded again reads its overlap, one
# that was away reads what it missed.
SHORTEST, LONGEST = timedelta(hours=20), timedelta(hours=50)
# With fewer rows or orders a day, five times as many is a good day.
FEWEST_USUAL = 50


def doubts_about(day: date, loads: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each volume or figure of the day that is far outside its band.

    Empty on an ordinary day, and for a day about which too little is known.

    Args:
        loads: what the gate before dbt found, per source ``source``, ``rows`` and ``window``.
    """
    factor = settings(AlertingSettings).doubtful_day_factor
    return [*_volumes(day, loads, factor), *_revenue(day, factor)]


def _volumes(day: date, loads: Sequence[Mapping[str, Any]], factor: float) -> list[str]:
    of_a_day = [load for load in loads if _spans_a_day(load["window"])]
    if not of_a_day:
        return []
    before = open_warehouse().rows_loaded(same_weekday(day))
    said = []
    for load in of_a_day:
        band = usual(before.get(load["source"], {}), day)
        if _judges(band) and _far(load["rows"], band.middle, factor):
            said.append(
                f"{load['source']} brought {load['rows']:,} rows, usually about "
                f"{band.middle:,.0f} on a {day:%A}"
            )
    return said


def _revenue(day: date, factor: float) -> list[str]:
    """Gross revenue of the last full day, in the marts that were built and not yet published."""
    last = day - timedelta(days=1)
    days = [last, *same_weekday(last)]
    with open_warehouse().marts() as session:
        rows = session.rows_if_there(
            "select order_date, orders, gross_revenue "  # noqa: S608 - the warehouse's own name
            f"from {session.database(ANALYTICS)}.marts.fct_daily_revenue "
            f"where order_date in ({', '.join('?' * len(days))})",
            days,
        )
    orders = {row[0]: int(row[1]) for row in rows or ()}
    by_day = {row[0]: round(row[2]) for row in rows or ()}
    band, revenue = usual(by_day, last), by_day.get(last, 0)
    if band is None or not _judges(usual(orders, last)) or not _far(revenue, band.middle, factor):
        return []
    return [
        f"gross revenue of {last} is {revenue:,}, usually about {band.middle:,.0f} on a {last:%A}"
    ]


def _judges(band: Band | None) -> TypeGuard[Band]:
    """Whether enough is usual for a few more or less to mean nothing."""
    return band is not None and band.middle >= FEWEST_USUAL


def _far(value: float, middle: float, factor: float) -> bool:
    return not middle / factor <= value <= middle * factor


def _spans_a_day(window: Sequence[str | None]) -> bool:
    begin, end = window
    if begin is None or end is None:
        return False
    return SHORTEST <= datetime.fromisoformat(end) - datetime.fromisoformat(begin) <= LONGEST
