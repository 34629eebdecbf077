"""One command loads a range of days on an Airflow that it reaches by REST alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import date, datetime
from itertools import combinations

import pytest

from pipeline.settings import PROJECT
from pipeline.sources import SOURCES, source
from sandbox.day import DBT_DAG
from tests.builders.running_pipeline import Pipeline, days_ago
from warehouse import open_warehouse

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(900)]

STACK = "gate only"
FORWARDS = [days_ago(number) for number in (34, 33, 32, 31, 30)]
BACKWARDS = [days_ago(number) for number in (39, 38, 37, 36, 35)]


def backfill(pipeline: Pipeline, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m operations backfill` as elsewhere, told Airflow's address and user only."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "-m", "operations", "backfill", *arguments],
        env={**keep, **pipeline.stack.api_settings(), "ECOMMERCE_ENV_FILE": os.devnull},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=600,
    )


def runs_of_the_backfill(
    pipeline: Pipeline, dag_id: str, days: Iterable[date]
) -> list[dict[str, str]]:
    """Runs of a source for these days, in the order in which they began."""
    keys = {day.isoformat() for day in days}
    runs = [
        run
        for run in pipeline.api.runs(dag_id)
        if run["partition_key"] in keys and run["run_type"] == "backfill"
    ]
    return sorted(runs, key=lambda run: run["start_date"])


def overlap(one: dict[str, str], other: dict[str, str]) -> bool:
    start, end = (
        max(one["start_date"], other["start_date"]),
        min(one["end_date"], other["end_date"]),
    )
    return datetime.fromisoformat(start) < datetime.fromisoformat(end)


@pytest.mark.parametrize(
    ("days", "more"), [(FORWARDS, ()), (BACKWARDS, ("--backwards",))], ids=["forwards", "backwards"]
)
def test_five_days_of_all_six_sources_are_five_days(
    pipeline: Pipeline, days: list[date], more: tuple[str, ...]
) -> None:
    done = backfill(pipeline, "all", "--from", str(days[0]), "--to", str(days[-1]), *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-5:] == [f"{day}  6 of 6 loaded; dbt: success" for day in days]

    pipeline.assert_dbt_ran(1, days)
    for day in days:
        pipeline.assert_built_from_its_own_loads(day)

    in_order = [day.isoformat() for day in (reversed(days) if more else days)]
    for known in SOURCES:
        runs = runs_of_the_backfill(pipeline, known.dag_id, days)
        assert [run["partition_key"] for run in runs] == in_order, known.name
        # Several days at a time, although a scheduled run never overlaps with another.
        assert any(overlap(one, other) for one, other in combinations(runs, 2)), known.name


def test_one_source_over_days_that_are_built_has_each_of_them_built_once_more(
    pipeline: Pipeline,
) -> None:
    days = FORWARDS
    for day in days:
        pipeline.await_dbt(day)
    loads_before = {
        record.load_id
        for day in days
        for record in open_warehouse().load_records(day)
        if record.source == "orders"
    }

    done = backfill(pipeline, "orders", "--from", str(days[0]), "--to", str(days[-1]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-5:] == [f"{day}  1 of 1 loaded; dbt: success" for day in days]
    pipeline.assert_dbt_ran(2, days)

    loads = {
        record.load_id
        for day in days
        for record in open_warehouse().load_records(day)
        if record.source == "orders"
    }
    assert len(loads - loads_before) == len(days)
    for day in days:
        pipeline.assert_built_from_its_own_loads(day)


def test_one_source_over_days_that_lack_the_others_waits_for_them(pipeline: Pipeline) -> None:
    day = days_ago(40)
    done = backfill(pipeline, "products", "--from", str(day))
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        0,
        f"{day}  1 of 1 loaded; dbt waits for the other sources of the day",
    )
    assert (pipeline.dbt_runs(day), pipeline.pending(day)) == ([], 1)


def test_a_backfill_that_failed_says_so_and_can_be_repeated(pipeline: Pipeline) -> None:
    day = days_ago(41)
    with pipeline.shop_unavailable():
        failed = backfill(pipeline, "orders", "--from", str(day))
    assert (failed.returncode, failed.stdout.splitlines()[-1]) == (
        1,
        f"{day}  0 of 1 loaded, failed: orders; dbt waits for the other sources of the day",
    )
    assert backfill(pipeline, "orders", "--from", str(day)).returncode == 0


def test_what_would_lose_days_or_wait_for_ever_is_refused(pipeline: Pipeline) -> None:
    day = str(days_ago(42))
    pipeline.api.pause(DBT_DAG, True)
    try:
        refused = backfill(pipeline, "all", "--from", day)
    finally:
        pipeline.api.pause(DBT_DAG, False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.strip() == (
        f"The DAG {DBT_DAG} is paused: what is announced while it is paused is lost. Unpause it "
        "first."
    )

    pipeline.set_pool(2)
    try:
        refused = backfill(pipeline, "all", "--from", day)
    finally:
        pipeline.set_pool(1)
    assert refused.returncode == 2
    assert (
        "has 2 slots instead of 1" in refused.stderr
        and "airflow pools set publish 1" in refused.stderr
    )

    with pipeline.table_locked("products"):
        assert backfill(pipeline, "products", "--from", day, "--no-wait").returncode == 0
        refused = backfill(pipeline, "products", "--from", day)
    assert refused.returncode == 2
    assert f"A back-fill of products from {day} to {day} is under way" in refused.stderr
    assert {
        run["run_type"]
        for run in pipeline.api.runs(source("orders").dag_id)
        if run["partition_key"] == day
    } == set()
