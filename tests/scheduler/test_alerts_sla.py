"""What is late is reported once, while it is late, recorded twice, and goes on; only the current
day can be late.

All scenes are of the current day, whose six sources are late, failing, or in time, until it is
complete at the end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import pytest

from pipeline.days import current_day
from pipeline.sources import source
from sandbox.day import DBT_DAG
from tests.builders.alert_scenes import Told, await_state, metadata, password_changed, told_about
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago, eventually
from warehouse import open_warehouse

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(600)]

SLA = timedelta(seconds=12)
RETRY_DELAY = 30  # seconds: long enough for an SLA to end while nothing runs
IN_TIME = timedelta(seconds=30)  # within which a breach has to be reported
MONITOR = "ecommerce_sla_monitor"
SETTINGS = {
    "ALERTING_SLA_SECONDS": f"postgres={SLA.total_seconds():g},dbt_run=1,dbt_test=1",
    "ALERTING_RETRY_DELAY_SECONDS": str(RETRY_DELAY),
    "SLACK_WEBHOOK_URL": "",  # it is in the settings file instead, from which a test can take it
    # no scheduler is killed here, and the machine is busy
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
}
ORDERS, CUSTOMERS, PRODUCTS, ORDER_ITEMS, CHARGES, MARKETING = (
    source(name).dag_id for name in ALL_SOURCES
)


@pytest.fixture(scope="module", autouse=True)
def webhook(pipeline: Pipeline) -> str:
    """The line of the settings file that says where Slack is. A first load has run: until then, a
    task takes long to start.
    """
    pipeline.load(days_ago(9), "charges")
    line = f"\nSLACK_WEBHOOK_URL={pipeline.stack.slack_url}/services/T0SANDBOX/B0SANDBOX/pipeline\n"
    with pipeline.stack.layout.env_file.open("a") as file:
        file.write(line)
    return line


@contextmanager
def without(pipeline: Pipeline, line: str) -> Iterator[None]:
    """The settings file without that line."""
    file = pipeline.stack.layout.env_file
    whole = file.read_text()
    file.write_text(whole.replace(line, ""))
    try:
        yield
    finally:
        file.write_text(whole)


def breaches(pipeline: Pipeline, scope: str) -> list[Told]:
    """The alerts of the current day that say that this is late."""
    told = told_about(pipeline, current_day())
    return [
        message
        for message in told
        if message.status == "SLA BREACH" and f"Late: {scope}: " in message.text
    ]


def await_breach(pipeline: Pipeline, scope: str) -> Told:
    return eventually(f"{scope} is reported as late", lambda: breaches(pipeline, scope))[0]


def recorded(scope: str) -> list[tuple[object, ...]]:
    """The warehouse's own record: day, SLA in seconds, what was waited for."""
    sql = (
        "select day, sla_seconds, waiting_for from ecommerce_raw.loads.sla_breaches where scope = ?"
    )
    return open_warehouse().query(sql, [scope])


def deadlines(pipeline: Pipeline, run_id: str) -> list[tuple[datetime, bool]]:
    """Airflow's own record: when a run was due, and whether it missed that."""
    sql = (
        "select d.deadline_time, d.missed from deadline d join dag_run r on r.id = d.dagrun_id "
        "where r.run_id = %s"
    )
    return [(row[0], row[1]) for row in metadata(pipeline, sql, run_id)]


def queued(pipeline: Pipeline, dag_id: str, run_id: str) -> datetime:
    return datetime.fromisoformat(pipeline.api.run(dag_id, run_id)["queued_at"]).astimezone(UTC)


