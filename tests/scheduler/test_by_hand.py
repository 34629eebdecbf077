"""What people do by hand to tasks and runs: each gets a sentence, and nothing looks loaded that is
not.
"""

from __future__ import annotations

from urllib.parse import quote

import pytest

from pipeline.sources import source
from sandbox.day import DBT_DAG
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago, eventually
from warehouse import open_warehouse

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "gate only"

ORDERS = source("orders").dag_id
WITHOUT_ORDERS = tuple(name for name in ALL_SOURCES if name != "orders")


def mark(pipeline: Pipeline, dag_id: str, run_id: str, task_id: str, state: str) -> None:
    path = f"/dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances/{task_id}"
    pipeline.api.call("PATCH", path, json={"new_state": state})


def ended(pipeline: Pipeline, run_id: str, task_id: str) -> str:
    """The state of a task of orders as soon as it has ended."""
    over = ("success", "failed", "skipped")

    def state() -> str:
        found = str(pipeline.task(ORDERS, run_id, task_id)["state"])
        return found if found in over else ""

    return eventually(f"{task_id} ends", state)


def test_a_load_marked_success_by_hand_is_said_and_never_counts(pipeline: Pipeline) -> None:
    day = days_ago(52)
    pipeline.load(day, *WITHOUT_ORDERS)
    with pipeline.shop_unavailable():
        run_id = pipeline.start(day, "orders")["orders"]
        assert pipeline.end_of(ORDERS, run_id) == "failed"
    mark(pipeline, ORDERS, run_id, ORDERS, "success")
    assert ended(pipeline, run_id, "publish") == "failed"
    assert (
        f"{ORDERS} was marked success by hand, and nothing was loaded. Clear {ORDERS}"
        in pipeline.log(ORDERS, run_id, "publish")
    )
    assert pipeline.tries(ORDERS, run_id, "publish") == 1, "another try changes nothing"

    pipeline.await_rest()
    mark(pipeline, ORDERS, run_id, "publish", "success")
    assert ended(pipeline, run_id, "rebuild_marts") == "failed"
    said = pipeline.log(ORDERS, run_id, "rebuild_marts")
    assert "MarkedByHandError" in said and "TypeError" not in said
    assert "orders" not in {record.source for record in open_warehouse().load_records(day)}
    assert pipeline.dbt_runs(day) == []
    assert len([text for text in pipeline.messages(day) if "MarkedByHandError" in text]) == 2

    pipeline.api.clear(ORDERS, run_id, ORDERS)
    pipeline.await_dbt(day)
    pipeline.assert_built_from_its_own_loads(day)


def test_an_announcement_marked_success_by_hand_starts_no_build_of_half_a_day(
    pipeline: Pipeline,
) -> None:
    """The load is real; the monitor finds the day when the other five are there."""
    day = days_ago(51)
    with pipeline.table_locked("orders"):
        run_id = pipeline.start(day, "orders")["orders"]
        eventually(
            "orders runs", lambda: pipeline.task(ORDERS, run_id, ORDERS)["state"] == "running"
        )
        mark(pipeline, ORDERS, run_id, "publish", "success")
    assert ended(pipeline, run_id, ORDERS) == "success"
    assert ended(pipeline, run_id, "rebuild_marts") == "skipped"
    pipeline.load(day, *WITHOUT_ORDERS)
    pipeline.await_rest()
    assert pipeline.dbt_runs(day) == []
    run = pipeline.api.trigger("ecommerce_sla_monitor", str(day))
    assert pipeline.end_of("ecommerce_sla_monitor", run) == "success"
    pipeline.await_dbt(day)


def test_a_load_marked_failed_while_it_runs_is_told_as_such(pipeline: Pipeline) -> None:
    day = days_ago(50)
    with pipeline.table_locked("orders"):
        run_id = pipeline.start(day, "orders")["orders"]
        eventually(
            "orders runs", lambda: pipeline.task(ORDERS, run_id, ORDERS)["state"] == "running"
        )
        mark(pipeline, ORDERS, run_id, ORDERS, "failed")
        (told,) = pipeline.await_messages(day, 1)
    assert "it was marked failed by hand, killed from outside" in told
    assert "may have been committed; clear the task" in told


@pytest.mark.parametrize("key", ["0001-01-01", "9999-12-31", "2016-01-04"])
def test_a_key_that_is_no_day_of_ours_is_one_sentence(pipeline: Pipeline, key: str) -> None:
    for dag_id, task_id in ((ORDERS, ORDERS), (DBT_DAG, "all_extractions_complete")):
        run_id = pipeline.api.trigger(dag_id, key)
        assert pipeline.end_of(dag_id, run_id) == "failed"
        assert pipeline.tries(dag_id, run_id, task_id) == 1
        said = pipeline.log(dag_id, run_id, task_id)
        assert "DayError" in said and "OverflowError" not in said
