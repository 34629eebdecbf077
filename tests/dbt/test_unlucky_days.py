"""Whatever goes wrong between two complete builds, the next complete one equals a full refresh.

Builds end half-way, rows vanish without a mark, move back and forth between two builds, or are taken out of a mart by hand:
none of that leaves a load time behind that a window could be laid over.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb
import pytest
from raw_shop import RawShop
from run_dbt import runner
from test_incremental import A_DAY, BUILD, INCREMENTAL, MARTS, snapshot_of_intermediates, snapshot_of_marts

pytestmark = pytest.mark.slow
HALF_A_DAY = (
    (*BUILD, "--select", "path:models/intermediate/changes"),
    (*BUILD, "--select", "path:models/intermediate/changes", "int_charges_converted", "int_order_items_summed"),
    (*BUILD, "--select", "path:models/intermediate"),
    (*BUILD, "--select", "path:models/intermediate", "path:snapshots", "dim_customers", "fct_order_items"),
)
BY_HAND = {
    "fct_orders": "order_id",
    "fct_order_items": "order_item_id",
    "fct_payments": "charge_id",
    "dim_customers": "customer_id",
}


@contextmanager
def marts(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(folder / "ecommerce_analytics.duckdb")) as connection:
        yield connection


def moves(shop: RawShop) -> None:
    """Lines, charges, orders and e-mails that change hands, perhaps back to whom they came from."""
    for item in shop.some("order_items", 4):
        other = shop.random.choice(shop.alive("orders"))
        shop.put("order_items", order_item_id=item["order_item_id"], order_id=other["order_id"])
    for charge in shop.some("charges", 3):
        other = shop.random.choice(shop.alive("orders"))
        shop.put("charges", charge_id=charge["charge_id"], order_id=str(other["order_id"]))
    for order in shop.some("orders", 3):
        other = shop.random.choice(shop.alive("customers"))
        shop.put("orders", order_id=order["order_id"], customer_id=other["customer_id"], updated_at=shop.moment())
    for customer in shop.some("customers", 3):
        other = shop.random.choice(shop.alive("customers"))
        email = shop.random.choice([f"new{customer['customer_id']}@example.com", other["email"]])
        shop.put("customers", customer_id=customer["customer_id"], email=email, updated_at=shop.moment())


def vanish(shop: RawShop) -> None:
    """Rows that the raw tables have no more, not even marked as deleted: a swap has left them out."""
    for name in ("orders", "order_items", "charges", "refunds", "customers"):
        if shop.tables[name] and shop.random.random() < 0.3:
            del shop.tables[name][shop.random.choice(list(shop.tables[name]))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_unlucky_days_a_complete_build_equals_a_full_refresh(seed: int, tmp_path: Path, target_path: Path) -> None:
    dbt, luck = runner(tmp_path, target_path), random.Random(seed)
    shop = RawShop(seed, date(2026, 11, 1))
    shop.open()
    shop.write(tmp_path)
    if luck.random() < 0.5:
        dbt(*BUILD, "--exclude", "path:models/marts", "path:models/watermark")  # the very first build fails
    dbt(*BUILD)
    for _ in range(4):
        for _ in range(luck.randint(1, 3)):  # days whose build ends half-way
            shop.next_day()
            moves(shop)
            vanish(shop)
            shop.write(tmp_path)
            dbt(*luck.choice(HALF_A_DAY))
        shop.next_day()
        moves(shop)
        shop.write(tmp_path)
        mart, key = luck.choice(list(BY_HAND.items()))
        with marts(tmp_path) as connection:
            connection.execute(f"delete from marts.{mart} where {key} in (select {key} from marts.{mart} using sample 3)")
        dbt(*A_DAY)
        day_by_day, beneath = snapshot_of_marts(tmp_path), snapshot_of_intermediates(tmp_path)

    dbt(*BUILD, "--full-refresh")
    at_once, beneath_at_once = snapshot_of_marts(tmp_path), snapshot_of_intermediates(tmp_path)
    for table in INCREMENTAL:
        assert beneath[table] == beneath_at_once[table], table
    for name in MARTS:
        assert day_by_day[name] == at_once[name], name


def test_a_day_without_changes_builds_nothing_again(tmp_path: Path, target_path: Path) -> None:
    dbt, shop = runner(tmp_path, target_path), RawShop(4, date(2026, 11, 1))
    shop.open()
    shop.write(tmp_path)
    dbt(*BUILD)
    before = snapshot_of_marts(tmp_path)
    dbt(*A_DAY)
    with marts(tmp_path) as connection:
        changed = {
            name: connection.execute(f"select count(*) from intermediate.{name}").fetchone()
            for name in ("int_changed_orders", "int_changed_charges", "int_changed_customers", "int_touched_order_items")
        }
    assert set(changed.values()) == {(0,)}, changed
    assert snapshot_of_marts(tmp_path) == before
