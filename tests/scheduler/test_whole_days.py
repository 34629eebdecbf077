"""Two whole days through Airflow; published numbers equal those computed from the sources."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psutil
import psycopg2
import pytest
import stripe

from pipeline.days import current_day, upper_bound
from pipeline.sources import SOURCES
from sandbox.day import DBT_DAG, run_day
from sandbox.shop import live, open_shop
from sandbox.stack import SOURCE_DATABASE, Stack
from transform import read_published
from warehouse.settings import WarehouseSettings

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "whole"
SCALE = 0.02
CENT = Decimal("0.01")
MARTS_URI = "ecommerce://analytics/published_marts"
# Two spellings of one thing in the shop's data; whatever else a status says, the order counts.
CANCELLED = ("cancelled", "canceled")


def source_rows(stack: Stack, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(stack.postgres.dsn(SOURCE_DATABASE))
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall()
    finally:
        connection.close()


def stripe_objects(stack: Stack, kind: str, until: datetime) -> list[Any]:
    """Every object of that kind created up to a moment, by the official client's paging."""
    client = stripe.StripeClient(
        stack.layout.generated["stripe_key"], base_addresses={"api": stack.stripe_url}
    )
    last = int(until.replace(tzinfo=UTC).timestamp())
    return list(
        getattr(client.v1, kind).list({"limit": 100, "created": {"lte": last}}).auto_paging_iter()
    )


def utc_date(timestamp: int) -> date:
    return datetime.fromtimestamp(timestamp, UTC).date()


def expected_orders(stack: Stack, day: date) -> dict[date, tuple[int, Decimal]]:
    """(orders, revenue) by date of order, of what had been created up to the day's upper bound."""
    rows = source_rows(
        stack,
        """select order_date::date, count(*), sum(total_amount) from orders
           where created_at <= %s and lower(trim(status)) not in %s group by 1""",
        upper_bound(day),
        CANCELLED,
    )
    return {order_date: (count, revenue) for order_date, count, revenue in rows}


def expected_money(stack: Stack, day: date) -> tuple[dict[date, Decimal], dict[date, Decimal]]:
    """Payments in US dollars by date of charge, refunds in US dollars by date of refund."""
    payments: dict[date, Decimal] = defaultdict(Decimal)
    refunds: dict[date, Decimal] = defaultdict(Decimal)
    for charge in stripe_objects(stack, "charges", upper_bound(day)):
        if charge.currency == "usd" and charge.status == "succeeded":
            payments[utc_date(charge.created)] += Decimal(charge.amount_captured) * CENT
    for refund in stripe_objects(stack, "refunds", upper_bound(day)):
        if refund.currency == "usd" and refund.status == "succeeded":
            refunds[utc_date(refund.created)] += Decimal(refund.amount) * CENT
    return payments, refunds


def published(warehouse: WarehouseSettings, column: str) -> dict[date, Decimal]:
    return dict(
        read_published(
            f"select order_date, {column} from published.fct_daily_revenue where {column} <> 0",
            warehouse,
        )
    )  # type: ignore[arg-type]


def without_zeros(numbers: Mapping[date, Decimal]) -> dict[date, Decimal]:
    return {key: value for key, value in numbers.items() if value}


def assert_published_equals_sources(stack: Stack, warehouse: WarehouseSettings, day: date) -> None:
    orders = expected_orders(stack, day)
    assert sum(count for count, _ in orders.values()) > 0
    assert published(warehouse, "orders") == {key: count for key, (count, _) in orders.items()}
    assert published(warehouse, "gross_revenue") == without_zeros(
        {key: revenue for key, (_, revenue) in orders.items()}
    )

    customers = source_rows(
        stack, "select count(*) from customers where created_at <= %s", upper_bound(day)
    )
    assert (
        read_published("select count(*) from published.dim_customers where is_current", warehouse)
        == customers
    )

    payments, refunds = expected_money(stack, day)
    foreign = [
        charge
        for charge in stripe_objects(stack, "charges", upper_bound(day))
        if charge.currency != "usd"
    ]
    by_currency = read_published(
        "select charge_date, sum(captured_amount) from published.fct_payments where currency = "
        "'usd' group by 1",
        warehouse,
    )
    assert without_zeros(dict(by_currency)) == without_zeros(payments)  # type: ignore[arg-type]
    if not foreign:
        assert published(warehouse, "payments") == without_zeros(payments)
        assert published(warehouse, "refunds") == without_zeros(refunds)


