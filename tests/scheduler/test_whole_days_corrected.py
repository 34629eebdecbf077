"""A correction has a day's marts built once more and changes exactly that day's numbers."""

from __future__ import annotations

import pytest

from pipeline.sources import source
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "whole"
ORDERS = source("orders").dag_id
WITHOUT_ORDERS = tuple(name for name in ALL_SOURCES if name != "orders")


def test_a_source_can_be_run_again_alone_before_and_after_its_day_is_complete(
    pipeline: Pipeline,
) -> None:
    day = days_ago(10)
    pipeline.load(day, "orders")
    pipeline.load(day, "orders")
    pipeline.await_rest()
    assert pipeline.dbt_runs(day) == []
    pipeline.load(day, *WITHOUT_ORDERS)
    pipeline.await_dbt(day)
    pipeline.assert_dbt_ran(1, [day])

    # A correction: dbt exactly once more, and exactly the corrected day's numbers change.
    before = pipeline.revenue()
    order_date, total = pipeline.cancel_an_order(day)
    pipeline.load(day, "orders")
    pipeline.await_dbt(day, 2)
    pipeline.assert_dbt_ran(2, [day])
    orders, gross = before[order_date]
    assert pipeline.revenue() == {**before, order_date: (orders - 1, gross - total)}


def test_a_cleared_task_loads_its_day_again_before_and_after_the_day_is_complete(
    pipeline: Pipeline,
) -> None:
    day = days_ago(4)
    run_id = pipeline.start(day, "orders")["orders"]
    assert pipeline.end_of(ORDERS, run_id) == "success"
    pipeline.api.clear(ORDERS, run_id, ORDERS)
    assert pipeline.end_of(ORDERS, run_id) == "success"
    assert pipeline.tries(ORDERS, run_id, ORDERS) == 2
    pipeline.await_rest()
    assert (pipeline.dbt_runs(day), pipeline.pending(day)) == ([], 1)
    pipeline.load(day, *WITHOUT_ORDERS)
    pipeline.await_dbt(day)
    pipeline.assert_dbt_ran(1, [day])

    before = pipeline.revenue()
    order_date, total = pipeline.cancel_an_order(day)
    pipeline.api.clear(ORDERS, run_id, ORDERS)
    pipeline.await_dbt(day, 2)
    pipeline.assert_dbt_ran(2, [day])
    orders, gross = before[order_date]
    assert pipeline.revenue() == {**before, order_date: (orders - 1, gross - total)}
    pipeline.assert_built_from_its_own_loads(day)
