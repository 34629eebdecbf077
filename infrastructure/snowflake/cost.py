"""What a month on Snowflake costs: ``python -m infrastructure.snowflake.cost`` prints the table.

The prices are assumptions too (Standard edition, on demand, AWS US East): compare them with your
contract, or with https://www.snowflake.com/pricing-options/.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

USD_PER_CREDIT = 2.00  # Standard edition
USD_PER_TB = 23.00  # a month of storage
XSMALL_CREDITS_PER_HOUR = 1.0
ASLEEP_AFTER_MINUTES = 1.0  # auto_suspend = 60: paid after the last query
DAYS = 30.4
WORKING_DAYS = 22


@dataclass(frozen=True)
class Month:
    """The assumptions.

    Minutes are those in which a virtual warehouse runs queries, without its time to fall asleep.

    Attributes:
        orders: new orders a month.
        history_months: months whose rows are in the raw tables.
        load_minutes: the six loads of a day side by side; grows with the rows.
        monitor_minutes: the monitor's look at 06:30 wakes the loading warehouse once more.
        reconcile_minutes: the comparison of everything, each Sunday.
        build_minutes: dbt's layers, about 300 tests and the publication, once a day.
        corrections: further builds a month, after a source was repaired.
        reading_hours: a working day's hours in which somebody's dashboard keeps the reporting
            warehouse awake.
    """

    orders: int = 500_000
    history_months: int = 24
    load_minutes: float = 2.0
    monitor_minutes: float = 0.5
    reconcile_minutes: float = 6.0
    build_minutes: float = 7.0
    corrections: int = 10
    reading_hours: float = 1.0


@dataclass(frozen=True)
class Item:
    what: str
    how: str
    credits: float
    usd: float


# Bytes a row takes in Snowflake, compressed; and rows per order. Payloads of Stripe are most of it.
ROWS_PER_ORDER = {
    "orders": 1.0,
    "order_items": 2.5,
    "customers": 0.13,
    "charges": 1.05,
    "refunds": 0.05,
}
BYTES_PER_ROW = {"orders": 90, "order_items": 30, "customers": 110, "charges": 600, "refunds": 300}
COPIES = 1.35  # marts beside the raw tables; publications are clones and take no space of their own
CHANGED_PER_DAY = (
    0.04  # of the raw tables' micro-partitions are written again a day and kept for Time Travel
)
TIME_TRAVEL_DAYS = 1
FAIL_SAFE_DAYS = 7


def items(month: Month) -> list[Item]:
    """What the bill is made of."""
    per_minute = XSMALL_CREDITS_PER_HOUR / 60
    loads = DAYS * (month.load_minutes + month.monitor_minutes + 2 * ASLEEP_AFTER_MINUTES)
    loads += DAYS / 7 * (month.reconcile_minutes + ASLEEP_AFTER_MINUTES)
    builds = (DAYS + month.corrections) * (month.build_minutes + ASLEEP_AFTER_MINUTES)
    reading = WORKING_DAYS * month.reading_hours * 60
    terabytes = stored_bytes(month) / 1e12
    return [
        _compute("Loading (LOADING_WH)", f"{loads:.0f} minutes", loads * per_minute),
        _compute(
            "dbt and publication (TRANSFORMING_WH)", f"{builds:.0f} minutes", builds * per_minute
        ),
        _compute("Reading (REPORTING_WH)", f"{reading:.0f} minutes", reading * per_minute),
        Item("Storage", f"{terabytes * 1000:.0f} GB", 0.0, terabytes * USD_PER_TB),
    ]


def stored_bytes(month: Month) -> float:
    """Raw tables, marts, and the old micro-partitions that Time Travel and Fail-safe keep."""
    raw = (
        month.orders
        * month.history_months
        * sum(ROWS_PER_ORDER[name] * size for name, size in BYTES_PER_ROW.items())
    )
    return raw * (COPIES + CHANGED_PER_DAY * (TIME_TRAVEL_DAYS + FAIL_SAFE_DAYS))


def table(month: Month) -> str:
    """The bill as a Markdown table."""
    found = items(month)
    lines = ["| what | a month | credits | USD |", "|---|---|---:|---:|"]
    lines += [
        f"| {item.what} | {item.how} | {item.credits:.1f} | {item.usd:.2f} |" for item in found
    ]
    lines.append(
        f"| **together** | | **{sum(i.credits for i in found):.1f}** | "
        f"**{sum(i.usd for i in found):.2f}** |"
    )
    return "\n".join(lines)


def _compute(what: str, how: str, used: float) -> Item:
    return Item(what, how, used, used * USD_PER_CREDIT)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m infrastructure.snowflake.cost",
        description="What a month on Snowflake costs.",
    )
    for name, default in vars(Month()).items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=type(default),
            default=default,
            help=f"default {default}",
        )
    print(table(Month(**vars(parser.parse_args(arguments)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
