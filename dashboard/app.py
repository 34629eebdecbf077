"""The page. Run it with `python -m dashboard`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import charts
from dashboard.downloads import as_csv
from dashboard.figures import Figures, Published, Selection, Totals, figures, published_now, ratio
from pipeline.days import upper_bound
from pipeline.errors import MissingInputError, PipelineError

logger = logging.getLogger(__name__)

# One of Streamlit's own would be fetched from another host.
ICON = Path(__file__).with_name("icon.svg")
PERIODS = {"Last 7 days": 7, "Last 30 days": 30, "Last 90 days": 90, "Last 12 months": 365}
OWN_DATES = "Own dates"
MEASURES = {
    "Revenue": ("gross_revenue", "Gross revenue, US dollars"),
    "Orders": ("orders", "Orders"),
    "Average order": ("average_order_value", "Average order, US dollars"),
    "Customers": ("active_customers", "Active customers"),
}
Amount = Decimal | int | None
SHOWN: tuple[tuple[str, Callable[[Totals], Amount], bool], ...] = (
    ("Gross revenue", lambda totals: totals.gross_revenue, True),
    ("Net revenue", lambda totals: totals.net_revenue, True),
    ("Orders", lambda totals: totals.orders, False),
    ("Average order value", lambda totals: totals.average_order_value, True),
    ("Active customers", lambda totals: totals.active_customers, False),
    ("Refunds", lambda totals: totals.refunds, True),
)
WHOLE_SHOP_ONLY = (
    "For the whole shop: a refund belongs to an order and an advertisement to no category."
)


def main() -> None:
    st.set_page_config(page_title="Shop figures", page_icon=str(ICON), layout="wide")
    st.title("Shop figures")
    try:
        published = published_now()
        if published.first_day is None or published.last_day is None:
            st.info("The marts are published, but there is no order in them yet.")
            return
        show_origin(published)
        selection = choose(published, published.first_day)
        if selection is None:
            st.info("Choose the first and the last day.")
            return
        show(remembered(published.publication_id, selection))
    except MissingInputError as error:
        st.info(
            f"{error} The figures appear here after the first day has been loaded, built and "
            "tested."
        )
    except PipelineError as error:
        logger.exception("The published marts cannot be read.")
        st.error(f"The figures cannot be read at the moment. {error}")


@st.cache_data(max_entries=64, show_spinner=False)
def remembered(publication_id: str, selection: Selection) -> Figures:
    """Read figures once per publication and selection; the id only tells publications apart."""
    return figures(selection)


def show_origin(published: Published) -> None:
    tests = f"{published.tests_passed:,} tests passed"
    if published.tests_warned:
        tests += f", {published.tests_warned:,} with a warning"
    st.markdown(
        f"Data as of **{upper_bound(published.day):%d %B %Y, %H:%M} UTC**, "
        f"tested at {published.tested_at:%d %B %Y, %H:%M} UTC ({tests})."
    )


# filters
# --------------------------------------------------------------------------------------------------


def choose(published: Published, first_day: date) -> Selection | None:
    """What the reader wants to see; None while only one end of a range is chosen."""
    # The day it is as of is not over.
    last_whole_day = max(first_day, published.day - timedelta(days=1))
    when, which = st.columns([1, 1])
    with when:
        period = st.selectbox(
            "Period", [*PERIODS, OWN_DATES], index=1, key="period", bind="query-params"
        )
        if period == OWN_DATES:
            chosen = st.date_input(
                "First and last day",
                value=(max(first_day, last_whole_day - timedelta(days=29)), last_whole_day),
                min_value=first_day,
                max_value=published.day,
                format="YYYY-MM-DD",
                key="days",
            )
        else:
            length = timedelta(days=PERIODS[period or "Last 30 days"] - 1)
            chosen = (max(first_day, last_whole_day - length), last_whole_day)
    with which:
        categories = st.multiselect(
            "Categories", published.categories, placeholder="All categories", key="categories"
        )
    if not isinstance(chosen, tuple) or len(chosen) != 2:
        return None
    return Selection(chosen[0], chosen[1], tuple(sorted(categories)))


# the page
# --------------------------------------------------------------------------------------------------


def show(now: Figures) -> None:
    selection = now.selection
    show_period(now)
    show_totals(now)

    st.header("Over time")
    label = st.segmented_control(
        "Measure", list(MEASURES), default="Revenue", required=True, label_visibility="collapsed"
    )
    measure, title = MEASURES[label or "Revenue"]
    pairs = zip(now.revenue["gross_revenue"], now.revenue["orders"], strict=True)
    average = pd.Series([ratio(*pair) for pair in pairs], dtype=object)
    period = now.revenue["day"].map(
        lambda day: charts.NOW if day >= selection.first_day else charts.BEFORE
    )
    revenue = now.revenue.assign(average_order_value=average, period=period)
    shown = revenue.dropna(subset=[measure])
    section(
        charts.over_time(shown, selection, measure, title),
        revenue,
        "by_day",
        f"{title} by day, with the period before laid over it",
        selection,
    )
    if selection.days > charts.DAYS_SHOWN_SINGLY:
        st.caption("The line is the average of seven days; the table has each day.")

    with_before = now.totals_before is not None
    left, right = st.columns(2, gap="large")
    with left:
        st.header("Top categories")
        section(
            charts.ranking(now.by_category, "category", "Category", with_before),
            now.by_category,
            "categories",
            "Revenue by category",
            selection,
        )
        if with_before:
            st.caption("The mark on a bar is the period before.")
    with right:
        st.header("Top products")
        section(
            charts.ranking(now.by_product, "product", "Product", with_before),
            now.by_product,
            "products",
            "Revenue by product",
            selection,
        )
        st.caption(f"The {charts.TOP} best of {len(now.by_product):,}; the table has all of them.")

    left, right = st.columns(2, gap="large")
    with left:
        st.header("Customer lifetime value")
        section(
            charts.lifetime_values(now.lifetime),
            now.lifetime,
            "lifetime_value",
            "Customers by lifetime value",
            selection,
        )
        customers = sum(now.lifetime["customers"])
        each = dollars(ratio(total(now.lifetime, "net_revenue"), customers))
        st.caption(
            f"Of the {customers:,} customers who ordered in this period: {escaped(each)} each on "
            "average, net of refunds."
        )
    with right:
        st.header("Refunds")
        section(
            charts.refunds_over_time(now.refunds, selection),
            now.refunds,
            "refunds",
            "Refunds over time",
            selection,
        )
        st.caption(
            "Counted on the day the money went back. "
            f"{WHOLE_SHOP_ONLY if selection.categories else ''}"
        )

    st.header("Marketing")
    section(
        charts.spend_against_revenue(now.marketing),
        now.marketing,
        "marketing",
        "Marketing spend and attributed revenue by channel",
        selection,
    )
    spend, attributed = total(now.marketing, "spend"), total(now.marketing, "revenue_attributed")
    back = ratio(attributed, spend)
    told = f"{dollars(spend)} spent, {dollars(attributed)} attributed by the ad platforms" + (
        f": {back} for a dollar." if back else "."
    )
    st.caption(f"{escaped(told)} {WHOLE_SHOP_ONLY if selection.categories else ''}")


def show_period(now: Figures) -> None:
    selection, before = now.selection, now.selection.before
    compared = "" if now.totals_before else ", which the data do not reach back to"
    st.caption(
        f"{selection.first_day:%d %b %Y} to {selection.last_day:%d %b %Y}, compared with "
        f"{before.first_day:%d %b %Y} to {before.last_day:%d %b %Y}{compared}. Days are UTC."
    )
    if selection.last_day >= now.published.day:
        st.caption(
            f"{now.published.day:%d %b %Y} is not over yet: it counts up to "
            f"{upper_bound(now.published.day):%H:%M} UTC."
        )


def show_totals(now: Figures) -> None:
    # what a choice of categories leaves undefined is not shown
    shown = [
        figure
        for figure in SHOWN
        if figure[1](now.totals) is not None or figure[0] == "Average order value"
    ]
    for row in (shown[:3], shown[3:]):
        for column, (label, read, is_money) in zip(st.columns(3), row, strict=False):
            value, before = read(now.totals), read(now.totals_before) if now.totals_before else None
            column.metric(
                label,
                escaped(dollars(value)) if is_money else f"{value:,}",
                change(value, before),
                delta_color="inverse" if label == "Refunds" else "normal",
                border=True,
            )


def section(
    chart: charts.AnyChart, table: pd.DataFrame, name: str, told: str, selection: Selection
) -> None:
    """A chart, and the same figures as a table and as a file."""
    if table.empty:
        st.info("Nothing in this period.")
        return
    st.altair_chart(chart, width="stretch", key=f"chart_{name}", alt=told)
    with st.expander("Table"):
        st.dataframe(table, hide_index=True, width="stretch", alt=told, key=f"table_{name}")
        st.download_button(
            "Download CSV",
            as_csv(table),
            file_name=f"{name}_{selection.first_day}_{selection.last_day}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            key=f"download_{name}",
        )


def total(table: pd.DataFrame, column: str) -> Decimal:
    return sum(table[column], Decimal(0))


def dollars(amount: Amount) -> str:
    if amount is None:
        return "–"
    return f"-${-amount:,.2f}" if amount < 0 else f"${amount:,.2f}"


def escaped(text: str) -> str:
    """Two dollar signs in one text would be taken for a formula."""
    return text.replace("$", "\\$")


def change(now: Decimal | int | None, before: Amount) -> str | None:
    """In per cent of the period before; None where there is nothing to compare with."""
    if now is None or not before:
        return None
    return f"{(Decimal(now) / Decimal(before) - 1) * 100:+.1f}%"


main()