def test_a_load_that_hangs_is_reported_once_within_thirty_seconds_and_goes_on(
    pipeline: Pipeline,
) -> None:
    """Old days and back-fills hang as long, and are not late."""
    day, old = current_day(), days_ago(5)
    with (
        pipeline.table_locked("orders"),
        pipeline.table_locked("products"),
        pipeline.table_locked("order_items"),
    ):
        late = pipeline.start(day, "orders")["orders"]
        of_old_day = pipeline.start(old, "products")["products"]
        backfilled = backfill(pipeline, ORDER_ITEMS, day)
        told = await_breach(pipeline, ORDERS)
        assert await_state(pipeline, ORDERS, late, "running")  # it has not been killed
        due = queued(pipeline, ORDERS, late) + SLA
        for dag_id, run_id in ((PRODUCTS, of_old_day), (ORDER_ITEMS, backfilled)):
            started = await_state(pipeline, dag_id, run_id, "running")["start_date"]
            over = datetime.fromisoformat(started) + SLA + timedelta(seconds=5)
            eventually(
                f"{dag_id} has hung for longer than its SLA",
                lambda over=over: datetime.now(UTC) > over,
            )  # type: ignore[misc]
            assert pipeline.task(dag_id, run_id, dag_id)["state"] == "running"
    assert timedelta(0) <= told.at - due < IN_TIME
    assert f"Late: {ORDERS}: its SLA of {SLA.total_seconds():g}s from " in told.text
    assert "Waiting for: its load of orders" in told.text
    assert "/pipeline/runbook#slabreach" in told.payload
    for dag_id, run_id in ((ORDERS, late), (PRODUCTS, of_old_day), (ORDER_ITEMS, backfilled)):
        assert pipeline.end_of(dag_id, run_id) == "success"
    assert len(breaches(pipeline, ORDERS)) == 1
    assert eventually("the breach is recorded", lambda: recorded(ORDERS)) == [
        (day, SLA.total_seconds(), "its load of orders")
    ]
    ((time, missed),) = deadlines(pipeline, late)
    assert missed and abs(time - due) < timedelta(seconds=1)
    for scope, run_id in ((PRODUCTS, of_old_day), (ORDER_ITEMS, backfilled)):
        assert (
            not breaches(pipeline, scope)
            and not recorded(scope)
            and not deadlines(pipeline, run_id)
        )


def backfill(pipeline: Pipeline, dag_id: str, day: date) -> str:
    """Start a back-fill of one day; the id of its run."""
    body = {
        "dag_id": dag_id,
        "from_date": f"{day}T00:00:00Z",
        "to_date": f"{day}T23:59:59Z",
        "reprocess_behavior": "completed",
    }
    pipeline.api.call("POST", "/backfills", json=body)

    def found() -> list[str]:
        return [
            str(run["dag_run_id"])
            for run in pipeline.api.runs(dag_id)
            if run["run_type"] == "backfill"
        ]

    return eventually("the back-fill has a run", found)[0]


def test_a_source_that_waits_for_its_next_try_is_late_at_once_not_when_it_runs_again(
    pipeline: Pipeline,
) -> None:
    with pipeline.shop_unavailable():
        run_id = pipeline.start(current_day(), "customers")["customers"]
        told = await_breach(pipeline, CUSTOMERS)
        assert pipeline.task(CUSTOMERS, run_id, CUSTOMERS)["state"] == "up_for_retry"
    assert timedelta(0) <= told.at - queued(pipeline, CUSTOMERS, run_id) - SLA < IN_TIME
    ((_, missed),) = deadlines(pipeline, run_id)
    assert missed


def test_a_task_can_be_cleared_while_its_deadline_is_ahead_and_work_in_time_leaves_nothing(
    pipeline: Pipeline,
) -> None:
    """Airflow's own reference for deadlines makes clearing end in an internal error
    (apache/airflow#70368).
    """
    inbox = pipeline.stack.layout.csv_inbox
    aside = inbox.rename(inbox.with_name("csv_inbox_aside"))
    run_id = pipeline.start(current_day(), "marketing")["marketing"]
    assert pipeline.end_of(MARKETING, run_id) == "failed"
    aside.rename(inbox)
    assert [missed for _, missed in deadlines(pipeline, run_id)] == [False]
    pipeline.api.clear(MARKETING, run_id, MARKETING)
    eventually(
        "the cleared run is over", lambda: pipeline.api.run(MARKETING, run_id)["state"] == "success"
    )
    assert deadlines(pipeline, run_id) == []
    pipeline.load(current_day(), "charges")
    assert not breaches(pipeline, MARKETING) and not breaches(pipeline, CHARGES)


