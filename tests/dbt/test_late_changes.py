"""What changes long after its order reaches the incremental tables on its day, with its rows."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.builders.dbt_days import A_DAY, BUILD, assert_equal_to_a_full_refresh, snapshot_of_marts
from tests.builders.raw_shop import RawShop, Row
from tests.builders.run_dbt import runner

pytestmark = pytest.mark.slow
TODAY = date(2026, 11, 2)
LONG_AGO = datetime(2026, 8, 1, 12)


def shop_of_three_months() -> RawShop:
    """Four customers: orders 1 to 4 of the first, 5 of the second, a line and a charge each."""
    shop = RawShop(5, date(2026, 11, 1))
    for _ in range(4):
        shop.new_customer()
    price = Decimal("100.00")
    shop.put(
        "products",
        product_id=1,
        name="Lamp",
        price=price,
        cost=Decimal("40.00"),
        is_active=True,
        updated_at=LONG_AGO,
    )
    for number in range(1, 6):
        at = LONG_AGO + timedelta(days=number)
        customer = 1 if number < 5 else 2
        order: Row = {
            "order_id": number,
            "customer_id": customer,
            "order_date": at,
            "status": "completed",
        }
        shop.put("orders", **order, total_amount=price, created_at=at, updated_at=at)
        item: Row = {
            "order_item_id": number,
            "order_id": number,
            "product_id": 1,
            "quantity": 1,
            "unit_price": price,
        }
        shop.put("order_items", **item, discount_pct=Decimal(0), line_total=price, created_at=at)
        money: Row = {
            "currency": "usd",
            "amount": price,
            "amount_minor": 10_000,
            "amount_captured": price,
        }
        shop.put(
            "charges",
            charge_id=f"ch_{number}",
            order_id=str(number),
            status="succeeded",
            amount_refunded=Decimal(0),
            created_at=at,
            is_disputed=False,
            _fetched_at=shop.loaded_at,
            **money,
        )
    shop.new_marketing()
    return shop


def test_late_changes_reach_old_rows_and_what_hangs_on_them(
    tmp_path: Path, target_path: Path
) -> None:
    dbt, shop = runner(tmp_path, target_path), shop_of_three_months()
    shop.write(tmp_path)
    dbt(*BUILD)
    before = snapshot_of_marts(tmp_path)

    shop.day = TODAY
    shop.start_load()
    # The customer's first order is only marked: order 2 becomes the first.
    shop.delete(shop.tables["orders"][(1,)])
    refund: Row = {
        "refund_id": "re_1",
        "charge_id": "ch_2",
        "status": "succeeded",
        "currency": "usd",
    }
    shop.put(
        "refunds",
        **refund,
        amount=Decimal("30.00"),
        amount_minor=3000,
        created_at=shop.moment(),
        _fetched_at=shop.loaded_at,
    )
    shop.put("charges", charge_id="ch_3", order_id="4")  # matched to another order
    shop.put("order_items", order_item_id=5, order_id=4)  # a line moves
    shop.put("products", product_id=1, cost=Decimal("55.00"), updated_at=shop.moment())
    shop.write(tmp_path)
    dbt(*A_DAY)
    after = snapshot_of_marts(tmp_path)

    orders = {row["order_id"]: row for row in after["fct_orders"]}
    assert set(orders) == {2, 3, 4, 5}
    assert (
        orders[2]["is_first_order"]
        and not {row["order_id"]: row for row in before["fct_orders"]}[2]["is_first_order"]
    )
    assert (orders[2]["refunded_amount"], orders[2]["net_revenue"]) == (
        Decimal("30.00"),
        Decimal("70.00"),
    )
    assert [orders[number]["payment_status"] for number in (3, 4)] == ["unpaid", "overpaid"]
    assert [orders[number]["item_count"] for number in (4, 5)] == [2, 0]
    charges = {row["charge_id"]: row for row in after["fct_payments"]}
    assert charges["ch_1"]["match_status"] == "orphan_charge"
    assert [charges[name]["match_status"] for name in ("ch_3", "ch_4")] == ["overpaid", "overpaid"]
    (line,) = (row for row in after["fct_order_items"] if row["order_item_id"] == 1)
    assert line["is_order_missing"] and line["gross_revenue"] is None
    (product,) = after["dim_products"]
    assert (product["units_sold"], product["gross_margin"]) == (4, 4 * Decimal("45.00")), (
        "old sales at today's cost"
    )

    assert_equal_to_a_full_refresh(tmp_path, dbt)
