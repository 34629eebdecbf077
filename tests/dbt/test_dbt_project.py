"""What holds for the project as a whole: names, descriptions, contracts, keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import GenericTestNode, ModelNode

from tests.builders.run_dbt import parse

MARTS = {
    "dim_customers", "dim_products", "dim_dates", "fct_orders", "fct_order_items", "fct_payments",
    "fct_daily_revenue",
    "fct_marketing_performance",
}  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, target_path: Path) -> Manifest:
    return parse(tmp_path_factory.mktemp("warehouse"), target_path)


@pytest.fixture(scope="module")
def models(manifest: Manifest) -> dict[str, ModelNode]:
    return {node.name: node for node in manifest.nodes.values() if isinstance(node, ModelNode)}


def test_layers_live_where_the_warehouse_has_them(models: dict[str, ModelNode]) -> None:
    places = {(node.fqn[1], node.database, node.schema) for node in models.values()}
    assert places == {
        ("staging", "ecommerce_staging", "staging"),
        ("intermediate", "ecommerce_analytics", "intermediate"),
        ("marts", "ecommerce_analytics", "marts"),
    }


def test_the_star_is_complete(models: dict[str, ModelNode]) -> None:
    assert {name for name, node in models.items() if node.fqn[1] == "marts"} == MARTS


def test_every_mart_has_an_enforced_contract_with_types(models: dict[str, ModelNode]) -> None:
    for name in MARTS:
        assert models[name].contract.enforced, name
        assert all(column.data_type for column in models[name].columns.values()), name


def test_every_model_column_and_seed_is_described(
    manifest: Manifest, models: dict[str, ModelNode]
) -> None:
    nodes = [
        *models.values(),
        *(node for node in manifest.nodes.values() if node.resource_type in ("seed", "snapshot")),
    ]
    silent = [
        f"{node.name}.{column.name}"
        for node in nodes
        for column in node.columns.values()
        if not column.description
    ]
    assert silent == []
    assert [node.name for node in nodes if not node.description or not node.columns] == []


def test_every_mart_has_its_grain_tested(manifest: Manifest, models: dict[str, ModelNode]) -> None:
    generic = [node for node in manifest.nodes.values() if isinstance(node, GenericTestNode)]
    tested = {
        node.attached_node
        for node in generic
        if node.test_metadata.name in ("unique", "unique_combination")
    }
    assert [name for name in MARTS if models[name].unique_id not in tested] == []


def test_no_key_is_tested_twice(manifest: Manifest) -> None:
    generic = [node for node in manifest.nodes.values() if isinstance(node, GenericTestNode)]
    keys = [
        (node.column_name, manifest.nodes[node.attached_node or ""].name.split("_")[0] == "dim")
        for node in generic
        if node.test_metadata.name == "unique"
    ]
    assert sorted(keys) == sorted(set(keys))


def test_layers_only_look_down(models: dict[str, ModelNode]) -> None:
    rank = {"staging": 0, "intermediate": 1, "marts": 2}
    for node in models.values():
        parents = [
            models[unique_id.split(".")[-1]]
            for unique_id in node.depends_on.nodes
            if unique_id.startswith("model.")
        ]
        assert all(rank[parent.fqn[1]] <= rank[node.fqn[1]] for parent in parents), node.name


def test_broken_invariants_stop_the_day_and_messy_facts_only_warn(manifest: Manifest) -> None:
    tests = {node.name: node for node in manifest.nodes.values() if node.resource_type == "test"}
    stops = {name for name, node in tests.items() if node.config.severity.lower() == "error"}
    warns = {name for name, node in tests.items() if node.config.severity.lower() == "warn"}
    assert {
        "no_order_lost_between_raw_and_mart", "order_items_equal_their_orders",
        "daily_revenue_equals_orders",
        "customer_versions_follow_each_other", "unique_fct_orders_order_id",
    } <= stops  # fmt: skip
    assert {
        "products_with_a_negative_cost", "customers_with_a_shared_email", "orphan_charges",
        "unpaid_orders",
        "orders_of_an_undocumented_status",
    } <= warns  # fmt: skip
    assert all(node.config.store_failures for node in tests.values())
