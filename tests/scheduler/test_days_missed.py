"""A scheduler that was down when a day was due runs that day when it returns."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from pipeline.days import current_day
from pipeline.sources import SOURCES
from tests.builders.running_pipeline import Pipeline, eventually

if TYPE_CHECKING:
    from tests.builders.running_stack import RunningStack

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "gate only"
SECONDS_TO_READ_THE_SCHEDULE = 25


def first_minute_after(seconds: float) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds + 60)).replace(second=0, microsecond=0)


def scheduled(pipeline: Pipeline, dag_id: str) -> list[str]:
    """Partition keys of the runs that the schedule has created."""
    return [
        run["partition_key"] for run in pipeline.api.runs(dag_id) if run["run_type"] == "scheduled"
    ]


def next_tick(pipeline: Pipeline, dag_id: str) -> datetime | None:
    text = pipeline.api.call("GET", f"/dags/{dag_id}")["next_dagrun_run_after"]
    return datetime.fromisoformat(text) if text else None


def test_a_scheduler_that_was_down_when_the_day_was_due_runs_it_when_it_returns(
    pipeline: Pipeline, running_stack: RunningStack
) -> None:
    pipeline.stop("dag-processor")
    tick = first_minute_after(SECONDS_TO_READ_THE_SCHEDULE)
    day = current_day(tick)
    built_before = len(pipeline.dbt_runs(day))
    moved = {"PIPELINE_RUN_AT": f"{tick:%H:%M}", "PIPELINE_START_DATE": f"{tick:%Y-%m-%d}"}
    try:
        pipeline.start_components(moved)
        eventually(
            f"all are due at {tick}",
            lambda: {next_tick(pipeline, known.dag_id) for known in SOURCES} == {tick},
        )
        pipeline.stop("scheduler")
        assert datetime.now(UTC) < tick, "The schedule was read too late for this test."
        assert not any(scheduled(pipeline, known.dag_id) for known in SOURCES)

        time.sleep((tick - datetime.now(UTC)).total_seconds() + 1)
        assert not any(scheduled(pipeline, known.dag_id) for known in SOURCES)
        pipeline.start_components(moved)
        pipeline.await_dbt(day, built_before + 1)
        pipeline.assert_dbt_ran(built_before + 1, [day])
        assert {known.name: scheduled(pipeline, known.dag_id) for known in SOURCES} == {
            known.name: [day.isoformat()] for known in SOURCES
        }
        pipeline.assert_built_from_its_own_loads(day)
    finally:
        running_stack.end()  # its schedules are moved: a file that shares the stack starts one anew
