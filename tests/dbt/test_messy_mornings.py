"""The source's mess stops no day: it is flagged in its row, and a test warns of it by name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.builders.dbt_days import A_DAY, BUILD, assert_equal_to_a_full_refresh, snapshot_of_marts
from tests.builders.raw_shop import RawShop, Row
from tests.builders.run_dbt import Dbt, runner, statuses

pytestmark = pytest.mark.slow
DAY = date(2026, 11, 2)
PLACEHOLDERS = range(10, 25)
WARNS = {
    "orders_outside_the_calendar",
    "orders_dated_in_the_future",
    "orders_with_a_negative_total",
    "orders_without_a_customer",
    "payments_in_a_currency_without_a_rate",
    "relationships_fct_order_items_product_id__product_id__ref_dim_products_",
    "relationships_fct_order_items_order_id__order_id__ref_fct_orders_",
    "customers_with_a_malformed_email",
    "customers_with_a_shared_email",
    "refunds_never_exceed_their_charge",
    "charges_capture_no_more_than_their_amount",
    "marketing_spend_is_usual",
    "marketing_spend_below_zero",
}


def make_a_mess(shop: RawShop) -> None:
    """One row of each kind, with the keys 1 to 8 of its table."""
    orders, charges = shop.tables["orders"], shop.tables["charges"]
    at = shop.moment()

    def put(table: str, row: Row, **values: object) -> None:
        shop.put(table, **{**row, **values})

    put("orders", orders[(1,)], order_date=datetime(1970, 1, 1), created_at=None, updated_at=None)
    put("orders", orders[(2,)], order_date=datetime(2044, 12, 31), updated_at=at)
    put("orders", orders[(3,)], total_amount=Decimal("-5.00"), updated_at=at)
    put("orders", orders[(4,)], customer_id=None, status="", updated_at=at)
    put("orders", orders[(5,)], customer_id=99_999, updated_at=at)
    succeeded = [row for row in charges.values() if row["status"] == "succeeded"]
    francs, over, twice = succeeded[:3]
    put("charges", francs, currency="chf")
    shop.refund(francs)
    shop.dispute(francs)
    put("charges", over, amount=over["amount_captured"] / 2)
    for name in ("re_more", "re_than"):
        shop.put("refunds", **(refund(twice, name, at)))
    for name in ("dp_more", "dp_than"):
        shop.put("disputes", **(refund(twice, name, at, kind="dispute") | {"status": "lost"}))
    shop.put("refunds", **refund({**twice, "charge_id": "ch_nobody"}, "re_orphan", at))
    lines = shop.tables["order_items"]
    put("order_items", lines[(1,)], product_id=None)
    put("order_items", lines[(2,)], product_id=99_999)
    put("order_items", lines[(3,)], order_id=99_999)
    put("order_items", lines[(4,)], order_id=None, quantity=None, discount_pct=None)
    for number in range(1, 4):
        customer = shop.tables["customers"][(number,)]
        put("customers", customer, created_at=None, updated_at=None)
    shop.delete(shop.tables["customers"][(4,)])
    for number in PLACEHOLDERS:
        put("customers", shop.tables["customers"][(number,)], email="none@example.com")
    for number, email in zip((25, 26, 27, 28), ("n/a", "N/A ", "", " "), strict=True):
        put("customers", shop.tables["customers"][(number,)], email=email)
    for number in range(1, 10):
        spend(shop, date(2026, 10, number), Decimal(10))
    spend(shop, date(2026, 10, 10), Decimal(172_450_000))
    spend(shop, date(2026, 10, 11), Decimal(-3))


def refund(charge: Row, name: str, at: datetime, kind: str = "refund") -> Row:
    """All that a charge took, as a refund or a dispute."""
    amount = charge["amount_captured"]
    return {
        f"{kind}_id": name,
        "charge_id": charge["charge_id"],
        "status": "succeeded",
        "currency": charge["currency"],
        "amount": amount,
        "amount_minor": int(amount * 100),
        "created_at": at,
    }


def spend(shop: RawShop, day: date, amount: Decimal) -> None:
    shop.put(
        "marketing_spend",
        date=day,
        channel="google_ads",
        campaign_name="Brand",
        spend=amount,
        impressions=10,
        clicks=1,
    )


class Morning:
    def __init__(self, folder: Path, dbt: Dbt) -> None:
        self.folder, self.dbt = folder, dbt
        shop = RawShop(7, date(2026, 11, 1))
        shop.open()
        shop.write(folder)
        dbt(*BUILD)
        shop.day = DAY
        shop.start_load()
        make_a_mess(shop)
        shop.write(folder)
        dbt(*A_DAY)
        self.tests = statuses(dbt("test", "--exclude-resource-type", "unit_test", succeeds=False))
        self.marts = snapshot_of_marts(folder)


@pytest.fixture(scope="module")
def morning(tmp_path_factory: pytest.TempPathFactory, target_path: Path) -> Morning:
    """A day on which one row of each kind is messy, built incrementally and tested."""
    folder = tmp_path_factory.mktemp("messy")
    return Morning(folder, runner(folder, target_path))


def test_no_test_stops_the_day_and_each_kind_is_warned_of(morning: Morning) -> None:
    assert set(morning.tests.values()) == {"pass", "warn"}, morning.tests
    assert {name for name, status in morning.tests.items() if status == "warn"} >= WARNS


def rows(morning: Morning, mart: str, key: str) -> dict[Any, Row]:
    return {row[key]: row for row in morning.marts[mart]}


def test_an_order_outside_of_time_is_kept_and_begins_and_ends_no_daily_mart(
    morning: Morning,
) -> None:
    orders = rows(morning, "fct_orders", "order_id")
    assert (orders[1]["order_date"], orders[2]["order_date"]) == (
        date(1970, 1, 1),
        date(2044, 12, 31),
    )
    assert [key for key, order in orders.items() if order["is_future_dated"]] == [2]
    days = [row["order_date"] for row in morning.marts["fct_daily_revenue"]]
    assert days[0] >= date(2026, 8, 1) and days[-1] == DAY


def test_a_charge_without_a_rate_has_no_amount_in_dollars(morning: Morning) -> None:
    (francs,) = (row for row in morning.marts["fct_payments"] if row["currency"] == "chf")
    assert francs["is_rate_missing"] and francs["captured_amount"] is None
    assert francs["charge_amount_captured"] > 0


def test_a_line_without_its_order_or_product_says_so(morning: Morning) -> None:
    lines = rows(morning, "fct_order_items", "order_item_id")
    assert {key for key, line in lines.items() if line["is_order_missing"]} == {3, 4}
    assert lines[3]["gross_revenue"] is lines[4]["gross_revenue"] is None
    assert (lines[1]["product_id"], lines[2]["product_id"]) == (None, 99_999)
    revenue = sum(row["gross_revenue"] or 0 for row in lines.values() if row["product_id"])
    sold = sum(row["gross_revenue"] for row in morning.marts["dim_products"])
    assert sold == revenue - lines[2]["gross_revenue"]


def test_a_customer_without_a_beginning_has_one_in_the_mart(morning: Morning) -> None:
    customers = [row for row in morning.marts["dim_customers"] if row["customer_id"] <= 3]
    assert {row["created_at"] for row in customers} == {None}
    assert all(row["valid_from"] for row in customers)


@pytest.mark.parametrize("accounts", [PLACEHOLDERS, (25, 26), (27, 28)])
def test_an_address_that_is_nobodys_makes_no_person(
    morning: Morning, accounts: Sequence[int]
) -> None:
    """A placeholder of many accounts; what is no address; nothing."""
    found = [row for row in morning.marts["dim_customers"] if row["customer_id"] in accounts]
    assert all(row["primary_customer_id"] == row["customer_id"] for row in found)
    assert not any(row["is_email_duplicate"] for row in found)


def test_the_mess_is_the_same_after_a_full_refresh(morning: Morning) -> None:
    assert_equal_to_a_full_refresh(morning.folder, morning.dbt)
