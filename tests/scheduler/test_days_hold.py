"""dbt is called exactly once per complete day, whatever fails, is repeated, paused or killed."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from datetime import date
from urllib.parse import quote

import psutil
import pytest

from operations.airflow_api import AirflowApiError
from pipeline.sources import SOURCES, source
from sandbox.day import DBT_DAG
from sandbox.processes import remembered
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago, eventually
from warehouse import open_warehouse

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "gate only"

ORDERS = source("orders").dag_id
WITHOUT_ORDERS = tuple(name for name in ALL_SOURCES if name != "orders")


def test_a_source_that_failed_on_one_day_and_is_repaired_on_the_next_completes_its_own_day_only(
    pipeline: Pipeline,
) -> None:
    first, second = days_ago(9), days_ago(8)
    pipeline.load(first, "charges", "marketing")
    with pipeline.shop_unavailable():
        failed = pipeline.start(first, "orders")["orders"]
        assert pipeline.end_of(ORDERS, failed) == "failed"
    assert pipeline.tries(ORDERS, failed, ORDERS) == 3
    said = monitor(pipeline, first)
    for sentence in (
        "orders: failed: SourceUnavailableError",
        "customers: no run.",
        "charges: loaded, ",
        "dbt waits for orders, customers, products, order_items. orders has failed and nothing",
        "customers, products, order_items have no run for the day: trigger extract_postgres_",
    ):
        assert sentence in said
    pipeline.load(first, "customers", "products", "order_items")

    pipeline.load(second, *ALL_SOURCES)
    pipeline.await_dbt(second)
    assert pipeline.dbt_runs(first) == []

    pipeline.load(first, "orders")
    pipeline.await_dbt(first)
    pipeline.assert_dbt_ran(1, [first, second])
    for day in (first, second):
        pipeline.assert_built_from_its_own_loads(day)


@pytest.mark.parametrize(
    ("conf", "day"),
    [({}, days_ago(0)), ({"day": str(days_ago(3))}, days_ago(3))],
    ids=["empty", "day"],
)
def test_the_trigger_form_loads_the_day_given_there_or_the_current_one(
    pipeline: Pipeline, conf: dict[str, str], day: date
) -> None:
    run_id = pipeline.api.trigger(ORDERS, conf=conf)
    assert pipeline.end_of(ORDERS, run_id) == "success"
    assert pipeline.api.xcom(ORDERS, run_id, ORDERS)["day"] == day.isoformat()
    # Its announcement counts toward the day as that of a scheduled run does.
    events = pipeline.api.call("GET", "/assets/events?limit=100&order_by=-timestamp")[
        "asset_events"
    ]
    assert [event["partition_key"] for event in events if event["source_run_id"] == run_id] == [
        day.isoformat()
    ]
    assert pipeline.pending(day) == 1


@pytest.mark.parametrize("text", ["2026-02-30", "yesterday"])
def test_a_bad_day_is_refused_at_once_with_a_sentence(pipeline: Pipeline, text: str) -> None:
    with pytest.raises(AirflowApiError, match=f"400 .*Partition key '{text}' does not match"):
        pipeline.api.trigger(ORDERS, text)
    with pytest.raises(AirflowApiError, match=f"400 .*'{text}'"):
        pipeline.api.trigger(ORDERS, conf={"day": text})


def test_a_day_that_has_not_come_is_refused_with_a_sentence(pipeline: Pipeline) -> None:
    tomorrow = days_ago(-1)
    run_id = pipeline.api.trigger(ORDERS, tomorrow.isoformat())
    assert pipeline.end_of(ORDERS, run_id) == "failed"
    assert pipeline.tries(ORDERS, run_id, ORDERS) == 1
    assert (
        f"{tomorrow} has not come yet: a day can be loaded from 06:00 UTC on it."
        in pipeline.log(ORDERS, run_id, ORDERS)
    )
    assert pipeline.pending(tomorrow) == 0


def test_five_days_triggered_at_once_stay_five_days(pipeline: Pipeline) -> None:
    """Each day's six loads run side by side and end in the same moments: the race that loses days
    without the pool.
    """
    days = [days_ago(number) for number in (24, 23, 22, 21, 20)]
    for day in days:
        pipeline.start(day, *ALL_SOURCES)
    for day in days:
        pipeline.await_dbt(day)
    pipeline.assert_dbt_ran(1, days)
    for day in days:
        pipeline.assert_built_from_its_own_loads(day)


def test_a_day_whose_events_were_dropped_is_repaired_by_the_monitor(pipeline: Pipeline) -> None:
    day = days_ago(7)
    pipeline.api.pause(DBT_DAG, True)
    try:
        pipeline.load(day, *ALL_SOURCES)
        pipeline.await_rest()
    finally:
        pipeline.api.pause(DBT_DAG, False)
    assert pipeline.dbt_runs(day) == []

    said = monitor(pipeline, day)
    assert (
        f"All six sources of {day} are loaded, but dbt has not begun: a run of it is started."
        in said
    )
    assert "is paused" not in said
    pipeline.await_dbt(day)
    pipeline.assert_dbt_ran(1, [day])


def test_days_that_complete_while_dbt_is_paused_are_all_built_when_it_is_unpaused(
    pipeline: Pipeline,
) -> None:
    """A correction made meanwhile, and the monitor of the next day, change nothing about that."""
    day, next_day = days_ago(17), days_ago(16)
    pipeline.api.pause(DBT_DAG, True)
    try:
        pipeline.load(day, *ALL_SOURCES)
        pipeline.load(day, "orders")
        pipeline.load(day, "orders")
        pipeline.load(next_day, *ALL_SOURCES)
        for monitored in (day, next_day):
            said = monitor(pipeline, monitored)
            assert f"All six sources of {monitored} are loaded, but dbt has not begun" in said
            assert "The DAG ecommerce_dbt is paused: its runs wait" in said
        assert {run["state"] for run in pipeline.dbt_runs(day)} == {"queued"}
        assert [run["state"] for run in pipeline.dbt_runs(next_day)] == ["queued"]
        assert (pipeline.pending(day), pipeline.pending(next_day)) == (0, 0)
        waiting = len(pipeline.dbt_runs(day))
        monitor(pipeline, next_day)
        assert len(pipeline.dbt_runs(day)) == waiting, "what waits already is not started again"
    finally:
        pipeline.api.pause(DBT_DAG, False)
    for waited in (day, next_day):
        pipeline.await_dbt(waited)
    pipeline.assert_dbt_ran(1, [day, next_day])
    pipeline.assert_built_from_its_own_loads(day)


def test_a_correction_after_a_dropped_announcement_has_the_day_built(pipeline: Pipeline) -> None:
    day = days_ago(15)
    pipeline.api.pause(DBT_DAG, True)
    try:
        pipeline.load(day, *ALL_SOURCES)
    finally:
        pipeline.api.pause(DBT_DAG, False)
    pipeline.await_rest()
    assert pipeline.dbt_runs(day) == []
    pipeline.load(day, "orders")
    pipeline.await_dbt(day)
    pipeline.assert_dbt_ran(1, [day])
    pipeline.load(day, "customers")
    pipeline.await_dbt(day, 2)
    pipeline.assert_dbt_ran(2, [day])
    pipeline.assert_built_from_its_own_loads(day)


def test_corrections_that_wait_together_are_built_once(pipeline: Pipeline) -> None:
    """The runs of all are there; the first one reads all of them, the others end at their gate."""
    day = days_ago(14)
    pipeline.load(day, *ALL_SOURCES)
    pipeline.await_dbt(day)
    pipeline.api.pause(DBT_DAG, True)
    try:
        pipeline.load(day, *ALL_SOURCES)
    finally:
        pipeline.api.pause(DBT_DAG, False)
    pipeline.await_dbt(day, 2)
    pipeline.assert_dbt_ran(2, [day])
    pipeline.assert_built_from_its_own_loads(day)
    corrections = [run for run in pipeline.skipped_runs() if run.startswith(f"build__{day}__")]
    assert len(corrections) == len(ALL_SOURCES) - 1

    # Whoever clears a run that had nothing to do wants it to do it.
    pipeline.api.clear(DBT_DAG, corrections[0], "all_extractions_complete")
    pipeline.await_dbt(day, 3)


def test_a_build_that_failed_satisfies_no_correction(pipeline: Pipeline) -> None:
    """It began after the correction was loaded, but nothing came of it."""
    day = days_ago(13)
    pipeline.load(day, *ALL_SOURCES)
    pipeline.await_dbt(day)
    pipeline.api.pause(DBT_DAG, True)
    try:
        pipeline.load(day, "orders")
        (waiting,) = [run for run in pipeline.dbt_runs(day) if run["state"] == "queued"]
        other = pipeline.api.trigger(DBT_DAG, str(day))
        open_warehouse().begin_build(other, day)
        body = {"state": "failed"}
        pipeline.api.call("PATCH", f"/dags/{DBT_DAG}/dagRuns/{quote(other)}", json=body)
    finally:
        pipeline.api.pause(DBT_DAG, False)
    assert pipeline.end_of(DBT_DAG, waiting["dag_run_id"]) == "success"
    assert waiting["dag_run_id"] not in pipeline.skipped_runs()


def test_rebuild_day_has_every_day_of_a_range_built_once_more(pipeline: Pipeline) -> None:
    """The two days of the test of a failed and repaired source."""
    first, second = days_ago(9), days_ago(8)
    builds = [len(pipeline.dbt_runs(day)) for day in (first, second)]
    assert all(builds), "This test goes on from the one that builds these days."
    run_id = pipeline.api.trigger(
        "rebuild_day", conf={"first_day": str(first), "last_day": str(second)}
    )
    assert pipeline.end_of("rebuild_day", run_id) == "success"
    for day, built in zip((first, second), builds, strict=True):
        pipeline.await_dbt(day, built + 1)
        pipeline.assert_dbt_ran(built + 1, [day])


def test_rebuild_day_refuses_an_incomplete_day_and_names_what_is_missing(
    pipeline: Pipeline,
) -> None:
    day = days_ago(6)
    pipeline.load(day, "products")
    run_id = pipeline.api.trigger("rebuild_day", conf={"first_day": day.isoformat()})
    assert pipeline.end_of("rebuild_day", run_id) == "failed"
    said = pipeline.log("rebuild_day", run_id, "check_days")
    missing = ", ".join(
        f"{known.name} (DAG {known.dag_id})" for known in SOURCES if known.name != "products"
    )
    assert f"{day} is not complete: the warehouse has no load record of {missing}." in said
    assert pipeline.dbt_runs(day) == []


def test_a_day_completes_although_the_scheduler_was_killed_in_the_middle(
    pipeline: Pipeline,
) -> None:
    day = days_ago(5)
    with pipeline.table_locked("orders"):
        runs = pipeline.start(day, *ALL_SOURCES)
        eventually(
            "orders hangs",
            lambda: pipeline.task(ORDERS, runs["orders"], ORDERS)["state"] == "running",
        )
        kill_scheduler(pipeline)
    pipeline.start_components()
    pipeline.await_dbt(day)
    pipeline.assert_dbt_ran(1, [day])


def monitor(pipeline: Pipeline, day: date) -> str:
    """Run the monitor for a day; what it said."""
    run_id = pipeline.api.trigger("ecommerce_sla_monitor", day.isoformat())
    assert pipeline.end_of("ecommerce_sla_monitor", run_id) == "success"
    return pipeline.log("ecommerce_sla_monitor", run_id, "check_day")


def kill_scheduler(pipeline: Pipeline) -> None:
    """SIGKILL the scheduler and the tasks it runs, as a machine that is gone does."""
    scheduler = remembered(pipeline.stack.layout.run / "airflow-scheduler.json")
    assert scheduler
    family = [scheduler, *scheduler.children(recursive=True)]
    for process in family:
        with suppress(psutil.NoSuchProcess):
            os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
