"""What a reader sees on the business view, and what the filters do to it."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from streamlit.testing.v1 import AppTest

from dashboard.figures import Selection, figures
from pipeline.settings import PROJECT

if TYPE_CHECKING:
    from tests.builders.published_shop import PublishedShop

pytestmark = pytest.mark.slow

APP = PROJECT / "dashboard" / "app.py"
CHARTS = "vega_lite_chart"


def opened(**query: str) -> AppTest:
    page = AppTest.from_file(str(APP), default_timeout=30)
    for name, value in query.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception, page.exception
    return page


def shown(page: AppTest) -> dict[str, str]:
    """The figures at the top by their labels, as a reader sees them."""
    return {metric.label: metric.value.replace("\\$", "$") for metric in page.metric}


def texts(page: AppTest) -> str:
    return "\n".join(
        element.value
        for kind in (page.markdown, page.caption, page.info, page.error)
        for element in kind
    )


def test_the_page_opens_with_the_last_thirty_whole_days(serving: PublishedShop) -> None:
    page = opened()
    revenue, orders = serving.query(
        """select sum(total_amount), count(*) from published.fct_orders
           where order_date between '2026-10-22' and '2026-11-20' and not is_cancelled"""
    )[0]
    figures_shown = shown(page)
    assert list(figures_shown) == [
        "Gross revenue",
        "Net revenue",
        "Orders",
        "Average order value",
        "Active customers",
        "Refunds",
    ]
    assert figures_shown["Gross revenue"] == f"${revenue:,.2f}"
    assert figures_shown["Orders"] == f"{orders:,}"
    assert "22 Oct 2026 to 20 Nov 2026, compared with 22 Sep 2026 to 21 Oct 2026" in texts(page)
    assert len(page.get(CHARTS)) == 6
    assert len(page.get("download_button")) == 6


def test_the_page_says_of_which_day_the_data_are_and_when_they_were_tested(
    serving: PublishedShop,
) -> None:
    day, tested_at, passed, warned = serving.query(
        "select day, tested_at, tests_passed, tests_warned from published.publication"
    )[0]
    tests = f"({passed} tests passed, {warned} with a warning)"
    expected = (
        f"Data as of **{day:%d %B %Y}, 06:00 UTC**, "
        f"tested at {tested_at:%d %B %Y, %H:%M} UTC {tests}."
    )
    assert expected in texts(opened())


def test_the_change_is_against_the_period_before(serving: PublishedShop) -> None:
    by_days = (
        "select sum(gross_revenue) from published.fct_daily_revenue "
        "where order_date between ? and ?"
    )
    now = serving.one(by_days, [date(2026, 10, 22), date(2026, 11, 20)])
    before = serving.one(by_days, [date(2026, 9, 22), date(2026, 10, 21)])
    revenue = next(metric for metric in opened().metric if metric.label == "Gross revenue")
    assert revenue.delta == f"{(now / before - 1) * 100:+.1f}%"


def test_a_period_without_a_past_says_so_and_shows_no_change(serving: PublishedShop) -> None:
    page = opened()
    page.selectbox(key="period").select("Last 12 months").run()
    assert "which the data do not reach back to" in texts(page)
    assert [metric.delta for metric in page.metric] == [""] * 6
    assert (
        shown(page)["Orders"]
        == f"{serving.one('select sum(orders) from published.fct_daily_revenue'):,}"
    )


def test_a_link_opens_the_page_with_its_period(serving: PublishedShop) -> None:
    assert opened(period="Last 7 days").selectbox(key="period").value == "Last 7 days"


def test_own_dates_and_categories_narrow_every_figure(serving: PublishedShop) -> None:
    page = opened()
    page.selectbox(key="period").select("Own dates").run()
    page.date_input(key="days").set_value((date(2026, 11, 1), date(2026, 11, 10))).run()
    page.multiselect(key="categories").select("Electronics").run()
    assert not page.exception
    orders, revenue, customers = serving.query(
        """select count(distinct order_id), sum(gross_revenue), count(distinct customer_id)
           from published.fct_order_items
           where order_date between '2026-11-01' and '2026-11-10' and not is_cancelled
               and product_id in (select product_id from published.dim_products
                   where category = 'Electronics')"""
    )[0]
    assert shown(page) == {
        "Gross revenue": f"${revenue:,.2f}",
        "Orders": f"{orders:,}",
        "Average order value": f"${revenue / orders:,.2f}",
        "Active customers": f"{customers:,}",
    }
    assert "For the whole shop" in texts(page), (
        "refunds and marketing say that they are not narrowed"
    )
    categories, products = [frame.value for frame in page.dataframe][1:3]
    assert set(categories["category"]) == {"Electronics"}
    assert set(products["category"]) == {"Electronics"}


def test_half_a_range_asks_for_the_other_half(serving: PublishedShop) -> None:
    page = opened()
    page.selectbox(key="period").select("Own dates").run()
    page.date_input(key="days").set_value((date(2026, 11, 1),)).run()
    assert not page.exception
    assert "Choose the first and the last day." in texts(page)
    assert not page.metric


def test_a_day_that_is_not_over_says_so(serving: PublishedShop) -> None:
    page = opened()
    assert "is not over yet" not in texts(page)
    page.selectbox(key="period").select("Own dates").run()
    page.date_input(key="days").set_value((date(2026, 11, 15), date(2026, 11, 21))).run()
    assert "21 Nov 2026 is not over yet: it counts up to 06:00 UTC." in texts(page)


def test_days_without_anything_are_no_error(serving: PublishedShop) -> None:
    page = opened()
    page.multiselect(key="categories").select("Other").run()
    page.selectbox(key="period").select("Own dates").run()
    quiet = serving.one(
        """select order_date from published.fct_daily_revenue where orders = 0 and customers = 0
           and order_date > '2026-09-30'
           order by order_date limit 1"""
    )
    page.date_input(key="days").set_value((quiet, quiet)).run()
    assert not page.exception
    assert shown(page)["Gross revenue"] == "$0.00"
    assert shown(page)["Average order value"] == "–"
    assert "Nothing in this period." in texts(page)


@pytest.mark.parametrize("measure", ["Revenue", "Orders", "Average order", "Customers"])
def test_each_measure_can_be_drawn_over_time(serving: PublishedShop, measure: str) -> None:
    page = opened()
    page.button_group[0].set_value([measure]).run()
    assert not page.exception
    assert len(page.get(CHARTS)) == 6


def test_the_tables_hold_what_the_charts_draw(serving: PublishedShop) -> None:
    read = figures(Selection(date(2026, 10, 22), date(2026, 11, 20)))
    by_day, categories, products, lifetime, refunds, marketing = [
        frame.value for frame in opened().dataframe
    ]
    assert (
        sum(by_day[by_day["period"] == "This period"]["gross_revenue"]) == read.totals.gross_revenue
    )
    assert list(categories["gross_revenue"]) == list(read.by_category["gross_revenue"])
    assert list(products["product"]) == list(read.by_product["product"])
    assert sum(lifetime["customers"]) == sum(read.lifetime["customers"])
    assert sum(refunds["refunds"]) == read.totals.refunds
    assert list(marketing["spend"]) == list(read.marketing["spend"])


def test_before_the_first_publication_the_page_says_so(
    serving: PublishedShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(tmp_path / "nothing"))
    page = opened()
    assert [info.value for info in page.info] == [
        "Nothing has been published yet. The figures appear here after the first day has been "
        "loaded, built and tested."
    ]
    assert not page.metric


def test_marts_without_an_order_say_so(
    serving: PublishedShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copy = tmp_path / "published" / "ecommerce_analytics.duckdb"
    copy.parent.mkdir()
    shutil.copy(serving.file, copy)
    with duckdb.connect(str(copy)) as connection:
        connection.execute("delete from published.fct_daily_revenue")
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(tmp_path))
    page = opened()
    assert "there is no order in them yet" in texts(page)


def test_marts_that_cannot_be_read_are_a_sentence_not_a_traceback(
    serving: PublishedShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "published" / "ecommerce_analytics.duckdb"
    broken.parent.mkdir()
    broken.write_bytes(b"no database")
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(tmp_path))
    page = opened()
    assert page.error[0].value.startswith(
        "The figures cannot be read at the moment. The published marts in "
    )


def test_a_new_publication_shows_at_the_next_look(
    serving: PublishedShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    current = tmp_path / "published" / "ecommerce_analytics.duckdb"
    current.parent.mkdir()
    shutil.copy(serving.file, current)
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(tmp_path))
    page = opened()
    before = Decimal(shown(page)["Gross revenue"].replace(",", "").removeprefix("$"))
    newer = tmp_path / "newer.duckdb"
    shutil.copy(serving.file, newer)
    with duckdb.connect(str(newer)) as connection:
        connection.execute(
            "update published.fct_daily_revenue set gross_revenue = gross_revenue + 0.01 where "
            "order_date = '2026-11-20'"
        )
        connection.execute("update published.publication set publication_id = 'newer'")
    newer.replace(current)
    page.run()
    assert shown(page)["Gross revenue"] == f"${before + Decimal('0.01'):,.2f}"
