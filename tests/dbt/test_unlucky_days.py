"""Whatever is built between two days, in whatever order, the next day equals a full refresh.

A person builds a few models by hand in the middle of a day, a build ends half-way, a table is
dropped or refreshed alone: each model knows what it has seen, so none of that matters.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from tests.builders.chance import LONG, examples
from tests.builders.dbt_days import A_DAY, BUILD, assert_equal_to_a_full_refresh, snapshot_of_marts
from tests.builders.raw_shop import TABLES, RawShop, insert
from tests.builders.run_dbt import PROJECT, Dbt, runner, statuses

pytestmark = pytest.mark.slow
SELECTED = [
    *("int_orders_cleaned", "int_order_items_cleaned", "int_charges_converted"),
    *("int_refunds_cleaned", "int_disputes_cleaned", "int_customers_cleaned"),
    *("int_order_items_summed", "int_order_payments_summed", "int_refunds_matched"),
    *("int_charges_joined", "int_orders_joined", "int_customer_lifetime", "int_customer_profiles"),
    *("int_shared_emails", "customer_history", "dim_customers", "fct_orders", "fct_order_items"),
    *("fct_payments", "fct_daily_revenue", "dim_products"),
]
# customer_history cannot be built again from nothing, so nobody drops it
DROPPED = [name for name in SELECTED if name != "customer_history"]
BUILDS = st.one_of(
    st.lists(st.sampled_from(SELECTED), min_size=1, max_size=4, unique=True),
    st.sampled_from(SELECTED).map(lambda name: [f"+{name}"]),
    st.sampled_from(SELECTED).map(lambda name: [f"{name}+"]),
    st.sampled_from(SELECTED).map(lambda name: [name, "--full-refresh"]),
    st.just(["+fct_orders+"]),
    st.just(["path:models/intermediate"]),
)
BY_HAND = st.one_of(
    BUILDS.map(lambda selection: ("build", selection)),
    st.sampled_from(SELECTED).map(lambda name: ("fails at", name)),
    st.floats(0.1, 4).map(lambda seconds: ("is killed after", seconds)),
    st.sampled_from(DROPPED).map(lambda name: ("drop", name)),
)
LOADS = st.sampled_from(["day", "moves", "reload", "nothing"])
Step = tuple[str, tuple[str, Any]]
STEPS = st.lists(st.tuples(LOADS, BY_HAND), min_size=2, max_size=4)
UNLUCKY: list[Step] = [
    ("day", ("is killed after", 1.5)),
    ("moves", ("fails at", "fct_orders")),
    ("reload", ("is killed after", 3.0)),
    ("moves", ("drop", "int_charges_joined")),
]


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


def reload(shop: RawShop) -> None:
    """A full refresh of a table: all its rows come again, and what the source lacks is marked."""
    name = shop.random.choice(["orders", "order_items", "charges", "refunds", "customers"])
    for row in list(shop.tables[name].values()):
        if row["_deleted_at"] is None and shop.random.random() < 0.05:
            shop.delete(row)
        elif row["_deleted_at"] is None or shop.random.random() < 0.5:
            shop.put(name, **{column: row[column] for column in TABLES[name].column_names})


def address(folder: Path, name: str) -> str:
    with duckdb.connect(str(folder / "ecommerce_analytics.duckdb")) as connection:
        found = connection.execute(
            "select schema_name from duckdb_tables() where table_name = ?", [name]
        ).fetchall()
    return f"{found[0][0]}.{name}" if found else ""


def drop(folder: Path, name: str) -> None:
    if table := address(folder, name):
        with duckdb.connect(str(folder / "ecommerce_analytics.duckdb")) as connection:
            connection.execute(f"drop table {table}")


def build_that_fails_at(folder: Path, dbt: Dbt, name: str) -> None:
    """A day whose build cannot read or write one table, which is put right afterwards."""
    table = address(folder, name)
    if not table:
        return
    with duckdb.connect(str(folder / "ecommerce_analytics.duckdb")) as connection:
        column = (connection.execute(f"select * from {table}").description or [])[-1][0]
        connection.execute(f"alter table {table} rename column {column} to lost")
    dbt(*A_DAY, succeeds=False)
    with duckdb.connect(str(folder / "ecommerce_analytics.duckdb")) as connection:
        columns = [one[0] for one in connection.execute(f"select * from {table}").description or ()]
        if "lost" in columns:  # else the table was built anew
            connection.execute(f"alter table {table} rename column lost to {column}")


def build_that_is_killed(dbt: Dbt, seconds: float) -> None:
    """A day's build in a process of its own, ended by SIGKILL."""
    child = os.fork()
    if not child:
        try:
            dbt(*A_DAY, succeeds=False)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.timeout(examples(900, 7_200))
