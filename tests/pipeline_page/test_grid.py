"""What a cell of the grid says, from the runs of its day; and what is said of it in sentences."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from alerting.incidents import Incident
from alerting.store import Reported
from pipeline.sources import SOURCES
from pipeline_page.attention import Action, action_of, what_needs_me
from pipeline_page.grid import Grid, draw
from pipeline_page.metadata import DBT_DAG, DBT_TASKS, GATE, PUBLISH, TEST, TaskRun

TODAY = date(2026, 11, 22)
DAG_OF = {source.name: source.dag_id for source in SOURCES}
EVERY = tuple(DAG_OF)


def at(minutes: float, day: date = TODAY) -> datetime:
    """So many minutes after 06:00 UTC of the day."""
    return datetime(day.year, day.month, day.day, 6) + timedelta(minutes=minutes)


def now(minutes: float) -> datetime:
    return at(minutes).replace(tzinfo=UTC)


def load(
    name: str,
    day: date = TODAY,
    state: str | None = "success",
    begin: float = 0,
    took: float = 0.1,
    **more: Any,
) -> TaskRun:
    known: dict[str, Any] = {
        "run_type": "scheduled", "try_number": 1, "tries": 3,
        "run_state": {"success": "success", "failed": "failed"}.get(state or "", "running"),
        "result": {"rows": more.pop("rows", 100)} if state == "success" else None,
    }  # fmt: skip
    over = state in ("success", "failed")
    return TaskRun(
        dag_id=DAG_OF[name], run_id=f"{name}{day}{begin}", task_id=DAG_OF[name], day=day,
        run_started=at(begin, day), state=state,
        started=at(begin, day), ended=at(begin + took, day) if over else None, **{**known, **more},
    )  # fmt: skip


def dbt(
    day: date = TODAY, begin: float = 1, failing: str | None = None, took: float = 0.1
) -> list[TaskRun]:
    runs, failed = [], False
    for task_id in (GATE, *DBT_TASKS):
        state = "upstream_failed" if failed else "failed" if task_id == failing else "success"
        failed = failed or state == "failed"
        runs.append(
            TaskRun(
                dag_id=DBT_DAG, run_id=f"dbt{day}{begin}", task_id=task_id, day=day,
                run_type="asset_triggered",
                run_state="failed" if failing else "success", run_started=at(begin, day),
                state=state, try_number=1, tries=2 if task_id == TEST else 3,
                started=at(begin, day), ended=at(begin + took, day),
                result={"passed": 1, "warned": 0, "total": 1} if state == "success" else None,
            )
        )  # fmt: skip
    return runs


def grid(
    *runs: TaskRun,
    minutes: float = 60,
    days: int = 2,
    first: date | None = TODAY - timedelta(days=1),
) -> Grid:
    return draw(runs, first, now(minutes), days)


def whole(day: date = TODAY, **more: Any) -> list[TaskRun]:
    return [load(name, day, **more) for name in EVERY]


def state(drawn: Grid, row: str, day: date = TODAY) -> str:
    cell = drawn.cell(row, day)
    assert cell is not None
    return cell.state


def test_a_day_that_went_well_is_done_from_the_first_source_to_the_publication() -> None:
    drawn = grid(*whole(), *dbt(), days=1)
    assert {cell.state for cell in drawn.of_day(TODAY)} == {"done"}
    assert what_needs_me(drawn, {}) == []


def test_a_correction_that_another_build_has_read_hides_nothing() -> None:
    """Its run of dbt was skipped at the gate, and everything after it with it."""
    idle = [replace(run, state="skipped", result=None) for run in dbt(begin=5)]
    drawn = grid(*whole(), *dbt(), *idle, days=1)
    assert {cell.state for cell in drawn.of_day(TODAY)} == {"done"}


def test_before_the_first_day_there_is_no_gap() -> None:
    drawn = draw([*whole(), *dbt()], TODAY, now(60), 3)
    assert {cell.state for cell in drawn.of_day(TODAY - timedelta(days=1))} == {"before"}
    assert {cell.state for cell in draw([], None, now(60), 3).of_day(TODAY)} == {"before"}
    assert what_needs_me(drawn, {}) == []


def test_today_counts_down_until_its_sla_and_is_missing_after_it() -> None:
    early, late = grid(minutes=2, days=1), grid(minutes=11, days=1)
    cell = early.cell("orders", TODAY)
    assert cell is not None and (cell.state, cell.until) == ("due", at(10))
    assert state(late, "orders") == "missing" and state(late, PUBLISH) == "missing"


def test_a_day_that_never_happened_says_so_and_offers_to_back_fill_it() -> None:
    yesterday = TODAY - timedelta(days=1)
    drawn = grid(*whole(), *dbt())
    assert {cell.state for cell in drawn.of_day(yesterday)} == {"missing"}
    (sentence,) = what_needs_me(drawn, {})
    assert sentence.text == "2026-11-21 never happened: none of the six sources has a run for it."
    assert sentence.action == Action("backfill", yesterday) and len(sentence.action.dag_ids) == 6


@pytest.mark.parametrize(
    ("airflow", "minutes", "expected"),
    [
        ("running", 5, "running"),
        ("queued", 5, "running"),
        (None, 5, "running"),
        ("running", 12, "late"),
        ("up_for_retry", 5, "retrying"),
    ],
)
def test_a_load_under_way_is_told_apart(airflow: str | None, minutes: float, expected: str) -> None:
    drawn = grid(
        *[run for run in whole() if run.dag_id != DAG_OF["orders"]],
        load("orders", state=airflow),
        minutes=minutes,
    )
    assert state(drawn, "orders") == expected
    assert state(drawn, PUBLISH) == "waiting"


def test_a_failed_source_is_named_with_its_try_its_error_and_who_waits() -> None:
    five = [run for run in whole() if run.dag_id != DAG_OF["orders"]]
    drawn = grid(*five, load("orders", state="failed", try_number=3), days=1)
    (sentence,) = what_needs_me(
        drawn, {("2026-11-22", DAG_OF["orders"], DAG_OF["orders"]): Reported("connection refused.")}
    )
    assert sentence.text == (
        "orders failed for 2026-11-22 on try 3 of 3: connection refused; the other five are "
        "loaded. dbt waits for it."
    )
    assert sentence.action == Action("load", TODAY, ("orders",))


def test_a_load_after_the_build_makes_the_day_stale_until_it_is_rebuilt() -> None:
    again = load("charges", begin=30, run_type="manual")
    drawn = grid(*whole(), *dbt(), again, days=1)
    assert (state(drawn, "charges"), state(drawn, PUBLISH), state(drawn, "orders")) == (
        "stale",
        "stale",
        "done",
    )
    assert [sentence.action for sentence in what_needs_me(drawn, {})] == [Action("rebuild", TODAY)]
    assert state(grid(*whole(), *dbt(), again, *dbt(begin=40), days=1), PUBLISH) == "done"


def test_late_is_what_ended_after_its_sla_on_its_own_day_only() -> None:
    others = [run for run in whole() if run.dag_id != DAG_OF["orders"]]
    assert state(grid(*others, load("orders", took=12), minutes=600, days=1), "orders") == "late"
    assert (
        state(
            grid(*others, load("orders", took=12, run_type="backfill"), minutes=600, days=1),
            "orders",
        )
        == "done"
    )
    yesterday = TODAY - timedelta(days=1)
    caught_up = load("orders", yesterday, begin=0, took=26 * 60)
    assert state(grid(caught_up, minutes=600), "orders", yesterday) == "done"


def test_a_publication_after_half_past_six_is_late_unless_the_day_was_loaded_by_hand() -> None:
    assert state(grid(*whole(), *dbt(begin=40), days=1), PUBLISH) == "late"
    assert state(grid(*whole(run_type="manual"), *dbt(begin=40), days=1), PUBLISH) == "done"
    assert (
        state(grid(*whole(), *dbt(begin=2), *dbt(begin=300), minutes=600, days=1), PUBLISH)
        == "done"
    )


def test_dbt_that_never_began_is_missing_not_waiting() -> None:
    assert state(grid(*whole(), minutes=1, days=1), PUBLISH) == "waiting"
    drawn = grid(*whole(), minutes=20, days=1)
    assert state(drawn, PUBLISH) == "missing"
    (sentence,) = what_needs_me(drawn, {})
    assert sentence.text == "All six sources of 2026-11-22 are loaded, but dbt never began."
    assert sentence.action == Action("rebuild", TODAY)


def test_failed_tests_are_said_once_and_nothing_after_them_is_blamed() -> None:
    drawn = grid(*whole(), *dbt(failing=TEST), days=1)
    assert (state(drawn, TEST), state(drawn, PUBLISH), state(drawn, "dbt_run_marts")) == (
        "failed",
        "waiting",
        "done",
    )
    (sentence,) = what_needs_me(
        drawn, {("2026-11-22", DBT_DAG, TEST): Reported("3 tests failed: a, b, c")}
    )
    assert (
        sentence.text
        == "dbt_test_all failed for 2026-11-22 on try 1 of 2: 3 tests failed: a, b, c. "
        "Nothing was published for it."
    )


def test_an_unusual_number_of_rows_is_said_after_what_is_broken() -> None:
    days = [TODAY - timedelta(weeks=number) for number in range(9)]
    runs = [run for day in days for run in [*whole(day, rows=1000), *dbt(day)]]
    runs[
        runs.index(next(run for run in runs if run.day == TODAY and run.dag_id == DAG_OF["orders"]))
    ] = load("orders", rows=40)
    drawn = draw(runs, TODAY - timedelta(weeks=8), now(60), 57)
    said = [sentence.text for sentence in what_needs_me(drawn, {}) if sentence.day == TODAY]
    assert said == [
        "Far from what is usual on that weekday, 2026-11-22: orders brought 40 rows, usually about "
        "1,000."
    ]
    assert what_needs_me(drawn, {})[0].weight == "red", (
        "the days between, which never happened, come first"
    )


def test_an_action_says_whether_marts_are_rebuilt_by_it() -> None:
    built, unbuilt = grid(*whole(), *dbt(), days=1), grid(*whole(), minutes=20, days=1)
    for drawn, rebuilds in ((built, True), (unbuilt, False)):
        cell = drawn.cell("orders", TODAY)
        assert cell is not None
        assert action_of(drawn, cell) == Action("load", TODAY, ("orders",), rebuilds)
    running = grid(load("orders", state="running"), minutes=5, days=1).cell("orders", TODAY)
    assert running is not None and action_of(built, running) is None


def test_what_was_marked_success_by_hand_never_looks_loaded() -> None:
    marked = load("orders", result=None)
    drawn = grid(*[run for run in whole() if run.task_id != DAG_OF["orders"]], marked, days=1)
    assert state(drawn, "orders") == "failed"
    said = [sentence.text for sentence in what_needs_me(drawn, {})]
    assert said[0] == (
        f"orders of {TODAY} was marked success by hand: nothing was loaded. Clear it."
    )
    assert state(drawn, PUBLISH) == "late", "dbt waits for it"
    assert state(grid(*whole(), load("orders", begin=5, result=None), days=1), "orders") == "done"
    published = [replace(run, result=None) if run.task_id == PUBLISH else run for run in dbt()]
    assert state(grid(*whole(), *published, days=1), PUBLISH) == "failed"


def incident(*tasks: str, day: str | None = str(TODAY), title: str = "Error: x") -> Incident:
    return Incident(
        id=f"{day}|{title}", day=day, status="failure", title=title, dag_id="of the first task",
        opened_at=at(1), updated_at=at(2), closed_at=None, acknowledged_at=at(3),
        acknowledged_by="mia", snoozed_until=None, snoozed_by=None, thread=None, tasks=tasks,
    )  # fmt: skip


def test_what_fails_for_one_cause_is_one_entry_and_so_is_what_did_not_run() -> None:
    failing = ("orders", "customers")
    down = incident(*(f"{DAG_OF[name]}.{DAG_OF[name]}" for name in failing))
    failed = [load(name, state="failed", try_number=3) for name in failing]
    loaded = [load(name) for name in ("products", "order_items")]
    first, second = what_needs_me(grid(*failed, *loaded, days=1), {}, incidents=[down])
    assert first.text.startswith("orders, customers failed for 2026-11-22 on try 3 of 3; charges,")
    assert first.action and first.action.label == "Load 2 sources again"
    assert first.incident == down and down.handled_by == "acknowledged by mia at 06:03 UTC"
    assert second.text.startswith("charges, marketing did not run for 2026-11-22; orders,")
    assert second.action and second.action.label == "Load 2 sources"
    (stopped,) = what_needs_me(grid(load("orders", state="failed", try_number=3), days=1), {})
    assert stopped.text == (
        "2026-11-22: five sources did not run after orders failed on try 3 of 3. dbt waits for all "
        "six."
    )


def test_an_incident_of_which_the_grid_shows_nothing_stands_by_itself() -> None:
    odd = incident("rebuild_day.check_days", title="IncompleteDayError: it lacks orders")
    keyless = incident("ecommerce_dbt.all_extractions_complete", day=None, title="DayError: what?")
    said = what_needs_me(grid(*whole(), *dbt(), days=1), {}, incidents=[odd, keyless])
    assert [sentence.text for sentence in said] == [
        "2026-11-22: rebuild_day: IncompleteDayError: it lacks orders.",
        "ecommerce_dbt: DayError: what?.",
    ]
    assert said[0].runbook == "incompletedayerror"


def test_days_in_a_row_that_never_happened_are_one_entry() -> None:
    gap = [TODAY - timedelta(days=number) for number in (3, 2, 1)]
    before = TODAY - timedelta(days=4)
    runs = [*whole(before), *dbt(before), *whole(), *dbt()]
    (said,) = what_needs_me(draw(runs, before, now(60), 5), {})
    assert said.text.startswith(f"{gap[0]} to {gap[-1]} never happened")
    assert said.action == Action("backfill", gap[0], last=gap[-1])


def test_a_correction_that_fails_says_what_stays_published() -> None:
    drawn = grid(*whole(), *dbt(begin=2), *dbt(begin=600, failing=TEST), minutes=700, days=1)
    (said,) = what_needs_me(drawn, {})
    assert said.text.endswith("What was published at 2026-11-22 06:02 UTC stays.")


def test_tries_are_counted_from_when_the_task_was_cleared() -> None:
    five = [run for run in whole() if run.dag_id != DAG_OF["orders"]]
    drawn = grid(*five, load("orders", state="failed", try_number=4, tries=6), days=1)
    (said,) = what_needs_me(drawn, {})
    assert "on try 1 of 3 since it was cleared" in said.text


def test_a_held_day_says_why_and_asks_what_to_do() -> None:
    asking = {"state": "awaiting_input", "run_state": "running", "result": None}
    runs = [replace(run, **asking) if run.task_id == PUBLISH else run for run in dbt()]
    held = incident(f"{DBT_DAG}.{PUBLISH}", title="orders brought 0 rows, usually about 1,600")
    drawn = grid(*whole(), *runs, days=1)
    assert state(drawn, PUBLISH) == "waiting"
    (said,) = what_needs_me(drawn, {}, incidents=[held])
    assert said.text == (
        "2026-11-22 is built and held: orders brought 0 rows, usually about 1,600. Is it to be "
        "published?"
    )
    assert said.cell and said.cell.task and said.cell.task.asks
