"""How the project's models are written on DuckDB: in place, by name, and all of a model or nothing."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.settings import PROJECT
from transform.dbt_runner import run
from transform.project import project

if TYPE_CHECKING:
    from tests.builders.tiny_project import Shop

DAY = date(2026, 11, 22)
FACTS = "ecommerce_analytics.marts.fct_orders"


@pytest.fixture
def own(shop: Shop) -> Shop:
    """The tiny project, with the real one's materializations."""
    shop.write(
        "macros/materializations.sql",
        (PROJECT / "dbt_ecommerce/macros/duckdb/materializations.sql").read_text(),
    )
    return shop


def build(shop: Shop, *options: str) -> dict[str, Any]:
    """Messages of the models that failed, by name."""
    outcome = run(
        project(**shop.settings()),
        ["build", "--resource-type", "seed", "--resource-type", "model", *options],
        DAY,
    )
    return {
        result.node.name: result.message for result in outcome.results if result.status == "error"
    }


def facts(shop: Shop, columns: str = "order_id, amount") -> list[tuple[object, ...]]:
    return [
        (row[0], *map(str, row[1:]))
        for row in shop.query(f"select {columns} from {FACTS} order by 1, 2")
    ]


def incremental(strategy: str, select: str, **options: str) -> str:
    config = ", ".join(
        f'{name}="{value}"' for name, value in {"on_schema_change": "fail", **options}.items()
    )
    return f"{{{{ config(materialized='incremental', incremental_strategy='{strategy}', {config}) }}}}\n{select}"


def test_a_table_can_be_made_of_its_own_rows(own: Shop) -> None:
    own.write(
        "models/marts/helper.sql",
        """{% set known = adapter.get_relation(this.database, this.schema, this.identifier) %}
           select 1 as number {% if known %} union all select number + 1 from {{ this }} {% endif %}""",
    )
    for _ in range(3):
        assert build(own) == {}
    assert own.query("select number from ecommerce_analytics.marts.helper order by 1") == [
        (1,),
        (2,),
        (3,),
    ]


@pytest.mark.parametrize(
    ("before", "after"), [("view", "table"), ("table", "view"), ("view", "incremental")]
)
def test_a_model_that_becomes_another_kind_replaces_what_is_there(
    own: Shop, before: str, after: str
) -> None:
    for kind in (before, after):
        own.write(
            "models/marts/fct_orders.sql",
            f"{{{{ config(materialized='{kind}', incremental_strategy='append') }}}} select * from "
            f"{{{{ ref('int_orders') }}}}",
        )
        assert build(own) == {}
    assert [row[0] for row in facts(own)] == [1, 2, 3]
    kinds = own.query(
        "select table_type from information_schema.tables where table_name = 'fct_orders'"
    )
    assert kinds == [("VIEW" if after == "view" else "BASE TABLE",)]


def test_rows_of_the_same_key_are_replaced_and_columns_go_by_their_names(own: Shop) -> None:
    model = "models/marts/fct_orders.sql"
    select = "select {} from {{{{ ref('int_orders') }}}} {{% if is_incremental() %}} where order_id in (2, 4) {{% endif %}}"
    own.write(
        model,
        incremental(
            "delete+insert", select.format("order_id, status, amount"), unique_key="order_id"
        ),
    )
    assert build(own) == {}
    own.raw("update postgres.raw_orders set amount = 7 where order_id in (1, 2)")
    own.load("L2", DAY, "(4, 'open', 1.25)", datetime(2026, 11, 22, 7, 0))
    own.write(
        model,
        incremental(
            "delete+insert", select.format("amount, order_id, status"), unique_key="order_id"
        ),
    )
    assert build(own) == {}
    assert facts(own) == [(1, "10.00"), (2, "7.00"), (3, "4.50"), (4, "1.25")]


@pytest.mark.parametrize("strategy", ["append", "delete+insert"])
def test_a_new_column_is_refused_by_name_until_the_table_is_built_whole(
    own: Shop, strategy: str
) -> None:
    model = "models/marts/fct_orders.sql"
    own.write(
        model,
        incremental(
            strategy, "select order_id, amount from {{ ref('int_orders') }}", unique_key="order_id"
        ),
    )
    assert build(own) == {}
    own.write(
        model,
        incremental(
            strategy,
            "select order_id, amount, status from {{ ref('int_orders') }}",
            unique_key="order_id",
        ),
    )
    assert "status" in build(own)["fct_orders"]
    assert facts(own) == [(1, "10.00"), (2, "5.50"), (3, "4.50")]
    assert build(own, "--full-refresh") == {}
    assert facts(own, "order_id, status") == [(1, "paid"), (2, "open"), (3, "paid")]


@pytest.mark.parametrize("strategy", ["append", "delete+insert"])
def test_what_a_hook_deleted_comes_back_when_the_model_fails(own: Shop, strategy: str) -> None:
    model = "models/marts/fct_orders.sql"
    hook = "{{ 'delete from ' ~ this if is_incremental() }}"
    good = "select order_id, amount from {{ ref('int_orders') }}"
    own.write(model, incremental(strategy, good, pre_hook=hook, unique_key="order_id"))
    assert build(own) == {}
    bad = good.replace(
        "amount",
        "case when order_id = 3 then cast(status as decimal(12, 2)) else amount end as amount",
    )
    own.write(model, incremental(strategy, bad, pre_hook=hook, unique_key="order_id"))
    assert "paid" in build(own)["fct_orders"]
    assert facts(own) == [(1, "10.00"), (2, "5.50"), (3, "4.50")]


def test_a_contract_is_kept_by_tables_and_by_what_is_added_to_them(own: Shop) -> None:
    own.write(
        "models/marts/marts.yml",
        """
models:
  - name: fct_orders
    config: {contract: {enforced: true}}
    columns: [{name: order_id, data_type: integer}, {name: amount, data_type: "decimal(12, 2)"}]
""",
    )
    model = "models/marts/fct_orders.sql"
    own.write(model, incremental("append", "select order_id, amount from {{ ref('int_orders') }}"))
    assert build(own) == {}
    own.write(
        model,
        incremental(
            "append",
            "select order_id, cast(amount as varchar) as amount from {{ ref('int_orders') }}",
        ),
    )
    assert "contract" in build(own)["fct_orders"]
    assert "contract" in build(own, "--full-refresh")["fct_orders"]
    assert facts(own) == [(1, "10.00"), (2, "5.50"), (3, "4.50")]


def test_another_strategy_is_refused_with_a_sentence(own: Shop) -> None:
    own.write("models/marts/fct_orders.sql", incremental("merge", "select 1 as order_id"))
    assert (
        "On DuckDB an incremental model appends, or deletes and inserts."
        in build(own)["fct_orders"]
    )


@pytest.mark.parametrize("level", ["info", "debug"])
def test_dbt_s_statements_are_in_its_log_only_when_asked_for(
    own: Shop, level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_LOG_LEVEL_FILE", level)
    assert build(own) == {}
    said = (own.dbt.logs / "dbt.log").read_text()
    assert "OK created sql table model marts.fct_orders" in said
    assert ("create or replace table" in said) == (level == "debug")
