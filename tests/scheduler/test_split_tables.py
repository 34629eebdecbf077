"""A table that `POSTGRES_SPLIT_TABLES` names is read by several mapped tasks: one load record."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from pipeline.days import upper_bound
from pipeline.records import LoadRecord
from pipeline.sources import ORDERS, source
from tests.builders.running_pipeline import Pipeline, days_ago, eventually
from warehouse import open_warehouse

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(600)]

SETTINGS = {"POSTGRES_SPLIT_TABLES": "orders", "POSTGRES_SPLIT_ROWS": "150"}
DAG = source("orders").dag_id
COLUMNS = ", ".join(ORDERS.column_names)
FIRST, SECOND = days_ago(1), days_ago(0)


def loads(day: date) -> list[LoadRecord]:
    return [record for record in open_warehouse().load_records(day) if record.source == "orders"]


def number_of_loads() -> int:
    return int(
        str(
            open_warehouse().query(
                "select count(*) from loads.load_records where source = 'orders'"
            )[0][0]
        )
    )


def raw_orders() -> list[tuple[object, ...]]:
    return open_warehouse().query(f"select {COLUMNS} from postgres.raw_orders order by order_id")


def parts(pipeline: Pipeline, run_id: str) -> dict[int, dict[str, Any]]:
    """The mapped tasks of a run, by their index."""
    tasks = [
        task
        for task in pipeline.api.task_instances(DAG, run_id)
        if task["task_id"] == "extract_part"
    ]
    return {int(task["map_index"]): task for task in tasks}


def test_a_large_day_is_read_by_several_tasks_and_is_one_load(pipeline: Pipeline) -> None:
    pipeline.shop("analyze orders")
    expected = pipeline.shop(
        f"select {COLUMNS} from orders where created_at <= %s order by order_id", upper_bound(FIRST)
    )
    run_id = pipeline.start(FIRST, "orders")["orders"]
    assert pipeline.end_of(DAG, run_id) == "success"
    planned = pipeline.api.xcom(DAG, run_id, "plan_parts")
    assert len(planned) > 1
    assert [task["state"] for task in parts(pipeline, run_id).values()] == ["success"] * len(
        planned
    )
    (record,) = loads(FIRST)
    assert number_of_loads() == 1
    assert (record.load_id, record.rows_extracted) == (planned[0]["load_id"], len(expected))
    assert raw_orders() == expected
    assert pipeline.api.xcom(DAG, run_id, DAG)["load_id"] == record.load_id


def test_a_part_that_fails_is_tried_again_alone_and_the_day_is_one_load(pipeline: Pipeline) -> None:
    """The server ends the connection of one of several tasks that read the table at once."""
    pipeline.shop("update orders set updated_at = %s", upper_bound(SECOND) - timedelta(minutes=1))
    pipeline.shop("analyze orders")
    before = number_of_loads()
    run_id = pipeline.start(SECOND, "orders")["orders"]
    eventually(
        "plan_parts begins",
        lambda: (
            pipeline.task(DAG, run_id, "plan_parts")["state"] in ("queued", "running", "success")
        ),
    )
    pipeline.api.pause(DAG, True)  # while a DAG is paused, nothing of it begins that has not begun
    try:
        eventually(
            "plan_parts ends",
            lambda: pipeline.task(DAG, run_id, "plan_parts")["state"] == "success",
        )
        with pipeline.table_locked("orders"):
            pipeline.api.pause(DAG, False)
            waiting = eventually(
                "two parts wait for the table", lambda: readers_that_wait(pipeline)
            )
            pipeline.shop("select pg_terminate_backend(%s)", waiting[0])
            eventually(
                "one part is to be tried again", lambda: "up_for_retry" in states(pipeline, run_id)
            )
    finally:
        pipeline.api.pause(DAG, False)
    assert pipeline.end_of(DAG, run_id) == "success"
    tries = sorted(int(task["try_number"]) for task in parts(pipeline, run_id).values())
    assert tries == [*[1] * (len(tries) - 1), 2]
    assert number_of_loads() == before + 1
    (record,) = loads(SECOND)
    assert record.rows_extracted == len(raw_orders())
    assert raw_orders() == pipeline.shop(f"select {COLUMNS} from orders order by order_id")
    (alert,) = (text for text in pipeline.messages(SECOND) if "Task: extract_part" in text)
    assert alert.startswith("[RETRY]") and "Try: 1 of 3" in alert


def readers_that_wait(pipeline: Pipeline) -> list[int]:
    """Server processes of at least two readers that wait for a lock."""
    user = pipeline.stack.extra_env["POSTGRES_USER"]
    sql = "select pid from pg_stat_activity where usename = %s and wait_event_type = 'Lock'"
    found = [int(pid) for (pid,) in pipeline.shop(sql, user)]
    return found if len(found) > 1 else []


def states(pipeline: Pipeline, run_id: str) -> set[str]:
    return {str(task["state"]) for task in parts(pipeline, run_id).values()}
