"""The marketing team's two CSV exports: what was spent per campaign and day, and what it brought,
with rows gone wrong.

A day's rows depend on the day, its revenue and the seed alone, so they can be made again: the
exports revise the last days, because conversions arrive late.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

SPEND_FILE, PERFORMANCE_FILE = "marketing_spend.csv", "campaign_performance.csv"
SPEND_HEADER = "date,channel,campaign_name,spend,impressions,clicks"
PERFORMANCE_HEADER = "date,campaign_id,campaign_name,channel,conversions,revenue_attributed"
REVISED_DAYS = 3
SHARE_KNOWN = (0.88, 0.95, 0.99)  # of a day's conversions: one, two, three days later
MALFORMED_EVERY = 211  # rows: below half a per cent


@dataclass(frozen=True)
class Campaign:
    """``share`` of the shop's revenue it brings, return on each dollar, dollars per 1,000 views,
    clicks per view.
    """

    id: str
    name: str
    channel: str
    label: str  # the channel as the performance export writes it
    share: float
    roas: float
    cpm: float
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


@dataclass(frozen=True)
class Exported:
    """Rows written, of which malformed."""

    spend: int
    performance: int
    malformed: int


def write_exports(
    inbox: Path, takings: Mapping[date, Takings], until: date, seed: int, *, since: date
) -> Exported:
    """Write the rows of the days from ``since`` to the day before ``until`` into both files, at
    once each.

    What the files hold of earlier days stays as it is; days after ``since`` are written again.
    """
    inbox.mkdir(parents=True, exist_ok=True)
    spend, performance = _kept(inbox / SPEND_FILE, since), _kept(inbox / PERFORMANCE_FILE, since)
    before = len(spend) + len(performance)
    days = [since + timedelta(days=number) for number in range((until - since).days)]
    malformed = 0
    for day in days:
        spend_rows, performance_rows, wrong = _rows(
            day, takings.get(day, Takings(0, 0)), (until - day).days, seed
        )
        spend.extend(spend_rows)
        performance.extend(performance_rows)
        malformed += wrong
    if len(spend) + len(performance) > before or not (inbox / SPEND_FILE).exists():
        _replace(inbox / SPEND_FILE, [SPEND_HEADER, *spend])
        _replace(inbox / PERFORMANCE_FILE, [PERFORMANCE_HEADER, *performance])
    return Exported(len(days) * len(CAMPAIGNS), len(days) * len(CAMPAIGNS), malformed)


def _rows(day: date, takings: Takings, age: int, seed: int) -> tuple[list[str], list[str], int]:
    rng = np.random.default_rng([seed, day.toordinal()])
    known = SHARE_KNOWN[age - 1] if age <= len(SHARE_KNOWN) else 1.0
    average = takings.cents / max(takings.orders, 1)
    spend_rows, performance_rows, malformed = [], [], 0
    for number, campaign in enumerate(CAMPAIGNS):
        luck, efficiency, views = np.exp(rng.normal(0, (0.18, 0.12, 0.1)))
        brought = int(takings.cents * campaign.share * luck)
        spend = int(brought / campaign.roas * efficiency) + 500
        impressions = int(spend / 100 / campaign.cpm * 1000 * views)
        clicks = min(int(impressions * campaign.ctr * luck), impressions)
        row = [
            day.isoformat(),
            campaign.channel,
            campaign.name,
            _dollars(spend),
            str(impressions),
            str(clicks),
        ]
        place = day.toordinal() * len(CAMPAIGNS) + number
        if place % MALFORMED_EVERY == 0:
            row = _spoilt(row, place // MALFORMED_EVERY)
            malformed += 1
        spend_rows.append(",".join(row))
        attributed = int(brought * known)
        conversions = round(attributed / average) if average else 0
        row = [
            day.isoformat(),
            campaign.id,
            campaign.name,
            campaign.label,
            str(conversions),
            _dollars(attributed),
        ]
        if (place + MALFORMED_EVERY // 2) % MALFORMED_EVERY == 0:
            row = _spoilt(row, place // MALFORMED_EVERY)
            malformed += 1
        performance_rows.append(",".join(row))
    return spend_rows, performance_rows, malformed


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
    """Rows of a file from before ``since``, without its header. Every row, spoilt or not, begins
    with its day.
    """
    if not file.exists():
        return []
    rows = file.read_text(encoding="utf-8").splitlines()[1:]
    return [row for row in rows if row[:10] < since.isoformat()]


def _replace(file: Path, rows: list[str]) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write("\n".join(rows) + "\n")
        Path(temporary).chmod(0o644)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"
