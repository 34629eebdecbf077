"""A place of one's own to try dbt in: a copy, so that nothing done there reaches the pipeline."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, get_args

import duckdb
import pytest
from dbt.cli.main import dbtRunner

import transform
from pipeline.errors import MissingInputError, WarehouseUnavailableError
from pipeline.settings import PROJECT
from transform.dev import prepare
from transform.project import project
from transform.results import Layer
from warehouse.duckdb.lock import warehouse_lock

if TYPE_CHECKING:
    from tests.builders.tiny_project import Shop

DAY = date(2026, 11, 22)


@pytest.fixture
def built(shop: Shop) -> Shop:
    for layer in get_args(Layer):
        transform.run_layer(layer, DAY, **shop.settings())
    return shop


def in_dev(shop: Shop, database: str, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(shop.warehouse.duckdb_dir / "dev" / f"{database}.duckdb")) as own:
        return own.execute(sql).fetchall()


def test_it_begins_as_a_copy_and_takes_in_new_loads_but_keeps_what_was_built(built: Shop) -> None:
    here = project(**built.settings())
    prepare(here)
    in_dev(built, "ecommerce_analytics", "update marts.fct_totals set orders = 99")
    count = "select count(*) from postgres.raw_orders"
    assert in_dev(built, "ecommerce_raw", count) == [(3,)]

    built.load("L2", DAY, "(4, 'paid', 1.00)", datetime(2026, 11, 22, 7, 0))
    prepare(here)
    assert in_dev(built, "ecommerce_raw", count) == [(4,)]
    totals = "select orders from marts.fct_totals"
    assert in_dev(built, "ecommerce_analytics", totals) == [(99,)]
    assert built.query("select orders from ecommerce_analytics.marts.fct_totals") == [(3,)]

    prepare(here, fresh=True)
    assert in_dev(built, "ecommerce_analytics", totals) == [(3,)]


def test_the_pipeline_writes_while_somebody_works_there(built: Shop) -> None:
    prepare(project(**built.settings()))
    own = built.warehouse.duckdb_dir / "dev" / "ecommerce_raw.duckdb"
    with duckdb.connect(str(own), read_only=True):
        built.load("L2", DAY, "(4, 'paid', 1.00)", datetime(2026, 11, 22, 7, 0))
        transform.run_layer("staging", DAY, **built.settings())


def test_a_copy_waits_for_a_load_and_is_not_made_without_need(built: Shop) -> None:
    quick = built.warehouse.model_copy(update={"lock_timeout_seconds": 0.1})
    here = replace(project(**built.settings()), warehouse=quick)
    with warehouse_lock(quick), pytest.raises(WarehouseUnavailableError):
        prepare(here)
    prepare(here)
    with warehouse_lock(quick):
        prepare(here)


def test_without_a_day_of_the_pipeline_it_says_what_to_do(shop: Shop) -> None:
    with pytest.raises(MissingInputError, match="make demo"):
        prepare(project(**shop.settings()))


def test_on_snowflake_every_relation_has_a_schema_of_one_s_own(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "jane.doe")
    snowflake = shop.warehouse.model_copy(update={"kind": "snowflake"})
    dbt = shop.dbt.model_copy(update={"project_dir": PROJECT / "dbt_ecommerce"})
    dbt = dbt.model_copy(update={"target_path": shop.dbt.target, "log_path": shop.dbt.logs})
    here = replace(project(**shop.settings()), dbt=dbt, warehouse=snowflake)
    for name in ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_PASSWORD"):
        monkeypatch.setenv(name, "none")
    for name, value in prepare(here).items():
        monkeypatch.setenv(name, value)
    parsed = dbtRunner().invoke(["--log-level", "none", "parse", "--no-write-json"])
    assert parsed.success, parsed.exception
    nodes: Any = parsed.result
    schemas = {node.schema for node in nodes.nodes.values() if node.resource_type != "unit_test"}
    assert all(name.startswith("DEV_JANE_DOE_") for name in schemas), schemas
    assert {"DEV_JANE_DOE_STAGING", "DEV_JANE_DOE_MARTS"} <= schemas
    assert {source.schema for source in nodes.sources.values()} >= {"postgres", "stripe"}
