"""Which days are doubtful enough to wait for a person, and what that person is asked."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from alerting.doubt import doubts_about
from alerting.held import ask_about, doubts_before_publication
from alerting.incidents import open_incidents
from pipeline.days import upper_bound
from pipeline.records import Window
from pipeline.settings import settings
from pipeline.sources import PRODUCTS, source
from sandbox.slack_inbox import SlackInbox
from warehouse import open_warehouse
from warehouse.arrow import schema_of
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from tests.builders.alert_context import ContextOf

DAY = date(2026, 11, 23)
MONDAYS = [DAY - timedelta(weeks=weeks) for weeks in range(1, 6)]


@pytest.fixture
def five_mondays() -> None:
    """A hundred products a Monday, and a gross revenue of about 1,000 on each Sunday before it."""
    warehouse, products = open_warehouse(), source("products")
    for day in MONDAYS:
        rows = [
            {"product_id": number, "name": "x", "price": Decimal(1), "updated_at": upper_bound(day)}
            for number in range(100)
        ]
        with warehouse.begin_load(products, day, Window(None, upper_bound(day))) as load:
            load.stage(PRODUCTS, [pa.RecordBatch.from_pylist(rows, schema_of(PRODUCTS))])
            load.commit(upper_bound(day))
    revenue_is("1000.00")


def revenue_is(last: str, orders: int = 80) -> None:
    """The built marts, not yet published: gross revenue of the last full day and those before."""
    folder = settings(WarehouseSettings).duckdb_dir
    rows = [(day - timedelta(days=1), orders, "1000.00") for day in MONDAYS]
    rows.append((DAY - timedelta(days=1), orders, last))
    with duckdb.connect(str(folder / "ecommerce_analytics.duckdb")) as connection:
        connection.execute("create schema if not exists marts")
        connection.execute(
            "create or replace table marts.fct_daily_revenue "
            "(order_date date, orders integer, gross_revenue decimal(18, 2))"
        )
        connection.executemany("insert into marts.fct_daily_revenue values (?, ?, ?)", rows)


def load_of(rows: int, hours: float = 25) -> list[dict[str, Any]]:
    end = upper_bound(DAY)
    begin = end - timedelta(hours=hours)
    return [
        {"source": "products", "rows": rows, "window": [begin.isoformat(), end.isoformat()]},
        {"source": "charges", "rows": 0, "window": [None, end.isoformat()]},
    ]


@pytest.mark.usefixtures("five_mondays")
def test_no_row_or_many_times_as_many_is_doubtful_and_a_good_or_bad_day_is_not() -> None:
    for rows in (20, 100, 500):
        assert doubts_about(DAY, load_of(rows)) == [], rows
    assert doubts_about(DAY, load_of(0)) == [
        "products brought 0 rows, usually about 100 on a Monday"
    ]
    assert len(doubts_about(DAY, load_of(501))) == 1


@pytest.mark.usefixtures("five_mondays")
@pytest.mark.parametrize("hours", [1, 80])
def test_a_load_of_another_span_than_a_days_is_not_compared(hours: float) -> None:
    """A source loaded again reads its overlap; one that was away reads what it missed."""
    assert doubts_about(DAY, load_of(0, hours)) == doubts_about(DAY, load_of(900, hours)) == []


@pytest.mark.usefixtures("five_mondays")
def test_ten_times_the_revenue_is_doubtful_and_how_much_is_a_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revenue_is("10000.00")
    (doubt,) = doubts_about(DAY, load_of(100))
    assert doubt == "gross revenue of 2026-11-22 is 10,000, usually about 1,000 on a Sunday"
    monkeypatch.setenv("DOUBTFUL_DAY_FACTOR", "20")
    settings.cache_clear()
    assert doubts_about(DAY, load_of(100)) == []
    revenue_is("0.00")
    assert "is 0, usually about 1,000" in doubts_about(DAY, load_of(100))[0]


@pytest.mark.usefixtures("five_mondays")
def test_a_shop_with_few_orders_a_day_is_not_asked_about_its_revenue() -> None:
    revenue_is("20000.00", orders=8)
    assert doubts_about(DAY, load_of(100)) == []


def test_where_too_little_is_known_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first installation, and a warehouse that cannot be read: neither holds anything back."""
    assert doubts_before_publication(DAY, load_of(0)) == []
    monkeypatch.setattr("transform.read_publication", lambda: 1 / 0)
    assert doubts_before_publication(DAY, load_of(0)) == []


def test_the_question_says_what_is_odd_what_readers_see_and_what_silence_means(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    context = context_of(dag_id="ecommerce_dbt", task_id="publish_marts", kind="dbt_run")
    question = ask_about(context, date(2026, 11, 22), ["orders brought 0 rows, usually 1,600"])
    assert (question.wait, question.publish_after_wait) == (timedelta(hours=4), False)
    (message,) = slack.messages()
    for part in (
        "[HELD] ecommerce_dbt",
        "orders brought 0 rows, usually 1,600",
        "see the marts that were published before",
        "after 4 h the marts are not published, and the run fails",
        "/tasks/publish_marts/required_actions",
        "/pipeline/runbook#helddayerror",
    ):
        assert part in json.dumps(message.payload), part
    assert [incident.status for incident in open_incidents()] == ["held"]