@settings(
    max_examples=examples(3, 40),
    deadline=None,
    derandomize=not LONG,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(seed=st.integers(0, 10_000), steps=STEPS)
@example(seed=1, steps=UNLUCKY)
def test_any_selection_in_any_order_is_harmless(
    seed: int, steps: list[Step], tmp_path_factory: Any, target_path: Path
) -> None:
    folder, shop = tmp_path_factory.mktemp("shop"), RawShop(seed, date(2026, 11, 1))
    dbt = runner(folder, target_path)
    shop.open()
    shop.write(folder)
    dbt(*BUILD)
    for load, (action, what) in steps:
        if load == "day":
            shop.next_day()
        elif load == "moves":
            moves(shop)
        elif load == "reload":
            reload(shop)
        shop.write(folder)
        if action == "build":
            dbt(*BUILD, "--select", *what)
        elif action == "drop":
            drop(folder, what)
        elif action == "fails at":
            build_that_fails_at(folder, dbt, what)
        else:
            build_that_is_killed(dbt, what)
    shop.next_day()
    moves(shop)
    shop.write(folder)
    dbt(*A_DAY)

    assert_equal_to_a_full_refresh(folder, dbt)


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
    with duckdb.connect(str(scene.folder / "ecommerce_analytics.duckdb")) as connection:
        found = connection.execute(
            f"select count(*), count(distinct {key}) from {table}"
        ).fetchone()
    assert found == (len(shop.alive(name)),) * 2
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


def test_a_load_between_two_layers_is_taken_by_the_next_build(scene: Scene) -> None:
    shop, line = scene.shop, scene.shop.alive("order_items")[0]
    other = next(order for order in shop.alive("orders") if order["order_id"] != line["order_id"])
    shop.put("order_items", order_item_id=line["order_item_id"], quantity=7)
    scene.build(*BUILD, "--select", "path:models/intermediate")
    shop.put("order_items", order_item_id=line["order_item_id"], order_id=other["order_id"])
    scene.build(*BUILD, "--select", "path:snapshots", "path:models/marts")
    scene.complete()


def test_a_build_that_fails_half_way_loses_nothing(scene: Scene) -> None:
    shop, order = scene.shop, scene.shop.alive("orders")[0]
    shop.put("orders", order_id=order["order_id"], status="Cancelled", updated_at=shop.moment())
    shop.write(scene.folder)
    with duckdb.connect(str(scene.folder / "ecommerce_analytics.duckdb")) as connection:
        connection.execute("alter table marts.dim_customers rename column tier to lost")
    failed = statuses(scene.dbt(*A_DAY, succeeds=False))
    assert failed["dim_customers"] == "error" and failed["fct_orders"] == "skipped"
    with duckdb.connect(str(scene.folder / "ecommerce_analytics.duckdb")) as connection:
        connection.execute("alter table marts.dim_customers rename column lost to tier")
    scene.complete()


def test_a_mart_changed_by_hand_is_found_and_mended_by_a_full_refresh(scene: Scene) -> None:
    """It leaves no load time, so the next day's build does not know of it."""
    with duckdb.connect(str(scene.folder / "ecommerce_analytics.duckdb")) as connection:
        connection.execute("update marts.fct_orders set total_amount = 1 where order_id = 2")
    scene.build(*A_DAY)
    found = statuses(scene.dbt("test", "--select", "fct_orders", succeeds=False))
    assert found["no_order_lost_between_raw_and_mart"] == "fail"
    scene.dbt(*BUILD, "--full-refresh")
    scene.dbt("test", "--select", "fct_orders")
    scene.complete()


def test_a_placeholder_address_makes_nobody_one_person(scene: Scene) -> None:
    for customer in scene.shop.alive("customers")[:12]:
        scene.shop.put("customers", customer_id=customer["customer_id"], email="none@example.com")
    for customer in scene.shop.alive("customers")[12:14]:
        scene.shop.put("customers", customer_id=customer["customer_id"], email="two@example.com")
    scene.build(*A_DAY)
    persons = {
        row["customer_id"]: row["primary_customer_id"]
        for row in snapshot_of_marts(scene.folder)["dim_customers"]
    }
    assert [persons[number] for number in range(1, 15)] == [*range(1, 13), 13, 13]
    scene.complete()


def test_an_order_of_the_future_is_flagged_and_ends_no_daily_mart(scene: Scene) -> None:
    order = scene.shop.alive("orders")[0]
    scene.shop.put(
        "orders", order_id=order["order_id"], order_date=order["order_date"].replace(2044)
    )
    scene.build(*A_DAY)
    marts = snapshot_of_marts(scene.folder)
    assert [row["order_id"] for row in marts["fct_orders"] if row["is_future_dated"]] == [
        order["order_id"]
    ]
    assert marts["fct_daily_revenue"][-1]["order_date"] == scene.shop.day
    assert scene.dbt("test", "--select", "fct_daily_revenue").success


def test_a_changed_rule_reaches_old_rows_by_a_plain_build(scene: Scene) -> None:
    rule = ("--vars", "{tier_silver_from: -1000000}")
    scene.build(*BUILD, "--select", "int_customer_profiles+", *rule)
    with duckdb.connect(str(scene.folder / "ecommerce_analytics.duckdb")) as connection:
        for table in ("intermediate.int_customer_profiles", "marts.dim_customers where is_current"):
            tiers = connection.execute(f"select distinct tier from {table}").fetchall()
            assert ("bronze",) not in tiers, table
    scene.complete()


def test_a_changed_file_reaches_old_rows_by_a_plain_build(scene: Scene, tmp_path: Path) -> None:
    """A formula, a macro and a seed, each by the command a person would type."""
    changes = [
        (
            "models/marts/fct_orders.sql",
            "orders.item_count,",
            "-orders.item_count as item_count,",
            "fct_orders+",
        ),
        ("macros/customer_tier.sql", "'bronze'", "'tin'", "+dim_customers"),
        ("seeds/order_statuses.csv", "shipped,shipped", "shipped,sent", "order_statuses+"),
    ]
    copy = tmp_path / "project"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns("target", "logs"))
    for file, before, after, selection in changes:
        text = (copy / file).read_text()
        assert before in text
        (copy / file).write_text(text.replace(before, after))
        runner(scene.folder, tmp_path / "target", copy)(*BUILD, "--select", selection)
    marts = snapshot_of_marts(scene.folder)
    assert max(row["item_count"] for row in marts["fct_orders"]) <= 0
    assert {row["tier"] for row in marts["dim_customers"] if row["is_current"]} > {"tin"}
    assert "bronze" not in {row["tier"] for row in marts["dim_customers"] if row["is_current"]}
    assert {row["status"] for row in marts["fct_orders"]} > {"sent"}
    assert "shipped" not in {row["status"] for row in marts["fct_orders"]}


def test_a_parent_that_was_built_whole_alone_is_followed(scene: Scene) -> None:
    """What a line left behind is forgotten with the table: whoever reads it is built whole too."""
    shop, line = scene.shop, scene.shop.alive("order_items")[0]
    other = next(order for order in shop.alive("orders") if order["order_id"] != line["order_id"])
    shop.put("order_items", order_item_id=line["order_item_id"], order_id=other["order_id"])
    scene.build(*BUILD, "--select", "int_order_items_cleaned", "--full-refresh")
    scene.complete()
