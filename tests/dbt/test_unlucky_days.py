"""Whatever goes wrong between two complete builds, the next complete one equals a full refresh.

Builds end half-way, rows vanish without a mark, move back and forth between two builds, or are
taken out of a mart by hand: none of that leaves a load time behind that a window could be laid
over.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.builders.marts import (
    A_DAY,
    BUILD,
    INCREMENTAL,
    MARTS,
    snapshot_of_intermediates,
    snapshot_of_marts,
)
from tests.builders.raw_shop import TABLES, RawShop, insert
from tests.builders.run_dbt import failures, runner

pytestmark = pytest.mark.slow
HALF_A_DAY = (
    (*BUILD, "--select", "path:models/intermediate/changes"),
    (
        *BUILD,
        "--select",
        "path:models/intermediate/changes",
        "int_charges_converted",
        "int_order_items_summed",
    ),
    (*BUILD, "--select", "path:models/intermediate"),
    (
        *BUILD,
        "--select",
        "path:models/intermediate",
        "path:snapshots",
        "dim_customers",
        "fct_order_items",
    ),
)
MARTS_LAYER = (*BUILD, "--select", "path:snapshots", "path:models/marts", "path:models/watermark")
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
        shop.put(
            "orders",
            order_id=order["order_id"],
            customer_id=other["customer_id"],
            updated_at=shop.moment(),
        )
    for customer in shop.some("customers", 3):
        other = shop.random.choice(shop.alive("customers"))
        email = shop.random.choice([f"new{customer['customer_id']}@example.com", other["email"]])
        shop.put(
            "customers", customer_id=customer["customer_id"], email=email, updated_at=shop.moment()
        )


def vanish(shop: RawShop) -> None:
    """Rows that the raw tables have no more, not even marked as deleted: a swap has left them out."""
    for name in ("orders", "order_items", "charges", "refunds", "customers"):
        if shop.tables[name] and shop.random.random() < 0.3:
            del shop.tables[name][shop.random.choice(list(shop.tables[name]))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_unlucky_days_a_complete_build_equals_a_full_refresh(
    seed: int, tmp_path: Path, target_path: Path
) -> None:
    dbt, luck = runner(tmp_path, target_path), random.Random(seed)
    shop = RawShop(seed, date(2026, 11, 1))
    shop.open()
    shop.write(tmp_path)
    if luck.random() < 0.5:
        dbt(
            *BUILD, "--exclude", "path:models/marts", "path:models/watermark"
        )  # the very first build fails
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
            keys = [
                row[0]
                for row in connection.execute(
                    f"select distinct {key} from marts.{mart} order by 1"
                ).fetchall()
            ]
            connection.execute(
                f"delete from marts.{mart} where {key} in (select unnest(?))",
                [luck.sample(keys, 3)],
            )
        dbt(*A_DAY)

    assert_equal_to_a_full_refresh(tmp_path, dbt)


def assert_equal_to_a_full_refresh(folder: Path, dbt: Callable[..., Any]) -> None:
    day_by_day, beneath = snapshot_of_marts(folder), snapshot_of_intermediates(folder)
    dbt(*BUILD, "--full-refresh")
    at_once, beneath_at_once = snapshot_of_marts(folder), snapshot_of_intermediates(folder)
    for table in INCREMENTAL:
        assert beneath[table] == beneath_at_once[table], table
    for name in MARTS:
        assert day_by_day[name] == at_once[name], name


class Scene:
    """A small shop that has been built once."""

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder, self.dbt, self.shop = (
            folder,
            runner(folder, target),
            RawShop(7, date(2026, 11, 1)),
        )
        self.shop.open()
        self.build(*BUILD)

    def build(self, *arguments: str, succeeds: bool = True) -> Any:
        self.shop.write(self.folder)
        return self.dbt(*arguments, succeeds=succeeds)

    def next_load(self) -> None:
        self.shop.day += timedelta(days=1)
        self.shop.start_load()

    def complete(self, builds: int = 1) -> None:
        for _ in range(builds):
            self.next_load()
            self.build(*BUILD)
        assert_equal_to_a_full_refresh(self.folder, self.dbt)


@pytest.fixture
def scene(tmp_path: Path, target_path: Path) -> Scene:
    there = Scene(tmp_path, target_path)
    there.next_load()
    return there


def test_a_row_that_is_changed_and_then_marked_before_it_is_built_is_gone(scene: Scene) -> None:
    shop = scene.shop
    order, customer, item, charge = (
        shop.alive(name)[-1] for name in ("orders", "customers", "order_items", "charges")
    )
    shop.put(
        "orders",
        order_id=order["order_id"],
        total_amount=order["total_amount"] + 1,
        updated_at=shop.moment(),
    )
    shop.put(
        "customers", customer_id=customer["customer_id"], address="x", updated_at=shop.moment()
    )
    shop.put("order_items", order_item_id=item["order_item_id"], quantity=9)
    shop.put("charges", charge_id=charge["charge_id"], amount_refunded=1)
    for row in (order, customer, item, charge):
        shop.delete(row)
    scene.build(*A_DAY)
    assert_equal_to_a_full_refresh(scene.folder, scene.dbt)


@pytest.mark.parametrize("what", ["moved", "marked"])
def test_a_line_that_a_load_changes_between_two_layers_is_taken_by_the_next_build(
    scene: Scene, what: str
) -> None:
    shop = scene.shop
    line = shop.alive("order_items")[0]
    other = next(order for order in shop.alive("orders") if order["order_id"] != line["order_id"])
    shop.put("orders", order_id=other["order_id"], status="shipped", updated_at=shop.moment())
    shop.put("order_items", order_item_id=line["order_item_id"], quantity=7)
    scene.build(*BUILD, "--select", "path:models/intermediate")
    scene.next_load()
    if what == "moved":
        shop.put("order_items", order_item_id=line["order_item_id"], order_id=other["order_id"])
    else:
        shop.delete(line)
    scene.build(*MARTS_LAYER)
    scene.complete(builds=2)


def test_a_load_in_the_middle_of_a_layer_leaves_no_row_twice(scene: Scene) -> None:
    """On Snowflake nothing keeps a load from committing then."""
    shop, order = scene.shop, scene.shop.alive("orders")[0]
    line = next(item for item in shop.alive("order_items") if item["order_id"] == order["order_id"])
    shop.put("order_items", order_item_id=line["order_item_id"], quantity=7)
    keys = (
        "int_build_window",
        "int_touched_order_items",
        "int_touched_charges",
        "int_touched_orders",
    )
    scene.build(*BUILD, "--select", *keys)
    scene.next_load()
    shop.put("orders", order_id=order["order_id"], status="shipped", updated_at=shop.moment())
    layers = (
        "path:models/intermediate",
        "path:snapshots",
        "path:models/marts",
        "path:models/watermark",
    )
    scene.build(*BUILD, "--select", *layers, "--exclude", *keys)
    with marts(scene.folder) as connection:
        for table in ("intermediate.int_orders_cleaned", "marts.fct_orders"):
            assert connection.execute(
                f"select count(*) - count(distinct order_id) from {table}"
            ).fetchone() == (0,)
    scene.complete()


@pytest.mark.parametrize(("mart", "key"), BY_HAND.items())
def test_one_row_too_few_and_one_too_many_are_noticed(scene: Scene, mart: str, key: str) -> None:
    scene.build(*A_DAY)
    with marts(scene.folder) as connection:
        lost = f"{key} = (select min({key}) from marts.{mart})"
        stray = "'stray'" if mart == "fct_payments" else "-1"
        connection.execute(
            f"create temp table stray as select * replace ({stray} as {key}) from marts.{mart} "
            f"where {lost}"
        )
        if mart == "dim_customers":
            connection.execute("update stray set customer_key = 'stray'")
        connection.execute(f"delete from marts.{mart} where {lost}")
        connection.execute(f"insert into marts.{mart} from stray")
    scene.next_load()
    scene.build(*A_DAY)
    assert_equal_to_a_full_refresh(scene.folder, scene.dbt)


@pytest.mark.parametrize("name", ["orders", "order_items", "charges", "customers"])
def test_a_row_that_vanishes_while_another_comes_back_unmarked_is_noticed(
    scene: Scene, name: str
) -> None:
    """As many rows as before, and none was loaded since."""
    gone, back = scene.shop.alive(name)[:2]
    scene.shop.delete(back)
    scene.build(*A_DAY)
    scene.next_load()
    back["_deleted_at"] = None
    del scene.shop.tables[name][tuple(gone[column] for column in TABLES[name].key)]
    scene.build(*A_DAY)
    assert_equal_to_a_full_refresh(scene.folder, scene.dbt)


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("orders", "before"),
        ("orders", "since"),
        ("charges", "before"),
        ("charges", "since"),
        ("refunds", "with the first ones"),
    ],
)
def test_a_raw_row_that_is_there_twice_counts_once(scene: Scene, name: str, when: str) -> None:
    """No warehouse enforces a key. The loader does, but whoever restores a raw table may not."""
    shop, key = scene.shop, TABLES[name].key[0]
    if name == "refunds":
        for charge in shop.alive("charges")[:3]:
            shop.refund(charge)
    row = shop.alive(name)[-1]
    if when == "since":
        shop.put(name, **{key: row[key], "status": "failed"})
    shop.write(scene.folder)
    with duckdb.connect(str(scene.folder / "ecommerce_raw.duckdb")) as connection:
        insert(
            connection,
            TABLES[name],
            [{**row, "status": "pending", "_fetched_at": None, "updated_at": None}],
        )
    scene.dbt(*BUILD)
    table = {
        "orders": "marts.fct_orders",
        "charges": "marts.fct_payments",
        "refunds": "intermediate.int_refunds_matched",
    }[name]
    with marts(scene.folder) as connection:
        found = connection.execute(
            f"select count(*), count(distinct {key}) from {table}"
        ).fetchone()
    assert found == (len(shop.alive(name)),) * 2
    assert_equal_to_a_full_refresh(scene.folder, scene.dbt)


def test_a_full_refresh_mends_marts_that_hold_a_raw_row_twice(scene: Scene) -> None:
    shop, row = scene.shop, scene.shop.alive("orders")[-1]
    scene.build(*BUILD)
    with duckdb.connect(str(scene.folder / "ecommerce_raw.duckdb")) as connection:
        insert(connection, TABLES["orders"], [row])
    with marts(scene.folder) as connection:
        for table in ("intermediate.int_orders_cleaned", "marts.fct_orders"):
            connection.execute(
                f"insert into {table} select * from {table} where order_id = {row['order_id']}"
            )
    scene.dbt(*BUILD, "--full-refresh")
    with marts(scene.folder) as connection:
        assert connection.execute("select count(*) from marts.fct_orders").fetchone() == (
            len(shop.alive("orders")),
        )


@pytest.mark.parametrize("vanishes", [False, True])
def test_a_customer_who_comes_back_and_goes_again_ends_when_it_went_last(
    scene: Scene, vanishes: bool
) -> None:
    shop, customer = scene.shop, scene.shop.alive("customers")[0]
    if vanishes:
        del shop.tables["customers"][(customer["customer_id"],)]
    else:
        shop.delete(customer)
    scene.build(*A_DAY)
    scene.next_load()
    scene.next_load()
    shop.put("customers", **{name: customer[name] for name in TABLES["customers"].column_names})
    shop.delete(shop.tables["customers"][(customer["customer_id"],)])
    scene.build(*A_DAY)
    assert_equal_to_a_full_refresh(scene.folder, scene.dbt)


@pytest.mark.parametrize(
    "which",
    ["is_deleted", "not is_current and not is_deleted", "is_current and version_number > 1"],
)
def test_a_version_taken_out_of_the_dimension_by_hand_comes_back(scene: Scene, which: str) -> None:
    shop = scene.shop
    moved, gone = shop.alive("customers")[:2]
    shop.put(
        "customers",
        customer_id=moved["customer_id"],
        address="1 New Street",
        updated_at=shop.moment(),
    )
    shop.delete(gone)
    scene.build(*A_DAY)
    with marts(scene.folder) as connection:
        lost = connection.execute(
            f"delete from marts.dim_customers where {which} returning customer_key"
        ).fetchall()
    assert lost
    scene.next_load()
    scene.build(*A_DAY)
    assert_equal_to_a_full_refresh(scene.folder, scene.dbt)


@pytest.mark.parametrize("kind", ["refund", "dispute"])
def test_a_refund_or_dispute_that_changes_its_charge_leaves_the_one_before(
    scene: Scene, kind: str
) -> None:
    shop = scene.shop
    first, second = [charge for charge in shop.alive("charges") if charge["status"] == "succeeded"][
        :2
    ]
    (shop.refund if kind == "refund" else shop.dispute)(first)
    scene.build(*A_DAY)
    scene.next_load()
    row = shop.alive(f"{kind}s")[-1]
    shop.put(f"{kind}s", charge_id=second["charge_id"], **{f"{kind}_id": row[f"{kind}_id"]})
    scene.build(*A_DAY)
    assert_equal_to_a_full_refresh(scene.folder, scene.dbt)


def test_half_a_full_refresh_is_refused_until_it_is_whole(scene: Scene) -> None:
    scene.build(*BUILD, "--select", "path:models/intermediate", "--full-refresh")
    refused = scene.build(*MARTS_LAYER, succeeds=False)
    assert any(
        "run all of it again with --full-refresh" in failure for failure in failures(refused)
    )
    scene.next_load()
    refused = scene.build(*BUILD, succeeds=False)
    assert any(
        "run all of it again with --full-refresh" in failure for failure in failures(refused)
    )
    scene.build(*BUILD, "--full-refresh")
    scene.complete()


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
            for name in (
                "int_changed_orders",
                "int_changed_charges",
                "int_changed_customers",
                "int_touched_order_items",
            )
        }
    assert set(changed.values()) == {(0,)}, changed
    assert snapshot_of_marts(tmp_path) == before
