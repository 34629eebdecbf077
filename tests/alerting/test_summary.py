"""The green message sums up what was published."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from alerting import send_slack_alert
from alerting.alert import Alert
from alerting.store import Trouble
from alerting.summary import summed_up
from pipeline.days import upper_bound
from pipeline.records import Window
from pipeline.sources import PRODUCTS, source
from sandbox.slack_inbox import SlackInbox
from transform.publication import published_file
from warehouse import open_warehouse
from warehouse.arrow import schema_of
from warehouse.duckdb.session import DuckDBSession
from warehouse.publication import COLUMNS
from warehouse.tables import create_table

if TYPE_CHECKING:
    from tests.builders.alert_context import ContextOf

DAY = date(2026, 11, 22)
SUCCESS = Alert("success", "ecommerce_dbt", "key", "notify_success", str(DAY))


@pytest.fixture
def published() -> None:
    """A publication of 2026-11-22 with three days of revenue."""
    file = published_file()
    file.parent.mkdir(parents=True)
    with duckdb.connect(str(file)) as connection:
        connection.execute("create schema published")
        create_table(DuckDBSession(connection), "published.publication", COLUMNS)
        connection.execute(
            """insert into published.publication
               values ('1', date '2026-11-22', date '2026-11-22', now(), now(), 246, 9,
               '{}', '{}', '{"charges": 60, "orders": 1600}', '[]')"""
        )
        connection.execute(
            "create table published.fct_daily_revenue (order_date date, gross_revenue decimal(18, "
            "2))"
        )
        connection.execute(
            """insert into published.fct_daily_revenue values
               ('2026-11-14', 1000.00), ('2026-11-21', 1100.00), ('2026-11-22', 5.00)"""
        )


@pytest.mark.usefixtures("published")
def test_the_summary_names_rows_tests_time_and_revenue() -> None:
    loads = [
        {
            "source": "marketing",
            "rows": 10,
            "rows_rejected": 35,
            "rows_newly_rejected": 34,
            "newly_rejected": [
                f"spend.csv line {line}: spend is no number" for line in range(2, 7)
            ],
        },
        {"source": "orders", "rows": 1600, "rows_rejected": 0},
    ]
    facts = dict(summed_up(SUCCESS, loads, now=datetime(2026, 11, 22, 6, 12, 34)).facts)
    assert facts == {
        "Rows loaded": "1,660 (orders 1,600, charges 60)",
        "Tests": "246 passed",
        "Revenue": "1,100.00 USD on Sat 2026-11-21, +10.0% against 1,000.00 on Sat 2026-11-14",
        "Rows newly set aside": "• marketing 34: spend.csv line 2: spend is no number; "
        "spend.csv line 3: spend is no number; spend.csv line 4: spend is no number; "
        "and 31 more",
        "Total time": "12m 34s from 06:00 UTC",
    }


@pytest.mark.usefixtures("published")
def test_warnings_that_are_new_are_named_with_their_first_rows() -> None:
    warnings = [
        {
            "test": "orders_in_the_future",
            "model": "fct_orders",
            "rows": 3,
            "new_rows": 1,
            "keys": [{"order_id": "7"}],
        },
        {"test": "spend_is_usual", "model": None, "rows": 1_200, "new_rows": 1_200, "keys": []},
    ]
    with duckdb.connect(str(published_file())) as connection:
        connection.execute("update published.publication set warnings = ?", [json.dumps(warnings)])
    facts = dict(summed_up(SUCCESS, now=datetime(2026, 11, 22, 6, 12, 34)).facts)
    assert facts["New warnings"] == (
        "• orders_in_the_future of fct_orders (1 new row, 3 in all): order_id=7\n"
        "• spend_is_usual (1,200 new rows)"
    )


@pytest.mark.usefixtures("published")
def test_a_settled_day_whose_revenue_has_changed_is_named_with_the_cause() -> None:
    small, large = ("2026-11-19", "10000", "10001", "1"), ("2026-11-20", "200", "231.20", "31.20")
    with duckdb.connect(str(published_file())) as connection:
        connection.execute(
            "create table published.restatements as select publication_id, published_at, "
            "cast(null as date) as date_day, '' as measure, 0.00::decimal(18, 2) as value_before, "
            "0.00::decimal(18, 2) as value_after, '' as cause, 0.00::decimal(18, 2) as change, "
            "1 as row_count, '' as load_id from published.publication limit 0"
        )
        for day, before, after, change in (small, large):
            connection.execute(
                "insert into published.restatements select publication_id, published_at, ?, "
                "'gross_revenue', ?, ?, 'late order', ?, 1, '' from published.publication",
                [day, before, after, change],
            )
    facts = dict(summed_up(SUCCESS, now=datetime(2026, 11, 22, 6, 12, 34)).facts)
    assert facts["Changed since"] == (
        "• gross_revenue of 2026-11-20: 231.20, was 200.00: late order +31.20 (1 row)"
    )


@pytest.mark.usefixtures("published")
def test_a_day_that_was_caught_up_later_is_not_measured_from_six() -> None:
    assert "Total time" not in dict(summed_up(SUCCESS, now=datetime(2026, 11, 22, 21, 0)).facts)


@pytest.mark.usefixtures("published")
def test_figures_of_another_days_publication_are_left_out() -> None:
    other = Alert("success", "ecommerce_dbt", "key", "notify_success", "2026-11-20")
    assert summed_up(other, now=datetime(2026, 11, 22, 21, 0)).facts == ()


def test_a_source_that_brought_far_less_than_usual_is_named() -> None:
    warehouse, products = open_warehouse(), source("products")
    for weeks in range(1, 6):
        day = DAY - timedelta(weeks=weeks)
        rows = [
            {"product_id": number, "name": "x", "price": Decimal(1), "updated_at": upper_bound(day)}
            for number in range(40)
        ]
        with warehouse.begin_load(products, day, Window(None, upper_bound(day))) as load:
            load.stage(PRODUCTS, [pa.RecordBatch.from_pylist(rows, schema_of(PRODUCTS))])
            load.commit(upper_bound(day))
    few, usual = ([{"source": "products", "rows": count, "rows_rejected": 0}] for count in (4, 39))
    facts = dict(summed_up(SUCCESS, few, now=datetime(2026, 11, 22, 6, 12)).facts)
    assert facts["Far from usual"] == "products 4, usually about 40 on a Sunday"
    assert "Far from usual" not in dict(
        summed_up(SUCCESS, usual, now=datetime(2026, 11, 22, 6, 12)).facts
    )


@pytest.mark.usefixtures("published")
def test_the_summary_reaches_slack(slack: SlackInbox, context_of: ContextOf) -> None:
    send_slack_alert(
        context_of(dag_id="ecommerce_dbt", task_id="notify_success", kind="notification"), "success"
    )
    (message,) = slack.messages()
    assert "Rows loaded: 1,660 (orders 1,600, charges 60)" in message.text.replace("*", "")
    assert message.colour == "#36a64f"


def test_nothing_published_makes_a_shorter_message_and_no_error(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    send_slack_alert(
        context_of(dag_id="ecommerce_dbt", task_id="notify_success", kind="notification"), "success"
    )
    (message,) = slack.messages()
    assert "Rows loaded" not in message.text


def test_a_day_that_was_complete_before_is_corrected_and_not_late(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    """Its first green message came in time; a test failed after a correction at noon."""
    green = {"dag_id": "ecommerce_dbt", "task_id": "notify_success", "kind": "notification"}
    send_slack_alert(context_of(**green), "success")
    send_slack_alert(context_of(ValueError("a test failed"), clear_number=1), "failure")
    noon = datetime.combine(DAY, time(16, 43), UTC)
    alert = summed_up(SUCCESS, now=noon)
    assert alert.status == "recovery"
    assert dict(alert.facts)["Recovered"] == "day 2026-11-22 complete after 1 failure"
    assert "Total time" not in dict(alert.facts)


@pytest.mark.parametrize(
    ("began", "late"),
    [(datetime(2026, 11, 22, 6, 5), ", 2 days late"), (datetime(2026, 11, 24, 9, 0), "")],
)
def test_a_recovered_day_was_late_only_if_its_trouble_began_on_it(
    monkeypatch: pytest.MonkeyPatch, began: datetime, late: str
) -> None:
    """A correction or a back-fill of an old day has no time by which it must be there."""
    monkeypatch.setattr("alerting.store.trouble_of", lambda day: Trouble(failures=1, began=began))
    alert = summed_up(SUCCESS, now=datetime(2026, 11, 24, 12, 0, tzinfo=UTC))
    assert dict(alert.facts)["Recovered"] == f"day 2026-11-22 complete after 1 failure{late}"
