"""The page's charts.

Colours come from Streamlit's theme, so that they follow light and dark; figures here may be
rounded.
"""

from __future__ import annotations

from datetime import timedelta

import altair as alt
import pandas as pd

from dashboard.figures import Selection

AnyChart = alt.Chart | alt.LayerChart | alt.FacetChart
NOW, BEFORE = "This period", "Period before"
DAYS_SHOWN_SINGLY = (
    92  # a longer line is smoothed over a week, a longer row of bars is summed by week
)
SMOOTHED_OVER = 7
TOP = 10
MARK = "#f59e0b"  # seen on a bar and beside it, on light and on dark
LEGEND = alt.Legend(orient="top", title=None)
DOLLARS = "$,.2f"


def over_time(revenue: pd.DataFrame, selection: Selection, measure: str, title: str) -> AnyChart:
    """A measure by day, and that of the period before laid over it day by day.

    Args:
        revenue: one row per day over both periods, with the measure in a column of its own.
    """
    days = revenue.assign(value=revenue[measure].astype("float64"))[["day", "value"]]
    if selection.days > DAYS_SHOWN_SINGLY:
        days["value"] = days["value"].rolling(SMOOTHED_OVER, min_periods=1).mean()
    is_now = days["day"] >= selection.first_day
    days["period"] = is_now.map({True: NOW, False: BEFORE})
    days["on"] = pd.to_datetime(
        days["day"].where(is_now, days["day"] + timedelta(days=selection.days))
    )
    days["day"] = pd.to_datetime(days["day"])
    number = DOLLARS if measure in ("gross_revenue", "average_order_value") else ",.1f"
    base = alt.Chart(days).encode(
        x=alt.X(
            "on:T",
            title=None,
            axis=alt.Axis(format="%d %b", grid=False, labelFlush=False, tickCount=8),
        ),
        y=alt.Y("value:Q", title=title, axis=alt.Axis(format="~s")),
        color=alt.Color("period:N", scale=alt.Scale(domain=[NOW, BEFORE]), legend=LEGEND),
        tooltip=[
            alt.Tooltip("period:N", title="Period"),
            alt.Tooltip("day:T", title="Day", format="%d %b %Y"),
            alt.Tooltip("value:Q", title=title, format=number),
        ],
    )
    dashed = alt.StrokeDash(
        "period:N", scale=alt.Scale(domain=[NOW, BEFORE], range=[[1, 0], [5, 4]]), legend=None
    )
    line: AnyChart = base.mark_line(strokeWidth=2).encode(strokeDash=dashed).properties(height=320)
    return line


def ranking(rows: pd.DataFrame, name: str, title: str, with_before: bool) -> AnyChart:
    """The first rows by revenue as bars, the period before as a tick on each, where it is known."""
    top = rows.head(TOP).copy()
    order = list(top[name])
    for column in ("gross_revenue", "gross_revenue_before"):
        top[column] = top[column].astype("float64")
    top = top[[name, "gross_revenue", "gross_revenue_before", "orders", "units"]]
    base = alt.Chart(top).encode(
        y=alt.Y(f"{name}:N", sort=order, title=None, axis=alt.Axis(labelLimit=170)),
        tooltip=[
            alt.Tooltip(f"{name}:N", title=title),
            alt.Tooltip("gross_revenue:Q", title=NOW, format=DOLLARS),
            alt.Tooltip("gross_revenue_before:Q", title=BEFORE, format=DOLLARS),
            alt.Tooltip("orders:Q", title="Orders", format=","),
            alt.Tooltip("units:Q", title="Units", format=","),
        ],
    )
    axis = alt.X(
        "gross_revenue:Q",
        title="Gross revenue, US dollars",
        axis=alt.Axis(format="~s", tickCount=5),
    )
    bars = base.mark_bar(cornerRadiusEnd=3).encode(x=axis)
    ticks = base.mark_tick(thickness=3, size=16).encode(
        x=alt.X("gross_revenue_before:Q"), color=alt.value(MARK)
    )
    layers: AnyChart = alt.layer(*([bars, ticks] if with_before else [bars])).properties(
        height=max(120, 30 * len(top) + 40)
    )
    return layers


