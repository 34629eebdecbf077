"""Whole mornings: a database that is down is one incident, a doubtful day waits for a person."""

from __future__ import annotations

import time
from datetime import date, timedelta
from typing import Any
from urllib.parse import quote

import duckdb
import pytest

from alerting.incidents import open_incidents
from pipeline.sources import source
from sandbox.day import DBT_DAG
from tests.builders.alert_scenes import STACK_SETTINGS, await_told, statuses, told_about
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago, eventually
from transform import read_publication
from warehouse.duckdb.lock import warehouse_lock
from warehouse.settings import WarehouseSettings

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "alerts"
SETTINGS = STACK_SETTINGS
SECONDS_TO_READ_THE_QUESTION = 15
USUAL = 4_000  # rows of orders a day; the shop has a handful
POSTGRES = tuple(name for name in ALL_SOURCES if source(name).kind == "postgres")
FIRST, HELD, PUBLISHED = days_ago(32), days_ago(31), days_ago(30)


def make_more_orders_usual(warehouse: WarehouseSettings, day: date) -> None:
    """Five earlier days of the same weekday on which orders brought ``USUAL`` rows."""
    raw = str(warehouse.duckdb_dir / "ecommerce_raw.duckdb")
    copy = (
        "insert into loads.load_records by name select * replace (load_id || ? as load_id, "
        "? as day, ? as rows_extracted) from loads.load_records where source = 'orders' limit 1"
    )
    with warehouse_lock(warehouse), duckdb.connect(raw) as connection:
        for weeks in range(1, 6):
            earlier = day - timedelta(weeks=weeks)
            connection.execute(copy, [f"-{earlier}", earlier, USUAL])


def forget_usual_orders(warehouse: WarehouseSettings) -> None:
    """What the shop has is usual again."""
    raw = str(warehouse.duckdb_dir / "ecommerce_raw.duckdb")
    with warehouse_lock(warehouse), duckdb.connect(raw) as connection:
        connection.execute("delete from loads.load_records where rows_extracted = ?", [USUAL])


def held_run(pipeline: Pipeline, day: date) -> str:
    """The day's run of dbt as soon as it waits for an answer."""

    def waiting() -> str:
        for run in pipeline.dbt_runs(day):
            task = pipeline.task(DBT_DAG, run["dag_run_id"], "publish_marts")
            if task["state"] == "awaiting_input":
                return str(run["dag_run_id"])
        return ""

    return eventually(f"{day} waits for an answer", waiting)


def answer(pipeline: Pipeline, run_id: str, option: str) -> None:
    """Answer as a person does, some seconds after the question.

    Airflow 3.3.2 takes an answer that comes before its scheduler has heard of the end of the asking
    process for a lost task.
    """
    time.sleep(SECONDS_TO_READ_THE_QUESTION)
    path = f"/dags/{DBT_DAG}/dagRuns/{quote(run_id)}/taskInstances/publish_marts/-1/hitlDetails"
    body: dict[str, Any] = {"chosen_options": [option], "params_input": {}}
    pipeline.api.call("PATCH", path, json=body)


def test_a_database_that_is_down_is_one_incident_with_one_message_a_try(
    pipeline: Pipeline,
) -> None:
    with pipeline.shop_unavailable():
        runs = pipeline.start(FIRST, *POSTGRES)
        for name, run_id in runs.items():
            assert pipeline.end_of(source(name).dag_id, run_id) == "failed"
    told = told_about(pipeline, FIRST)
    assert statuses(told) == ["RETRY", "RETRY", "FAILURE"]
    assert any("Same cause: extract_postgres_" in message.text for message in told)
    (incident,) = [one for one in open_incidents() if one.day == str(FIRST)]
    assert len(incident.tasks) == len(POSTGRES)

    pipeline.load(FIRST, *ALL_SOURCES)
    pipeline.await_dbt(FIRST)
    (green,) = await_told(pipeline, FIRST, DBT_DAG)
    assert green.status == "RECOVERED"
    assert f"day {FIRST} complete after {3 * len(POSTGRES)} failures" in green.text
    assert [one for one in open_incidents() if one.day == str(FIRST)] == []


def test_a_doubtful_day_is_held_until_a_person_says_what_to_do(
    pipeline: Pipeline, warehouse_settings: WarehouseSettings
) -> None:
    make_more_orders_usual(warehouse_settings, HELD)
    pipeline.load(HELD, *ALL_SOURCES)
    run_id = held_run(pipeline, HELD)
    (told,) = await_told(pipeline, HELD, DBT_DAG)
    assert told.status == "HELD"
    assert "orders brought" in told.text and "usually about 4,000" in told.text
    publication = read_publication(warehouse=warehouse_settings)
    assert publication is not None and publication.day == FIRST

    answer(pipeline, run_id, "Do not publish")
    assert pipeline.end_of(DBT_DAG, run_id) == "failed"
    assert pipeline.tries(DBT_DAG, run_id, "publish_marts") == 1
    assert "HeldDayError" in await_told(pipeline, HELD, DBT_DAG, 2)[1].text
    publication = read_publication(warehouse=warehouse_settings)
    assert publication is not None and publication.day == FIRST

    forget_usual_orders(warehouse_settings)
    pipeline.load(HELD, "orders")  # repaired in the source, as it were
    pipeline.await_dbt(HELD, 2)
    assert await_told(pipeline, HELD, DBT_DAG, 3)[2].status == "RECOVERED"
    assert [one for one in open_incidents() if one.day == str(HELD)] == []


def test_a_held_day_is_published_when_a_person_says_so(
    pipeline: Pipeline, warehouse_settings: WarehouseSettings
) -> None:
    make_more_orders_usual(warehouse_settings, PUBLISHED)
    pipeline.load(PUBLISHED, *ALL_SOURCES)
    answer(pipeline, held_run(pipeline, PUBLISHED), "Publish")
    pipeline.await_dbt(PUBLISHED)
    publication = read_publication(warehouse=warehouse_settings)
    assert publication is not None and publication.day == PUBLISHED
    assert statuses(await_told(pipeline, PUBLISHED, DBT_DAG, 2)) == ["HELD", "SUCCESS"]
    assert [one for one in open_incidents() if one.day == str(PUBLISHED)] == []