def test_two_days_in_a_row_publish_what_the_sources_hold(
    stack: Stack, warehouse_settings: WarehouseSettings
) -> None:
    second = current_day()
    first = second - timedelta(days=1)

    open_shop(*stack.shop_address, scale=SCALE, until=upper_bound(first))
    run_day(stack.api, stack.layout, first, 240, lambda steps: None)
    assert_published_equals_sources(stack, warehouse_settings, first)

    # The shop lives on for a day: new orders, changed and cancelled ones, refunds of old charges,
    # new customers.
    before = published(warehouse_settings, "gross_revenue")
    live(*stack.shop_address, start=upper_bound(first), end=upper_bound(second))
    order_too_late(stack, upper_bound(second) + timedelta(minutes=1))
    run_day(stack.api, stack.layout, second, 240, lambda steps: None)
    assert_published_equals_sources(stack, warehouse_settings, second)
    assert published(warehouse_settings, "gross_revenue") != before

    dbt_runs = [
        (run["partition_key"], run["state"], run["run_type"]) for run in stack.api.runs(DBT_DAG)
    ]
    assert sorted(dbt_runs) == [
        (day.isoformat(), "success", "asset_triggered") for day in (first, second)
    ]


def order_too_late(stack: Stack, moment: datetime) -> None:
    """An order of the minute after the upper bound: it belongs to the next day."""
    connection = psycopg2.connect(stack.postgres.dsn(SOURCE_DATABASE))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            """insert into orders
                   (customer_id, order_date, status, total_amount, created_at, updated_at)
               values ((select min(customer_id) from customers), %(now)s, 'pending', 999999.99,
                       %(now)s, %(now)s)""",
            {"now": moment},
        )
    connection.close()


def test_every_event_carries_what_was_loaded(stack: Stack) -> None:
    day = current_day()
    events = stack.api.call("GET", "/assets/events?limit=100&order_by=-timestamp")["asset_events"]
    rows = {}
    for source in SOURCES:
        of_day = [
            event
            for event in events
            if (event["source_dag_id"], event["partition_key"]) == (source.dag_id, str(day))
        ]
        assert len(of_day) == 1, source.name
        extra = of_day[0]["extra"]
        assert (extra["source"], extra["day"]) == (source.name, str(day))
        assert extra["window"][1] == upper_bound(day).isoformat()
        assert extra["seconds"] > 0 and extra["rows_rejected"] >= 0
        rows[source.name] = extra["rows"]
    assert (
        rows["orders"] > 0
        and rows["order_items"] > 0
        and rows["charges"] > 0
        and rows["marketing"] > 0
    )

    marts = [event for event in events if event["uri"] == MARTS_URI]
    loads = {load["source"]: load for load in marts[0]["extra"]["loads"]}
    assert {name: load["rows"] for name, load in loads.items()} == rows
    assert all(
        load["window"][1] == upper_bound(day).isoformat() and load["seconds"] > 0
        for load in loads.values()
    )


def test_every_server_of_the_sandbox_listens_on_this_machine_only(stack: Stack) -> None:
    services = [psutil.Process(pid) for pid in stack.running().values()]
    processes = [
        *services,
        *(child for service in services for child in service.children(recursive=True)),
    ]
    sockets = [
        socket
        for process in processes
        for socket in process.net_connections("inet")
        if socket.status == "LISTEN"
    ]
    assert {socket.laddr.port for socket in sockets} >= set(stack.ports().values()) - {
        stack.ports()["dashboard"]
    }
    assert {socket.laddr.ip for socket in sockets} == {"127.0.0.1"}
