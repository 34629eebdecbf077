"""The marketing team's two CSV exports: a campaign's spend per day and what it brought.

Some rows have gone wrong. A day's rows depend on the day, its revenue and the seed alone, so they
can be made again: the exports revise the last days, because conversions arrive late.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from sandbox.shop.rows import money

SPEND_FILE, PERFORMANCE_FILE = "marketing_spend.csv", "campaign_performance.csv"
SPEND_HEADER = "date,channel,campaign_name,spend,impressions,clicks"
PERFORMANCE_HEADER = "date,campaign_id,campaign_name,channel,conversions,revenue_attributed"
REVISED_DAYS = 3
SHARE_KNOWN = (0.88, 0.95, 0.99)  # of a day's conversions: one, two, three days later
MALFORMED_EVERY = 211  # rows: below half a per cent


@dataclass(frozen=True)
class Campaign:
    """``share`` of the shop's revenue, return and costs in dollars, ``ctr`` in clicks per view."""

    id: str
    name: str
    channel: str
    label: str  # the channel as the performance export writes it
    share: float
    roas: float
    cpm: float  # dollars per 1,000 views
    ctr: float


CAMPAIGNS = (
    Campaign("G-100", "Brand Search", "google_ads", "Google Ads", 0.10, 9.0, 22.0, 0.080),
    Campaign("G-200", "Shopping Feed", "google_ads", "Google Ads", 0.09, 5.0, 11.0, 0.020),
    Campaign("G-300", "Generic Search", "google_ads", "Google Ads", 0.05, 2.6, 18.0, 0.035),
    Campaign("F-100", "Retargeting", "facebook", "Facebook", 0.06, 6.0, 14.0, 0.015),
    Campaign("F-200", "Lookalike US", "facebook", "Facebook", 0.05, 2.2, 12.0, 0.011),
    Campaign("I-100", "Summer Creators", "instagram", "Instagram", 0.03, 1.8, 10.0, 0.009),
    Campaign("T-100", "Unboxing", "tiktok", "TikTok", 0.02, 1.3, 7.0, 0.012),
    Campaign("E-100", "Newsletter", "email", "email", 0.08, 38.0, 1.5, 0.030),
    Campaign("E-200", "Abandoned Cart", "email", "email", 0.04, 45.0, 1.2, 0.060),
    Campaign("A-100", "Coupon Partners", "affiliate", "affiliate", 0.04, 4.0, 5.0, 0.018),
)


@dataclass(frozen=True)
class Takings:
    """What the shop sold on a day: cents and number of orders."""

    cents: int
    orders: int


def write_exports(
    inbox: Path, takings: Mapping[date, Takings], until: date, seed: int, *, since: date
) -> int:
    """Write the rows of the days from ``since`` to the day before ``until`` into both files.

    What the files hold of earlier days stays as it is; days after ``since`` are written again.
    Returns the number of rows written.
    """
    inbox.mkdir(parents=True, exist_ok=True)
    spend, performance = _kept(inbox / SPEND_FILE, since), _kept(inbox / PERFORMANCE_FILE, since)
    days = [since + timedelta(days=number) for number in range((until - since).days)]
    for day in days:
        of_day = takings.get(day, Takings(0, 0))
        spend_rows, performance_rows = _rows(day, of_day, (until - day).days, seed)
        spend.extend(spend_rows)
        performance.extend(performance_rows)
    if days or not (inbox / SPEND_FILE).exists():
        _replace(inbox / SPEND_FILE, [SPEND_HEADER, *spend])
        _replace(inbox / PERFORMANCE_FILE, [PERFORMANCE_HEADER, *performance])
    return 2 * len(days) * len(CAMPAIGNS)


def _rows(day: date, takings: Takings, age: int, seed: int) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng([seed, day.toordinal()])
    known = SHARE_KNOWN[age - 1] if age <= len(SHARE_KNOWN) else 1.0
    average = takings.cents / max(takings.orders, 1)
    spend_rows, performance_rows = [], []
    for number, campaign in enumerate(CAMPAIGNS):
        luck, efficiency, views = np.exp(rng.normal(0, (0.18, 0.12, 0.1)))
        brought = int(takings.cents * campaign.share * luck)
        spend = int(brought / campaign.roas * efficiency) + 500
        impressions = int(spend / 100 / campaign.cpm * 1000 * views)
        clicks = min(int(impressions * campaign.ctr * luck), impressions)
        attributed = int(brought * known)
        conversions = round(attributed / average) if average else 0
        place = day.toordinal() * len(CAMPAIGNS) + number
        spent = (campaign.channel, campaign.name, money(spend), impressions, clicks)
        earned = (campaign.id, campaign.name, campaign.label, conversions, money(attributed))
        spend_rows.append(_line(day, spent, place))
        performance_rows.append(_line(day, earned, place, MALFORMED_EVERY // 2))
    return spend_rows, performance_rows


def _line(day: date, values: tuple[object, ...], place: int, shift: int = 0) -> str:
    row = [day.isoformat(), *map(str, values)]
    spoilt = (place + shift) % MALFORMED_EVERY == 0
    return ",".join(_spoilt(row, place // MALFORMED_EVERY) if spoilt else row)


def _spoilt(row: list[str], number: int) -> list[str]:
    match number % 5:
        case 0:
            return [*row[:4], "n/a", row[5]]
        case 1:
            return [f"{row[0]} (estimate)", *row[1:]]
        case 2:
            return row[:3]
        case 3:
            return [*row, "checked by Pat", ""]
        case _:
            return [*row[:4], f"{row[4]} approx.", row[5]]


def _kept(file: Path, since: date) -> list[str]:
    """Rows of a file from before ``since``. Every row, spoilt or not, begins with its day."""
    rows = file.read_text(encoding="utf-8").splitlines()[1:] if file.exists() else []
    return [row for row in rows if row[:10] < since.isoformat()]


def _replace(file: Path, rows: list[str]) -> None:
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.write_text("\n".join(rows) + "\n", encoding="utf-8")
    unfinished.replace(file)
