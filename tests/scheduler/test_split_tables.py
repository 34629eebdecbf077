"""A table that `POSTGRES_SPLIT_TABLES` names is read by several mapped tasks: one load record."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ingestion.days import upper_bound
from ingestion.records import LoadRecord
from ingestion.sources import ORDERS, source
from ingestion.warehouse import open_warehouse
from tests.scheduler.pipeline import Pipeline, days_ago

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(600)]

SETTINGS = {"POSTGRES_SPLIT_TABLES": "orders", "POSTGRES_SPLIT_ROWS": "150"}
DAG = source("orders").dag_id
COLUMNS = ", ".join(ORDERS.column_names)
FIRST = days_ago(1)


def loads(day: date) -> list[LoadRecord]:
    return [record for record in open_warehouse().load_records(day) if record.source == "orders"]


def number_of_loads() -> int:
    return int(str(open_warehouse().query("select count(*) from loads.load_records where source = 'orders'")[0][0]))


def raw_orders() -> list[tuple[object, ...]]:
    return open_warehouse().query(f"select {COLUMNS} from postgres.raw_orders order by order_id")


def parts(pipeline: Pipeline, run_id: str) -> dict[int, dict[str, Any]]:
    """The mapped tasks of a run, by their index."""
    tasks = [task for task in pipeline.api.task_instances(DAG, run_id) if task["task_id"] == "extract_part"]
    return {int(task["map_index"]): task for task in tasks}


def test_a_large_day_is_read_by_several_tasks_and_is_one_load(pipeline: Pipeline) -> None:
    pipeline.shop("analyze orders")
    expected = pipeline.shop(f"select {COLUMNS} from orders where created_at <= %s order by order_id", upper_bound(FIRST))
    run_id = pipeline.start(FIRST, "orders")["orders"]
    assert pipeline.end_of(DAG, run_id) == "success"
    planned = pipeline.api.xcom(DAG, run_id, "plan_parts")
    assert len(planned) > 1
    assert [task["state"] for task in parts(pipeline, run_id).values()] == ["success"] * len(planned)
    (record,) = loads(FIRST)
    assert number_of_loads() == 1
    assert (record.load_id, record.rows_extracted) == (planned[0]["load_id"], len(expected))
    assert raw_orders() == expected
    assert pipeline.api.xcom(DAG, run_id, DAG)["load_id"] == record.load_id
