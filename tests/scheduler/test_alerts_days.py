"""What Slack is told about whole days by the running pipeline: a failed test, a published day, one
that recovers.
"""

from __future__ import annotations

import re
from datetime import timedelta

import duckdb
import pytest

from pipeline.days import current_day, upper_bound
from pipeline.sources import source
from sandbox.day import DBT_DAG
from tests.builders.alert_scenes import (
    LAST,
    RETRY_DELAY,
    STACK_SETTINGS,
    assert_next_try_was_announced,
    await_told,
    each_try,
    slack_answers,
    statuses,
    told_about,
)
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago, eventually
from transform import read_publication
from warehouse.duckdb.lock import warehouse_lock
from warehouse.settings import WarehouseSettings

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(600)]

STACK = "alerts"
SETTINGS = STACK_SETTINGS
ORDERS = source("orders").dag_id


def add_to_total_of_first_order(warehouse: WarehouseSettings, amount: int) -> int:
    """Change the mart by hand, which no load time tells of; returns the order's id."""
    marts = str(warehouse.duckdb_dir / "ecommerce_analytics.duckdb")
    with warehouse_lock(warehouse), duckdb.connect(marts) as connection:
        ((order_id,),) = connection.execute("select min(order_id) from marts.fct_orders").fetchall()
        connection.execute(
            "update marts.fct_orders set total_amount = total_amount + ? where order_id = ?",
            [amount, order_id],
        )
    return int(order_id)


def test_a_failed_dbt_test_is_named_with_its_first_rows_and_nothing_is_published(
    pipeline: Pipeline, warehouse_settings: WarehouseSettings
) -> None:
    before, day = days_ago(4), days_ago(3)
    pipeline.load(before, *ALL_SOURCES)
    pipeline.await_dbt(before)
    order_id = add_to_total_of_first_order(warehouse_settings, 1)
    pipeline.load(day, *ALL_SOURCES)
    run = eventually("dbt is called", lambda: pipeline.dbt_runs(day))[0]
    assert pipeline.end_of(DBT_DAG, run["dag_run_id"]) == "failed"
    add_to_total_of_first_order(warehouse_settings, -1)
    told = told_about(pipeline, day, DBT_DAG)
    assert statuses(told) == ["RETRY", "FAILURE"]
    for message in told:
        assert "Task: dbt_test_all" in message.text
        named = rf"no_order_lost_between_raw_and_mart \(1 row\): order_id={order_id}\b"
        assert re.search(named, message.text)
        assert "/pipeline/runbook#datatesterror" in message.payload
    assert f"Try: 2 of 2, {LAST}" in told[1].text
    publication = read_publication(warehouse=warehouse_settings)
    assert publication is None or publication.day != day


def test_slack_being_down_does_not_fail_a_day(pipeline: Pipeline) -> None:
    """Complete a successful run and verify Slack success alert fires."""
    day = days_ago(2)
    with slack_answers(pipeline, 500):
        pipeline.load(day, *ALL_SOURCES)
        run_id = pipeline.await_dbt(day)["dag_run_id"]
    assert pipeline.task(DBT_DAG, run_id, "notify_success")["state"] == "success"
    said = pipeline.log(DBT_DAG, run_id, "notify_success")
    assert "Slack did not take the alert [SUCCESS] ecommerce_dbt" in said
    assert told_about(pipeline, day) == []

    pipeline.api.clear(DBT_DAG, run_id, "notify_success")
    (told,) = await_told(pipeline, day, DBT_DAG)
    assert told.status == "SUCCESS"
    for part in ("Task: notify_success", "Rows loaded: ", "Tests: ", "Revenue: "):
        assert part in told.text


def test_a_source_that_fails_twice_alerts_twice_and_one_message_closes_its_complete_day(
    pipeline: Pipeline,
) -> None:
    """Trigger a failure (e.g., stop postgres-source container mid-run).

    Slack failure alert fires with correct DAG name, task name, and error message. Stop
    postgres-source during extraction, verify Airflow retries after 5 minutes (here: 5 seconds).
    After restarting postgres-source, verify the retry succeeds. Confirm retry count shows "1 of 2"
    in the Airflow UI task details.
    """
    day = current_day()
    with pipeline.table_locked("orders"):
        run_id = pipeline.start(day, "orders")["orders"]
        reading = eventually(
            "the load of orders reads", lambda: sessions_reading(pipeline, "orders")
        )
        with pipeline.shop_unavailable():
            for (pid,) in reading:
                pipeline.shop("select pg_terminate_backend(%s)", pid)
            await_told(pipeline, day, ORDERS)
            task = pipeline.task(ORDERS, run_id, ORDERS)
            assert task["max_tries"] == 2
            await_told(pipeline, day, ORDERS, 2)
    assert pipeline.end_of(ORDERS, run_id) == "success"
    assert len(each_try(pipeline, ORDERS, run_id)) == 3

    told = told_about(pipeline, day, ORDERS)
    assert statuses(told) == ["RETRY", "RETRY"]
    errors = ("server closed|terminating connection", "too many connections")
    for message, number, error in zip(told, (1, 2), errors, strict=True):
        assert f"Task: {ORDERS}" in message.text
        assert f"Try: {number} of 3, the next one starts at" in message.text
        assert re.search(error, message.text)
        assert_next_try_was_announced(pipeline, message, ORDERS, run_id, RETRY_DELAY)

    pipeline.load(day, *(name for name in ALL_SOURCES if name != "orders"))
    run = pipeline.await_dbt(day)
    (closing,) = told_about(pipeline, day, DBT_DAG)
    assert (closing.status, run["state"]) == ("RECOVERED", "success")
    late = round(
        (closing.at.replace(tzinfo=None) - upper_bound(day) - timedelta(minutes=30)).total_seconds()
        / 60
    )
    said = re.search(
        rf"day {day} complete after 2 failures(?:, (?:(\d+) h )?(\d+) min late)?$",
        closing.text,
        re.MULTILINE,
    )
    assert said, closing.text
    assert abs(60 * int(said[1] or 0) + int(said[2] or 0) - max(late, 0)) <= 1
    for part in ("Rows loaded: ", "Tests: ", "Revenue: "):
        assert part in closing.text


def sessions_reading(pipeline: Pipeline, table: str) -> list[tuple[int]]:
    """Processes of the source database that wait for the pipeline's lock on the table."""
    sql = """select pid from pg_stat_activity
             where usename = %s and wait_event_type = 'Lock' and query like %s"""
    return pipeline.shop(sql, pipeline.stack.extra_env["POSTGRES_USER"], f"%{table}%")


def test_after_all_that_no_alert_was_sent_twice(pipeline: Pipeline) -> None:
    pipeline.await_rest()
    texts = [message["text"] for message in pipeline.received()]
    assert len(texts) == len(set(texts))