def lifetime_values(lifetime: pd.DataFrame) -> AnyChart:
    """How many customers have brought in how much."""
    steps = sorted(lifetime["value_from"])
    labels = {step: label for step, label in zip(STEPS, STEP_LABELS, strict=True) if step in steps}
    shown = pd.DataFrame(
        {
            "value": lifetime["value_from"].map(labels),
            "customers": lifetime["customers"].astype("int64"),
        }
    )
    chart: AnyChart = (
        alt.Chart(shown)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X(
                "value:N",
                sort=list(STEP_LABELS),
                title="Lifetime value, US dollars",
                axis=alt.Axis(labelAngle=-40, labelOverlap=False),
            ),
            y=alt.Y("customers:Q", title="Customers", axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip("value:N", title="Value"),
                alt.Tooltip("customers:Q", title="Customers", format=","),
            ],
        )
        .properties(height=300)
    )
    return chart


def refunds_over_time(refunds: pd.DataFrame, selection: Selection) -> AnyChart:
    """Money given back, by day or by week."""
    shown = pd.DataFrame(
        {
            "day": pd.to_datetime(refunds["day"]),
            "refunds": refunds["refunds"].astype("float64"),
            "count": refunds["refund_count"].astype("int64"),
        }
    )
    unit = "yearmonthdate" if selection.days <= DAYS_SHOWN_SINGLY else "yearweek"
    chart: AnyChart = (
        alt.Chart(shown)
        .mark_bar()
        .encode(
            x=alt.X(
                f"{unit}(day):T", title=None, axis=alt.Axis(format="%d %b", grid=False, tickCount=6)
            ),
            y=alt.Y("sum(refunds):Q", title="Refunds, US dollars", axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip(f"{unit}(day):T", title="From", format="%d %b %Y"),
                alt.Tooltip("sum(refunds):Q", title="Refunds", format=DOLLARS),
                alt.Tooltip("sum(count):Q", title="Number", format=","),
            ],
        )
        .properties(height=300)
    )
    return chart


def spend_against_revenue(marketing: pd.DataFrame) -> AnyChart:
    """Spend and attributed revenue side by side, by channel."""
    kinds = {"spend": "Spend", "revenue_attributed": "Attributed revenue"}
    long = (
        marketing[["channel", *kinds]]
        .astype(dict.fromkeys(kinds, "float64"))
        .melt("channel", var_name="kind")
    )
    long["kind"] = long["kind"].map(kinds)
    domain = list(kinds.values())
    chart: AnyChart = (
        alt.Chart(long)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X(
                "channel:N",
                sort=list(marketing["channel"]),
                title=None,
                axis=alt.Axis(labelAngle=-40, labelOverlap=False),
            ),
            xOffset=alt.XOffset("kind:N", sort=domain),
            y=alt.Y("value:Q", title="US dollars", axis=alt.Axis(format="~s")),
            color=alt.Color("kind:N", scale=alt.Scale(domain=domain), legend=LEGEND),
            tooltip=[
                alt.Tooltip("channel:N", title="Channel"),
                alt.Tooltip("kind:N", title="What"),
                alt.Tooltip("value:Q", title="US dollars", format=DOLLARS),
            ],
        )
        .properties(height=300)
    )
    return chart


# The steps of queries/lifetime_value.sql; 500, 2000 and 5000 are where the tiers begin.
STEPS = (0, 100, 250, 500, 1000, 2000, 5000, 10000)
STEP_LABELS = (
    "below 100",
    "100–250",
    "250–500",
    "500–1k",
    "1k–2k",
    "2k–5k",
    "5k–10k",
    "10k and more",
)
