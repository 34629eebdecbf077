"""Six sources that finish in one instant make dbt run: they announce through a pool of one slot."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from operations.backfill import Range, check_ready, create
from pipeline.pool import PUBLISH_POOL, SET_POOL
from pipeline.settings import PROJECT
from pipeline.sources import SOURCES
from sandbox.airflow_local import components
from sandbox.processes import tail
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago, eventually

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "gate only"
TWELVE = [days_ago(number) for number in range(71, 59, -1)]


def publish_tasks(pipeline: Pipeline, state: str) -> int:
    sql = """select count(*) from task_instance ti
             join dag_run dr on dr.dag_id = ti.dag_id and dr.run_id = ti.run_id
             where ti.task_id = 'publish' and ti.state = %s
                 and dr.partition_key between %s and %s"""
    return int(pipeline.metadata(sql, state, str(TWELVE[0]), str(TWELVE[-1]))[0][0])


def test_twelve_days_whose_six_sources_finish_in_the_same_instant_are_built_twelve_times(
    pipeline: Pipeline,
) -> None:
    """The pool is closed until all 72 loads are done: every announcement is due in one instant."""
    everything = len(TWELVE) * len(SOURCES)
    # First loads of a table that run side by side read on to the newest watermark; an ordinary day
    # ends where it has to.
    pipeline.load(days_ago(72), *ALL_SOURCES)
    pipeline.await_rest()
    check_ready(pipeline.api, SOURCES)
    pipeline.set_pool(0)
    try:
        create(
            pipeline.api,
            SOURCES,
            Range(TWELVE[0], TWELVE[-1]),
            backwards=False,
            days_at_a_time=len(TWELVE),
        )
        eventually(
            "all loads are done, all announcements due",
            lambda: publish_tasks(pipeline, "scheduled") == everything,
            600,
        )
        assert not any(pipeline.pending(day) or pipeline.dbt_runs(day) for day in TWELVE)
    finally:
        pipeline.set_pool(1)
    for day in TWELVE:
        pipeline.await_dbt(day)
    pipeline.assert_dbt_ran(1, TWELVE)
    for day in TWELVE:
        pipeline.assert_built_from_its_own_loads(day)


def announce(pipeline: Pipeline, day: date, how: str) -> None:
    command = [sys.executable, "-m", "tests.scheduler.race", str(day), how]
    done = subprocess.run(
        command,
        env=pipeline.stack.airflow_env(),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr


def events_per_pending_row(pipeline: Pipeline, day: date) -> list[int]:
    """How many sources each of Airflow's pending rows of a day has heard of."""
    sql = """select count(distinct event.asset_id) from asset_partition_dag_run pending
             join partitioned_asset_key_log event on event.asset_partition_dag_run_id = pending.id
             where pending.created_dag_run_id is null and pending.partition_key = %s
             group by pending.id order by 1"""
    return [int(row[0]) for row in pipeline.metadata(sql, str(day))]


def test_without_the_pool_two_sources_in_one_instant_lose_the_day(pipeline: Pipeline) -> None:
    """The control: Airflow's own registration of events, once interleaved and once in a row.

    Two are interleaved as two tasks that end together are; all six come in a row as the pool has
    them. If this fails because nothing is lost any more, the pool is no longer needed.
    """
    in_a_row, together = days_ago(80), days_ago(81)
    announce(pipeline, together, "together")
    announce(pipeline, in_a_row, "in-a-row")
    eventually("dbt runs for the day announced in a row", lambda: pipeline.dbt_runs(in_a_row))
    try:
        lost = (
            "Airflow keeps such a day together by itself now: the pool of one slot can go "
            "(docs/decisions.md)"
        )
        assert events_per_pending_row(pipeline, together) == [1, len(SOURCES) - 1], lost
        assert pipeline.dbt_runs(together) == []
        assert events_per_pending_row(pipeline, in_a_row) == []
    finally:
        pipeline.metadata(
            "delete from asset_partition_dag_run where partition_key = %s", str(together)
        )


def test_a_missing_pool_is_told_by_the_monitor_and_keeps_airflow_from_starting(
    pipeline: Pipeline,
) -> None:
    day = days_ago(82)
    pipeline.set_pool(None)
    try:
        waiting = pipeline.start(day, "products")["products"]
        dag_id = next(known.dag_id for known in SOURCES if known.name == "products")
        eventually(
            "publish waits",
            lambda: pipeline.task(dag_id, waiting, "publish")["state"] == "scheduled",
        )
        run_id = pipeline.api.trigger("ecommerce_sla_monitor", str(day))
        assert pipeline.end_of("ecommerce_sla_monitor", run_id) == "success"
        said = pipeline.log("ecommerce_sla_monitor", run_id, "check_day")
        assert (
            "Loaded, but not announced: products. The task publish has failed, or it waits." in said
        )
        assert f"It waits for ever if Airflow's pool is missing: {SET_POOL}" in said

        pipeline.stop("scheduler")
        assert "Airflow has no pool 'publish': no source could announce its day" in refusal(
            pipeline, "scheduler"
        )
        pipeline.set_pool(2)
        pipeline.stop("dag-processor")
        assert "Airflow's pool 'publish' has 2 slots instead of 1" in refusal(
            pipeline, "dag-processor"
        )
        pipeline.stack.start_airflow(print)  # as `make demo` does
        assert pipeline.api.pool_slots(PUBLISH_POOL) == 1
    finally:
        pipeline.set_pool(1)
        pipeline.start_components()
    assert pipeline.end_of(dag_id, waiting) == "success"
    assert pipeline.pending(day) == 1


def refusal(pipeline: Pipeline, component: str) -> str:
    """The last words of a process that refuses to start."""
    process = components(pipeline.stack.layout, pipeline.stack.airflow_env())[component]
    process.start()
    eventually(f"{component} ends by itself", lambda: process.running() is None, 60)
    return tail(process.log)
