"""The business view's figures are the published marts', to the cent, on both engines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import pytest
import sqlglot

from dashboard import marts
from dashboard.downloads import as_csv
from dashboard.figures import Figures, Selection, figures, published_now
from dashboard.marts import QUERIES, Query, bound
from dashboard.settings import ReportSettings
from pipeline.errors import MissingInputError
from warehouse.snowflake.settings import SnowflakeSettings

if TYPE_CHECKING:
    from tests.builders.published_shop import PublishedShop

pytestmark = pytest.mark.slow

MONTH = Selection(date(2026, 10, 22), date(2026, 11, 20))
WHOLE = Selection(date(2026, 9, 1), date(2026, 11, 21))
DAY = Selection(date(2026, 11, 19), date(2026, 11, 19))
RANGES = pytest.mark.parametrize(
    "chosen", [MONTH, WHOLE, DAY], ids=["month", "everything", "one day"]
)


def days(chosen: Selection) -> list[object]:
    return [chosen.first_day, chosen.last_day]


def total(table: pd.DataFrame, column: str) -> Any:
    return sum(table[column])


@RANGES
def test_totals_are_those_of_the_marts(serving: PublishedShop, chosen: Selection) -> None:
    totals = figures(chosen).totals
    in_range = "where order_date between ? and ? and not is_cancelled"
    orders, revenue, customers = serving.query(
        "select count(*), coalesce(sum(total_amount), 0), count(distinct customer_id) from "
        f"published.fct_orders {in_range}",
        days(chosen),
    )[0]
    assert orders > 0
    assert (totals.orders, totals.gross_revenue, totals.active_customers) == (
        orders,
        revenue,
        customers,
    )
    assert isinstance(totals.gross_revenue, Decimal)
    assert totals.average_order_value == round(revenue / orders, 2)
    net, refunds, count = serving.query(
        """select sum(net_revenue), sum(refunds), sum(refund_count) from published.fct_daily_revenue
           where order_date between ? and ?""",
        days(chosen),
    )[0]
    assert (totals.net_revenue, totals.refunds, totals.refund_count) == (net, refunds, count)


def test_the_period_before_has_the_same_length_and_ends_the_day_before(
    serving: PublishedShop,
) -> None:
    assert MONTH.before == Selection(date(2026, 9, 22), date(2026, 10, 21))
    read = figures(MONTH)
    assert read.totals_before == figures(MONTH.before).totals
    assert list(read.revenue["day"]) == [
        MONTH.before.first_day + timedelta(days=n) for n in range(60)
    ]


def test_nothing_is_compared_with_a_period_that_the_data_do_not_cover(
    serving: PublishedShop,
) -> None:
    first = serving.one("select min(order_date) from published.fct_daily_revenue")
    assert (
        figures(Selection(first + timedelta(days=10), first + timedelta(days=19))).totals_before
        is not None
    )
    assert (
        figures(Selection(first + timedelta(days=9), first + timedelta(days=18))).totals_before
        is None
    )


@RANGES
def test_every_day_is_a_row_and_they_add_up_to_the_totals(
    serving: PublishedShop, chosen: Selection
) -> None:
    read = figures(chosen)
    now = read.revenue[read.revenue["day"] >= chosen.first_day]
    expected = serving.query(
        "select order_date, orders, gross_revenue from published.fct_daily_revenue where "
        "order_date between ? and ? order by 1",
        days(chosen),
    )
    assert (
        list(now[["day", "orders", "gross_revenue"]].itertuples(index=False, name=None)) == expected
    )
    assert total(now, "gross_revenue") == read.totals.gross_revenue
    assert total(now, "orders") == read.totals.orders


def test_a_category_counts_its_own_lines_and_an_order_once(serving: PublishedShop) -> None:
    chosen = replace(MONTH, categories=("Electronics", "Other"))
    read = figures(chosen)
    expected = """
        select count(distinct order_id), sum(gross_revenue), count(distinct customer_id)
        from published.fct_order_items
        where order_date between ? and ? and not is_cancelled
            and product_id in (select product_id from published.dim_products
                where category in ('Electronics', 'Other'))"""
    row = serving.query(expected, days(chosen))[0]
    assert (read.totals.orders, read.totals.gross_revenue, read.totals.active_customers) == row
    assert read.totals.orders < total(read.by_category, "orders"), "some order has lines of both"
    assert (
        set(read.by_category["category"])
        == {"Electronics", "Other"}
        == set(read.by_product["category"])
    )
    now = read.revenue[read.revenue["day"] >= chosen.first_day]
    assert len(now) == 30
    assert (
        total(now, "gross_revenue")
        == read.totals.gross_revenue
        == total(read.by_category, "gross_revenue")
    )
    assert (read.totals.net_revenue, read.totals.refunds) == (None, None), (
        "neither is known by category"
    )


@RANGES
def test_products_and_categories_add_up_to_all_lines_of_both_periods(
    serving: PublishedShop, chosen: Selection
) -> None:
    read = figures(chosen)
    lines = (
        "select coalesce(sum(gross_revenue), 0) from published.fct_order_items "
        "where order_date between ? and ?"
    )
    for table in (read.by_category, read.by_product):
        assert total(table, "gross_revenue") == serving.one(lines, days(chosen))
        assert total(table, "gross_revenue_before") == serving.one(lines, days(chosen.before))
        assert list(table["gross_revenue"]) == sorted(table["gross_revenue"], reverse=True)


def test_a_line_of_a_product_that_is_gone_counts_as_an_unknown_product(
    serving: PublishedShop, tmp_path: Path
) -> None:
    def forget(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute("delete from published.dim_products where category = 'Other'")

    lost = serving.one(
        """select sum(gross_revenue) from published.fct_order_items
           where product_id in (select product_id from published.dim_products
                              where category = 'Other')"""
    )
    changed = partial(marts._duckdb, changed_copy(serving, tmp_path, forget))
    by_category = dict(
        figures(WHOLE, changed)
        .by_category[["category", "gross_revenue"]]
        .itertuples(index=False, name=None)
    )
    assert by_category["Unknown product"] == lost
    assert "Unknown product" in published_now(changed).categories


@RANGES
def test_refunds_and_marketing_are_those_of_the_marts(
    serving: PublishedShop, chosen: Selection
) -> None:
    read = figures(chosen)
    assert total(read.refunds, "refunds") == read.totals.refunds
    expected = serving.query(
        """select channel, sum(spend), sum(revenue_attributed), sum(conversions)
           from published.fct_marketing_performance
           where date_day between ? and ? group by channel order by sum(spend) desc""",
        days(chosen),
    )
    columns = ["channel", "spend", "revenue_attributed", "conversions"]
    assert list(read.marketing[columns].itertuples(index=False, name=None)) == expected
    for channel in read.marketing.itertuples():
        assert channel.return_on_spend == (
            round(channel.revenue_attributed / channel.spend, 2) if channel.spend else None
        )


@RANGES
def test_lifetime_values_are_of_those_who_ordered_in_the_period(
    serving: PublishedShop, chosen: Selection
) -> None:
    lifetime = figures(chosen).lifetime
    expected = serving.query(
        """select count(*), sum(net_revenue) from published.dim_customers where is_current
           and customer_id in (select customer_id from published.fct_orders
                               where order_date between ? and ? and not is_cancelled)""",
        days(chosen),
    )[0]
    assert (total(lifetime, "customers"), total(lifetime, "net_revenue")) == expected
    for step, following in zip(
        lifetime["value_from"], [*lifetime["value_from"][1:], None], strict=True
    ):
        row = lifetime[lifetime["value_from"] == step].iloc[0]
        assert step * row["customers"] <= row["net_revenue"]
        assert following is None or row["net_revenue"] < following * row["customers"]


def test_a_filter_is_a_bound_parameter(serving: PublishedShop) -> None:
    before = serving.file.read_bytes()
    for hostile in (
        "') or 1 = 1 --",
        "Electronics'; drop table published.fct_orders; --",
        ":categories",
        "?",
    ):
        read = figures(replace(MONTH, categories=(hostile,)))
        assert (read.totals.orders, len(read.by_product), len(read.lifetime)) == (0, 0, 0)
    assert serving.file.read_bytes() == before


def test_parameters_stand_where_their_names_stood() -> None:
    text = "select :a where x in (:several) and y between :a and :b"
    assert bound(text, {"a": 1, "b": None, "several": ("x", "y")}) == (
        "select ? where x in (?, ?) and y between ? and ?",
        [1, "x", "y", 1, None],
    )
    assert bound("in (:several)", {"several": ()}) == ("in (?)", [None])
    with pytest.raises(KeyError, match="forgotten"):
        bound(":forgotten", {})


def test_the_marts_cannot_be_written_to_nor_other_files_read(serving: PublishedShop) -> None:
    with marts._duckdb(serving.file):
        connection = duckdb.connect(str(serving.file), read_only=True)
        with pytest.raises(duckdb.Error, match="read-only"):
            connection.execute("delete from published.fct_orders")
        with pytest.raises(duckdb.Error, match=r"disabled|Permission"):
            connection.execute("select * from read_csv('/etc/passwd')")


def test_a_publication_that_replaces_the_file_is_seen_at_once(
    serving: PublishedShop, tmp_path: Path
) -> None:
    def add_a_cent(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(
            "update published.fct_daily_revenue set gross_revenue = gross_revenue + 0.01 where "
            "order_date = ?",
            [DAY.first_day],
        )
        connection.execute("update published.publication set publication_id = 'newer'")

    current = tmp_path / "current.duckdb"
    shutil.copy(serving.file, current)
    reading = partial(marts._duckdb, current)
    before = figures(DAY, reading)
    changed_copy(serving, tmp_path, add_a_cent).replace(current)
    after = figures(DAY, reading)
    assert after.totals.gross_revenue == before.totals.gross_revenue + Decimal("0.01")
    assert (before.published.publication_id, after.published.publication_id) != ("newer", "newer")
    assert after.published.publication_id == "newer"


def test_figures_are_read_again_if_a_publication_came_in_between(serving: PublishedShop) -> None:
    asked: list[str] = []

    @contextmanager
    def republished_meanwhile() -> Iterator[Query]:
        with marts._duckdb(serving.file) as query:

            def once_more(name: str, /, **parameters: object) -> pd.DataFrame:
                asked.append(name)
                rows = query(name, **parameters)
                return (
                    rows.assign(publication_id="older")
                    if asked.count(name) == 1 and name == "publication"
                    else rows
                )

            yield once_more

    read = figures(MONTH, republished_meanwhile)
    assert read.published.publication_id == published_now().publication_id
    assert asked.count("totals") == 2 * asked.count("publication") // 2 == 4


def test_before_the_first_publication_a_sentence_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match=r"^Nothing has been published yet\.$"):
        published_now(partial(marts._duckdb, tmp_path / "absent.duckdb"))


def test_a_download_holds_exact_decimals_and_no_formula(serving: PublishedShop) -> None:
    table = figures(WHOLE).by_product
    text = as_csv(table).decode()
    assert (
        text.splitlines()[0]
        == "product_id,product,category,orders,units,gross_revenue,gross_revenue_before"
    )
    assert f",{table['gross_revenue'].iloc[0]}," in text.splitlines()[1]
    assert "\"'=HYPERLINK(" in text
    assert ",=HYPERLINK" not in text and '"=HYPERLINK' not in text


# Snowflake
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", sorted(QUERIES.glob("*.sql")), ids=lambda file: file.stem)
def test_a_query_is_snowflakes_sql_as_well_and_reads_published_marts_only(file: Path) -> None:
    sql, _ = bound(
        file.read_text(),
        dict.fromkeys(
            ("first_day", "last_day", "before_first_day", "categories", "all_categories")
        ),
    )
    for dialect in ("snowflake", "duckdb"):
        tree = sqlglot.parse_one(sql, read=dialect, error_level=sqlglot.ErrorLevel.RAISE)
        common = {cte.alias for cte in tree.find_all(sqlglot.exp.CTE)}
        read = {
            table.sql(dialect)
            for table in tree.find_all(sqlglot.exp.Table)
            if table.name not in common
        }
        assert read
        assert all(
            " as " not in name.split()[0] and name.startswith("published.") for name in read
        ), read


def test_snowflake_gives_the_same_figures_to_the_analyst(
    serving: PublishedShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fakesnow
    import snowflake.connector

    seen: list[dict[str, Any]] = []
    # Undone in this order, else the fake stays for all later tests.
    with fakesnow.patch(), monkeypatch.context() as inner:
        faked = snowflake.connector.connect

        def connect(**arguments: Any) -> Any:
            seen.append(arguments)
            return faked(**arguments)

        inner.setattr(snowflake.connector, "connect", connect)
        account = SnowflakeSettings(_env_file=None, account="shop", user="loader", password="x")  # type: ignore[call-arg,arg-type]
        reading: Any = partial(
            marts._snowflake,
            account,
            ReportSettings(_env_file=None, user="analyst_user", token="analysts"),  # type: ignore[call-arg,arg-type]
        )
        with pytest.raises(
            MissingInputError,
            match="Nothing has been published yet, or the role ANALYST may not read it",
        ):
            published_now(reading)
        fill(
            faked(
                database="ECOMMERCE_ANALYTICS",
                user="x",
                password="x",
                account="x",
                paramstyle="qmark",
            ),
            serving,
        )
        chosen = replace(MONTH, categories=("Electronics", "Other"))
        for selection in (MONTH, chosen):
            assert_same(figures(selection, reading), figures(selection))
    analyst = {
        "user": "analyst_user",
        "role": "ANALYST",
        "warehouse": "REPORTING_WH",
        "database": "ECOMMERCE_ANALYTICS",
    }
    assert all(analyst.items() <= arguments.items() for arguments in seen)


def assert_same(one: Figures, other: Figures) -> None:
    assert (one.totals, one.totals_before) == (other.totals, other.totals_before)
    for name in ("revenue", "by_category", "by_product", "refunds", "marketing", "lifetime"):
        pd.testing.assert_frame_equal(
            getattr(one, name), getattr(other, name), check_dtype=False, obj=name
        )


def fill(connection: Any, shop: PublishedShop) -> None:
    """The published marts, copied into a Snowflake double."""
    cursor = connection.cursor()
    cursor.execute("create schema if not exists published")
    for (table,) in shop.query(
        "select table_name from information_schema.tables where table_schema = 'published'"
    ):
        described = shop.query(
            "select column_name, data_type from information_schema.columns where table_name = "
            f"'{table}'"
        )
        kept = [(name, kind) for name, kind in described if kind != "JSON"]
        cursor.execute(
            f"create table published.{table} ({', '.join(f'{name} {kind}' for name, kind in kept)})"
        )
        names = ", ".join(name for name, _ in kept)
        rows = shop.query(f"select {names} from published.{table}")
        if table == "dim_dates":
            continue
        for row in rows:
            cursor.execute(
                f"insert into published.{table} values ({', '.join('?' * len(row))})", row
            )
    connection.commit()


def changed_copy(shop: PublishedShop, folder: Path, change: Any) -> Path:
    copy = folder / "changed.duckdb"
    shutil.copy(shop.file, copy)
    with duckdb.connect(str(copy)) as connection:
        change(connection)
    return copy