def test_a_dbt_that_never_starts_is_reported_once_by_the_monitor_with_what_it_waits_for(
    pipeline: Pipeline,
) -> None:
    day = current_day()
    for _ in range(2):
        asked = datetime.now(UTC)
        run_id = pipeline.api.trigger(MONITOR, day.isoformat())
        assert pipeline.end_of(MONITOR, run_id) == "success"
        (told,) = breaches(pipeline, "the pipeline")
    assert told.at - asked < IN_TIME
    assert "its SLA of 30 min from 06:00:00 UTC ended at 06:30:00 UTC" in told.text
    waits = (
        r"^Waiting for: dbt waits for (customers, )?products\. products has no run for the day: "
    )
    assert re.search(waits, told.text, re.MULTILINE)
    ((recorded_day, seconds, waiting_for),) = recorded("the pipeline")
    assert (recorded_day, seconds) == (day, 1800) and str(waiting_for).startswith("dbt waits for ")


def test_the_webhook_being_unset_is_one_warning_in_the_log_and_nothing_else(
    pipeline: Pipeline, webhook: str
) -> None:
    day = days_ago(6)
    with without(pipeline, webhook), password_changed(pipeline):
        run_id = pipeline.start(day, "products")["products"]
        assert pipeline.end_of(PRODUCTS, run_id) == "failed"
        eventually(
            "the try is over",
            lambda: "SLACK_WEBHOOK_URL is not set" in pipeline.log(PRODUCTS, run_id, PRODUCTS),
        )
    assert pipeline.tries(PRODUCTS, run_id, PRODUCTS) == 1
    said = pipeline.log(PRODUCTS, run_id, PRODUCTS)
    assert said.count("SLACK_WEBHOOK_URL is not set") == 1
    assert "refused the user 'shop_reader'" in said
    assert told_about(pipeline, day, PRODUCTS) == []


def test_slow_dbt_and_slow_tests_are_each_reported_once_and_the_day_is_published(
    pipeline: Pipeline,
) -> None:
    """Simulate an SLA breach (set SLA to 1 second) and verify Slack SLA alert fires."""
    day = current_day()
    for run in pipeline.api.runs(CUSTOMERS):
        assert pipeline.end_of(CUSTOMERS, run["dag_run_id"]) == "success"
    pipeline.load(day, "products")  # order_items was back-filled
    run_id = pipeline.await_dbt(day)["dag_run_id"]
    tasks = {task["task_id"]: task for task in pipeline.api.task_instances(DBT_DAG, run_id)}
    for scope, first in (("dbt run", "dbt_run_staging"), ("dbt test", "dbt_test_all")):
        (told,) = breaches(pipeline, scope)
        began = datetime.fromisoformat(tasks[first]["start_date"])
        assert timedelta(0) <= told.at - began - timedelta(seconds=1) < IN_TIME
        assert [row[:2] for row in recorded(scope)] == [(day, 1.0)]
        assert f"/dags/{DBT_DAG}/runs/" in told.payload
    closing = told_about(pipeline, day, DBT_DAG)[-1]
    assert closing.status == "RECOVERED"
    number = len(
        [message for message in told_about(pipeline, day) if message.status == "SLA BREACH"]
    )
    assert f"and {number} SLA breaches" in closing.text


def test_deadlines_make_no_new_versions_of_dags(pipeline: Pipeline) -> None:
    """Airflow parses the DAG files over and over; each version would have its own deadlines."""
    pipeline.await_rest()
    assert (
        metadata(
            pipeline, "select dag_id, count(*) from dag_version group by dag_id having count(*) > 1"
        )
        == []
    )
