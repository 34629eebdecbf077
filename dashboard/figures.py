"""What the page shows: a selection's figures and the period before, from one publication."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd

from dashboard.marts import Query, published_marts

CENT = Decimal("0.01")
TRIES = 3


@dataclass(frozen=True)
class Published:
    """The publication that figures come from.

    ``first_day`` and ``last_day`` are null before the first order.
    """

    publication_id: str
    day: date
    tested_at: datetime
    tests_passed: int
    tests_warned: int
    first_day: date | None
    last_day: date | None
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """A range of days, both ends included, and the categories looked at; none means all of them."""

    first_day: date
    last_day: date
    categories: tuple[str, ...] = ()

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1

    @property
    def before(self) -> Selection:
        """The same number of days, directly before."""
        length = timedelta(days=self.days)
        return Selection(self.first_day - length, self.last_day - length, self.categories)


@dataclass(frozen=True)
class Totals:
    """What a period came to, in US dollars.

    What a choice of categories leaves undefined is None.
    """

    orders: int
    gross_revenue: Decimal
    active_customers: int
    net_revenue: Decimal | None = None
    refunds: Decimal | None = None
    refund_count: int | None = None

    @property
    def average_order_value(self) -> Decimal | None:
        return ratio(self.gross_revenue, self.orders)


@dataclass(frozen=True)
class Figures:
    """Everything for one page.

    ``totals_before`` is None where the marts do not reach back over the whole period before.
    """

    published: Published
    selection: Selection
    totals: Totals
    totals_before: Totals | None
    # Day, orders, gross_revenue, active_customers; the period before comes first.
    revenue: pd.DataFrame
    by_category: pd.DataFrame
    by_product: pd.DataFrame
    refunds: pd.DataFrame
    marketing: pd.DataFrame
    lifetime: pd.DataFrame


def ratio(part: Decimal, whole: Decimal | int) -> Decimal | None:
    """Rounded to cents, half up; None where there is nothing to divide by."""
    return (part / whole).quantize(CENT, ROUND_HALF_UP) if whole else None


Marts = Callable[[], AbstractContextManager[Query]]


def published_now(marts: Marts = published_marts) -> Published:
    with marts() as query:
        return _published(query)


def figures(selection: Selection, marts: Marts = published_marts) -> Figures:
    """Read everything for a selection.

    On Snowflake a publication can come in between: then it is read again.
    """
    with marts() as query:
        for _ in range(TRIES):
            read = _figures(query, selection)
            if _identity(query) == read.published.publication_id:
                break
        return read


def _identity(query: Query) -> str:
    return str(query("publication")["publication_id"].iloc[0])


def _published(query: Query) -> Published:
    publication, known = _row(query("publication")), _row(query("days_known"))
    return Published(
        publication_id=publication["publication_id"],
        day=publication["day"],
        tested_at=publication["tested_at"],
        tests_passed=publication["tests_passed"],
        tests_warned=publication["tests_warned"],
        first_day=known["first_day"],
        last_day=known["last_day"],
        categories=tuple(query("categories")["category"]),
    )


def _figures(query: Query, selection: Selection) -> Figures:
    published, before = _published(query), selection.before
    days = {"first_day": selection.first_day, "last_day": selection.last_day}
    both = {"first_day": before.first_day, "last_day": selection.last_day}
    chosen = {"categories": selection.categories, "all_categories": not selection.categories}
    with_before = days | chosen | {"before_first_day": before.first_day}
    narrowed = "_of_categories" if selection.categories else ""
    is_before_known = published.first_day is not None and published.first_day <= before.first_day
    return Figures(
        published=published,
        selection=selection,
        totals=_totals(query, selection),
        totals_before=_totals(query, before) if is_before_known else None,
        revenue=query(f"revenue_by_day{narrowed}", **both, **chosen),
        by_category=query("revenue_by_category", **with_before),
        by_product=query("revenue_by_product", **with_before),
        refunds=query("refunds_by_day", **days),
        marketing=_with_ratios(query("marketing_by_channel", **days)),
        lifetime=query("lifetime_value", **days, **chosen),
    )


def _totals(query: Query, selection: Selection) -> Totals:
    narrowed = "_of_categories" if selection.categories else ""
    rows = query(
        f"totals{narrowed}",
        first_day=selection.first_day,
        last_day=selection.last_day,
        categories=selection.categories,
    )
    return Totals(**_row(rows))


def _row(frame: pd.DataFrame) -> dict[str, Any]:
    return {str(name): value for name, value in frame.iloc[0].items()}


def _with_ratios(marketing: pd.DataFrame) -> pd.DataFrame:
    """Return on spend and cost of a conversion, from sums: ratios do not add up."""
    pairs = list(
        zip(
            marketing["revenue_attributed"],
            marketing["spend"],
            marketing["conversions"],
            strict=True,
        )
    )
    roas = [ratio(revenue, spend) for revenue, spend, _ in pairs]
    cost = [ratio(spend, conversions) for _, spend, conversions in pairs]
    return marketing.assign(
        return_on_spend=pd.Series(roas, dtype=object),
        cost_per_conversion=pd.Series(cost, dtype=object),
    )
