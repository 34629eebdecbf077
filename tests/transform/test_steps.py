"""What a layer, the tests and the freshness check give back, and what they say when they fail."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, get_args

import duckdb
import pytest

import transform
from alerting.errors_text import facts_of
from pipeline.days import current_day
from pipeline.errors import PassingError, PermanentError, WarehouseUnavailableError
from transform.dbt_runner import run
from transform.errors import ModelDefinitionError
from transform.project import project
from transform.results import Layer

if TYPE_CHECKING:
    from tests.builders.tiny_project import Shop

DAY = date(2026, 11, 22)


def build(shop: Shop, *layers: Layer) -> list[transform.LayerResult]:
    return [
        transform.run_layer(layer, DAY, **shop.settings()) for layer in layers or get_args(Layer)
    ]


def test_each_layer_reports_its_models_with_rows_and_seconds(shop: Shop) -> None:
    staging, intermediate, marts = build(shop)
    assert {model.name: model.rows for model in staging.models} == {"labels": 2, "stg_orders": 3}
    assert {model.name: model.kind for model in staging.models} == {
        "labels": "seed",
        "stg_orders": "model",
    }
    assert [model.name for model in intermediate.models] == ["int_orders"]
    assert {model.name: model.rows for model in marts.models} == {
        "fct_orders": 3, "fct_totals": 1, "helper": 1, "orders_history": 3,
    }  # fmt: skip
    assert all(
        model.status == "success" and model.seconds > 0
        for layer in (staging, intermediate, marts)
        for model in layer.models
    )


INCREMENTAL = """
{{ config(materialized='incremental') }}
select * from {{ ref('int_orders') }}
{% if is_incremental() %} where order_id > (select max(order_id) from {{ this }}) {% endif %}
"""


def orders(shop: Shop) -> list[tuple[object, ...]]:
    return shop.query(
        "select order_id, label from ecommerce_analytics.marts.fct_orders order by order_id"
    )


def test_a_full_refresh_builds_incremental_models_whole(shop: Shop) -> None:
    shop.write("models/marts/fct_orders.sql", INCREMENTAL)
    build(shop)
    shop.raw("delete from postgres.raw_orders where order_id = 1")
    build(shop)
    assert len(orders(shop)) == 3
    transform.run_layer("marts", DAY, full_refresh=True, **shop.settings())
    assert len(orders(shop)) == 2


def test_marts_never_follow_intermediate_models_of_other_rules(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """A rule that is changed between the layers, by a deployment in the middle of a day."""
    build(shop, "staging", "intermediate")
    model = shop.dbt.project_dir / "models" / "intermediate" / "int_orders.sql"
    model.write_text(model.read_text().replace("select", "select 'R2' as rule, ", 1))
    with caplog.at_level(logging.WARNING):
        build(shop, "marts")
    assert "all layers are built again" in caplog.text
    rules = "select distinct rule from ecommerce_analytics.marts.fct_orders"
    assert shop.query(rules) == [("R2",)]
    caplog.clear()
    build(shop)
    assert "built again" not in caplog.text


def test_results_are_plain_json(shop: Shop) -> None:
    as_json = json.loads(json.dumps(build(shop)[0].as_dict()))
    assert as_json["layer"] == "staging"
    assert as_json["day"] == "2026-11-22"
    tests = json.loads(json.dumps(transform.test_all(DAY, **shop.settings()).as_dict()))
    assert (tests["passed"], tests["total"], tests["tests"]) == (4, 4, [])


def test_other_processes_can_write_between_two_steps(shop: Shop) -> None:
    """dbt must not keep the files open: DuckDB has one writer at a time."""
    build(shop)
    shop.load("L2", DAY, "(4, 'paid', 1.00)", datetime(2026, 11, 22, 7, 0))
    assert {model.rows for model in build(shop)[1].models} == {4}


def test_a_broken_sql_is_permanent_and_names_model_and_file(shop: Shop) -> None:
    shop.write(
        "models/intermediate/int_orders.sql", "select no_such_column from {{ ref('stg_orders') }}"
    )
    transform.run_layer("staging", DAY, **shop.settings())
    with pytest.raises(ModelDefinitionError) as failure:
        transform.run_layer("intermediate", DAY, **shop.settings())
    assert isinstance(failure.value, PermanentError)
    (model,) = failure.value.failures
    assert model.node == "int_orders"
    assert "no_such_column" in model.message
    assert model.sql is not None
    assert "no_such_column" in (shop.dbt.target / model.sql).read_text()


def test_data_that_breaks_a_model_is_worth_a_retry(shop: Shop) -> None:
    shop.write(
        "models/intermediate/int_orders.sql",
        "select *, null as label, cast(status as integer) as number from {{ ref('stg_orders') }}",
    )
    transform.run_layer("staging", DAY, **shop.settings())
    with pytest.raises(transform.ModelError) as failure:
        transform.run_layer("intermediate", DAY, **shop.settings())
    assert isinstance(failure.value, PassingError)
    assert "1 of intermediate's models failed for 2026-11-22" in str(failure.value)


def test_a_project_that_cannot_be_parsed_is_permanent(shop: Shop) -> None:
    shop.write("models/marts/fct_lost.sql", "select * from {{ ref('nowhere') }}")
    with pytest.raises(transform.ProjectError, match="nowhere") as failure:
        transform.run_layer("marts", DAY, **shop.settings())
    assert isinstance(failure.value, PermanentError)


def test_a_failing_data_test_names_its_rows(shop: Shop) -> None:
    shop.load("L2", DAY, "(1, 'paid', -1.00), (7, 'open', -2.00)", datetime(2026, 11, 22, 7, 0))
    build(shop)
    with pytest.raises(transform.DataTestError) as failure:
        transform.test_all(DAY, **shop.settings())
    failures = {failed.node: failed for failed in failure.value.failures}
    assert set(failures) == {"no_negative_orders", "unique_fct_orders_order_id"}
    assert failures["no_negative_orders"].failing_rows == 2
    assert {key["order_id"] for key in failures["no_negative_orders"].keys} == {"1", "7"}
    assert failures["unique_fct_orders_order_id"].keys == ({"unique_field": "1"},)
    assert "2 of 4 tests of 2026-11-22 failed" in str(failure.value)
    assert "`python -m transform all --full-refresh --day 2026-11-22`" in str(failure.value)
    assert "order_id=7" in str(failure.value)


def test_a_failing_test_of_severity_warn_fails_nothing(shop: Shop) -> None:
    shop.load("L2", DAY, "(4, 'unheard of', 1.00)", datetime(2026, 11, 22, 7, 0))
    build(shop)
    result = transform.test_all(DAY, **shop.settings())
    assert (result.passed, result.warned) == (3, 1)
    assert [test.failing_rows for test in result.with_status("warn")] == [1]


def with_a_switch(shop: Shop, text: str) -> None:
    """fct_totals fails while the switch, which is neither project nor raw data, holds no number."""
    with duckdb.connect(
        str(shop.warehouse.duckdb_dir / "ecommerce_analytics.duckdb")
    ) as connection:
        connection.execute(f"create or replace table main.switch as select '{text}' as value")
    model = (
        "select cast(value as integer) as total "
        "from {{ ref('fct_orders') }}, ecommerce_analytics.main.switch"
    )
    if (shop.dbt.project_dir / "models/marts/fct_totals.sql").read_text() != model:
        shop.write("models/marts/fct_totals.sql", model)


def test_a_retry_builds_only_what_failed(shop: Shop) -> None:
    with_a_switch(shop, "off")
    build(shop, "staging", "intermediate")
    with pytest.raises(transform.ModelError, match="fct_totals"):
        build(shop, "marts")
    with_a_switch(shop, "1")
    (marts,) = build(shop, "marts")
    assert {model.name for model in marts.models if not model.kept} == {"fct_totals"}
    assert {model.name for model in marts.models if model.kept} == {
        "fct_orders",
        "helper",
        "orders_history",
    }
    assert not any(model.kept for model in build(shop, "marts")[0].models)


@pytest.mark.parametrize("change", ["a load", "the project", "another step"])
def test_a_retry_builds_everything_when_something_has_changed(shop: Shop, change: str) -> None:
    with_a_switch(shop, "off")
    build(shop, "staging", "intermediate")
    with pytest.raises(transform.ModelError):
        build(shop, "marts")
    with_a_switch(shop, "1")
    if change == "a load":
        shop.load("L2", DAY, "(4, 'paid', 1.00)", datetime(2026, 11, 22, 7, 0))
    elif change == "the project":
        shop.write("models/marts/helper.sql", "select 2 as two")
    else:
        build(shop, "intermediate")
    assert not any(model.kept for model in build(shop, "marts")[0].models)


def test_a_retry_of_the_tests_runs_only_those_that_failed_and_counts_all(shop: Shop) -> None:
    shop.load("L2", DAY, "(7, 'open', -2.00)", datetime(2026, 11, 22, 7, 0))
    build(shop)
    for _ in range(2):
        with pytest.raises(transform.DataTestError, match="1 of 4 tests"):
            transform.test_all(DAY, **shop.settings())
    with duckdb.connect(
        str(shop.warehouse.duckdb_dir / "ecommerce_analytics.duckdb")
    ) as connection:
        connection.execute("delete from marts.fct_orders where amount < 0")
    result = transform.test_all(DAY, **shop.settings())
    assert (result.passed, len(result.tests)) == (4, 4)
    assert [test.name for test in result.tests if not test.kept] == ["no_negative_orders"]


def test_a_working_file_that_somebody_has_open_is_worth_a_retry(shop: Shop) -> None:
    build(shop, "staging", "intermediate")
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1]); "
        "print('open', flush=True); sys.stdin.read()"
    )
    file = shop.warehouse.duckdb_dir / "ecommerce_analytics.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", program, file],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        with pytest.raises(WarehouseUnavailableError, match=f"PID {other.pid}"):
            build(shop, "marts")
        other.communicate(timeout=10)
    assert build(shop, "marts")[0].rows == 8


def test_freshness_fails_only_for_the_current_day(shop: Shop) -> None:
    result = transform.source_freshness(DAY - timedelta(days=3), **shop.settings())
    assert [source.name for source in result.sources] == ["postgres.raw_orders"]
    now = datetime.now(UTC).replace(tzinfo=None)
    shop.raw(f"update postgres.raw_orders set _loaded_at = timestamp '{now - timedelta(hours=30)}'")
    assert (
        transform.source_freshness(current_day() - timedelta(days=1), **shop.settings())
        .sources[0]
        .status
        == "error"
    )
    with pytest.raises(
        transform.StaleSourceError, match=r"postgres\.raw_orders: loaded 30\.0 h ago"
    ):
        transform.source_freshness(current_day(), **shop.settings())
    shop.raw(f"update postgres.raw_orders set _loaded_at = timestamp '{now - timedelta(hours=13)}'")
    assert transform.source_freshness(current_day(), **shop.settings()).sources[0].status == "warn"


def test_each_line_of_dbt_is_logged_once_and_nothing_is_printed(
    shop: Shop, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        transform.run_layer("staging", DAY, **shop.settings())
    lines = [
        record.getMessage()
        for record in caplog.records
        if "OK created sql view model" in record.getMessage()
    ]
    assert len(lines) == 1
    assert capsys.readouterr().out == ""


def test_each_task_shows_its_models_with_rows_and_seconds_in_its_log(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="transform.steps"):
        build(shop, "staging", "intermediate")
    lines = [record.getMessage() for record in caplog.records if record.name == "transform.steps"]
    assert [re.sub(r"\d+\.\d\d s", "N s", line) for line in sorted(lines)] == [
        "model int_orders: success, 3 rows, N s",
        "model stg_orders: success, 3 rows, N s",
        "seed labels: success, 2 rows, N s",
    ]


@pytest.mark.parametrize("threads", [1, 3])
def test_dbt_has_as_many_threads_as_the_settings_say(shop: Shop, threads: int) -> None:
    for number in range(4):
        shop.write(
            f"models/staging/stg_{number}.sql",
            "select order_id from {{ source('postgres', 'raw_orders') }}",
        )
    dbt = shop.dbt.model_copy(update={"threads": threads})
    results = run(project(dbt, shop.warehouse), ["run", "--select", "path:models/staging"]).results
    assert len({result.thread_id for result in results}) <= threads
    assert len(results) == 5
    shop.write(
        "models/staging/stg_0.sql",
        "select {{ target.threads }} as threads, {{ invocation_args_dict.threads }} as given",
    )
    transform.run_layer("staging", DAY, dbt=dbt, warehouse=shop.warehouse)
    assert shop.query("select threads, given from ecommerce_staging.staging.stg_0") == [
        (threads, threads)
    ]


def test_failing_rows_are_named_in_the_alert_and_stay_in_a_table_until_the_test_passes(
    shop: Shop,
) -> None:
    shop.load("L2", DAY, "(7, 'open', -2.00)", datetime(2026, 11, 22, 7, 0))
    build(shop)
    with pytest.raises(transform.DataTestError) as failure:
        transform.test_all(DAY, **shop.settings())
    assert facts_of(failure.value) == [("Failed", "• no_negative_orders (1 row): order_id=7")]
    assert shop.query(
        "select order_id, amount, note from ecommerce_analytics.test_failures.no_negative_orders"
    ) == [(7, -2, "x")]
    shop.raw("delete from postgres.raw_orders where order_id = 7")
    build(shop)
    transform.test_all(DAY, **shop.settings())
    assert shop.query(
        "select count(*) from ecommerce_analytics.test_failures.no_negative_orders"
    ) == [(0,)]
