"""Draws the pictures of docs/marts.md: revenue, customers by tier, return on marketing.

    make demo && .venv/bin/python -m benchmarks.plot_marts [--published FILE.duckdb] [--to
    docs/images]

Runs in the environment of ``benchmarks/transform_requirements.txt``, where the library for drawing
is.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.transform_warehouse import ENVIRONMENT, prepare_environment
from pipeline.settings import PROJECT

PUBLISHED = PROJECT / ".local" / "warehouse" / "published" / "ecommerce_analytics.duckdb"
BLUE, PALE, GREY, ORANGE = "#2a6f97", "#a9c8da", "#7d8a91", "#d9793a"
TIERS = {"bronze": "#b08d57", "silver": "#a7b0b5", "gold": "#d9b23a", "platinum": "#5d7f94"}

REVENUE = """
select
    order_date,
    gross_revenue,
    avg(gross_revenue) over week as gross_of_week,
    avg(net_revenue) over week as net_of_week
from published.fct_daily_revenue
where order_date < (select max(order_date) from published.fct_daily_revenue)
window week as (order by order_date rows between 6 preceding and current row)
order by order_date
"""
BY_TIER = """
select tier, count(*) as customers, sum(net_revenue) as net_revenue
from published.dim_customers
where is_current
group by tier
"""
MARKETING = """
select channel, sum(spend) as spend, sum(revenue_attributed) / nullif(sum(spend), 0) as roas
from published.fct_marketing_performance
group by channel
having sum(spend) > 0 and sum(revenue_attributed) > 0
order by roas
"""


def plain(axes: Any) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def thousands(value: float, _: object) -> str:
    return f"{value / 1000:,.0f}k" if value else "0"


def revenue(axes: Any, rows: list[tuple[date, float, float, float]]) -> None:
    days, gross, of_week, net_of_week = zip(*rows, strict=True)
    axes.bar(
        days, [float(value) for value in gross], width=1, color=PALE, label="gross revenue, day"
    )
    axes.plot(days, of_week, color=BLUE, label="gross revenue, mean of seven days")
    axes.plot(days, net_of_week, color=ORANGE, label="net revenue, mean of seven days")
    axes.set_title(
        "fct_daily_revenue: US dollars a day, last day left out because it is not over", loc="left"
    )
    axes.yaxis.set_major_formatter(thousands)
    axes.margins(x=0.01)
    axes.legend(frameon=False, loc="upper left")


def tiers(left: Any, right: Any, rows: list[tuple[str, int, float]]) -> None:
    found = {tier: (customers, float(money)) for tier, customers, money in rows}
    names = [tier for tier in TIERS if tier in found]
    colors = [TIERS[tier] for tier in names]
    for axes, values, title in (
        (left, [found[name][0] for name in names], "dim_customers: customers by tier"),
        (right, [found[name][1] for name in names], "their net revenue, US dollars"),
    ):
        axes.bar_label(
            axes.bar(names, values, color=colors),
            labels=[f"{value:,.0f}" for value in values],
            padding=2,
        )
        axes.set_title(title, loc="left")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(y=0.12)


def marketing(left: Any, right: Any, rows: list[tuple[str, float, float]]) -> None:
    channels = [channel for channel, _, _ in rows]
    for axes, values, form, title in (
        (
            left,
            [float(roas) for _, _, roas in rows],
            "{:.2f}",
            "fct_marketing_performance: revenue by dollar spent",
        ),
        (right, [float(spend) for _, spend, _ in rows], "{:,.0f}", "spend, US dollars"),
    ):
        axes.bar_label(
            axes.barh(channels, values, color=BLUE),
            labels=[form.format(value) for value in values],
            padding=3,
        )
        axes.set_title(title, loc="left")
        axes.set_xticks([])
        axes.spines["bottom"].set_visible(False)
        axes.margins(x=0.15)
    left.axvline(1, color=GREY, linewidth=1, linestyle="--")


def draw(published: Path, folder: Path) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    mpl.rcParams.update({"font.size": 9, "axes.titlesize": 10})
    with duckdb.connect(str(published), read_only=True) as connection:
        data = [connection.execute(sql).fetchall() for sql in (REVENUE, BY_TIER, MARKETING)]
    for name, rows, painter, columns, height in (
        ("mart_revenue", data[0], revenue, 1, 3.2),
        ("mart_tiers", data[1], tiers, 2, 2.6),
        ("mart_roas", data[2], marketing, 2, 2.4),
    ):
        figure, axes = plt.subplots(
            1, columns, figsize=(10, height), layout="constrained", squeeze=False
        )
        for one in axes[0]:
            plain(one)
        painter(*axes[0], rows)
        figure.savefig(folder / f"{name}.png", dpi=110, metadata={"Software": None})
        print(f"{folder / f'{name}.png'}: {len(rows)} rows")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--published", type=Path, default=PUBLISHED)
    parser.add_argument("--to", type=Path, default=PROJECT / "docs" / "images")
    options = parser.parse_args()
    if Path(sys.prefix).resolve() != ENVIRONMENT.resolve():
        python = str(prepare_environment())
        os.execv(python, [python, "-m", "benchmarks.plot_marts", *sys.argv[1:]])
    draw(options.published, options.to)


if __name__ == "__main__":
    main()
