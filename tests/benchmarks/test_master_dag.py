"""The one DAG that the small DAGs are measured against is the original design's, task by task."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronPartitionTimetable

from benchmarks.scheduling import dags_with_master
from benchmarks.scheduling_forms import MASTER_DAG, ONE_DAG, SMALL_DAGS, Day, Task

EXTRACTIONS = {
    "extract_postgres_orders",
    "extract_postgres_customers",
    "extract_postgres_products",
    "extract_postgres_order_items",
    "extract_stripe_charges",
    "load_csv_marketing",
}
IN_A_ROW = [
    "all_extractions_complete",
    "dbt_run_staging",
    "dbt_run_intermediate",
    "dbt_run_marts",
    "dbt_test_all",
    "notify_success",
]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> DagBag:
    folder = dags_with_master(tmp_path_factory.mktemp("benchmark") / "dags")
    return DagBag(dag_folder=str(folder), bundle_path=folder, bundle_name="dags-folder")


@pytest.fixture
def master(bag: DagBag) -> Any:
    assert bag.import_errors == {}
    return bag.dags[MASTER_DAG]


def test_six_extractions_side_by_side_then_a_gate_then_dbt_and_the_notification_in_a_row(
    master: Any,
) -> None:
    assert set(master.task_dict) == EXTRACTIONS | set(IN_A_ROW)
    for task_id in EXTRACTIONS:
        assert master.task_dict[task_id].upstream_task_ids == set()
        assert master.task_dict[task_id].downstream_task_ids == {"all_extractions_complete"}
    for before, after in zip(IN_A_ROW, [*IN_A_ROW[1:], None], strict=True):
        assert master.task_dict[before].downstream_task_ids == ({after} if after else set())


def test_it_runs_daily_at_six_one_run_at_a_time(master: Any) -> None:
    assert isinstance(master.timetable, CronPartitionTimetable)
    assert master.timetable.expression == "0 6 * * *"
    assert (master.max_active_runs, master.catchup) == (1, False)


def test_retries_and_delays_are_those_of_the_original_design(master: Any) -> None:
    of = {task_id: (task.retries, task.retry_delay) for task_id, task in master.task_dict.items()}
    often, once = (2, timedelta(minutes=5)), (1, timedelta(minutes=3))
    assert {of[task_id] for task_id in EXTRACTIONS} == {often}
    assert {of[f"dbt_run_{layer}"] for layer in ("staging", "intermediate", "marts")} == {often}
    assert of["dbt_test_all"] == once
    assert of["notify_success"][0] == 0


def test_the_gate_starts_no_process_and_every_other_task_reports_its_failure(master: Any) -> None:
    gate = master.task_dict["all_extractions_complete"]
    assert gate.inherits_from_empty_operator
    assert not (gate.has_on_execute_callback or gate.has_on_success_callback or gate.outlets)
    assert all(task.has_on_failure_callback for task in master.task_dict.values())


def test_it_announces_nothing_so_that_no_small_dag_runs_by_it(master: Any) -> None:
    assert not any(task.outlets for task in master.task_dict.values())


def test_each_form_has_the_dags_it_is_started_and_repaired_by(bag: DagBag) -> None:
    assert set(SMALL_DAGS.dags) | set(ONE_DAG.dags) <= set(bag.dags)
    assert SMALL_DAGS.dag_of("load_csv_marketing") == "load_csv_marketing"
    assert ONE_DAG.dag_of("load_csv_marketing") == MASTER_DAG


def test_a_day_is_told_step_by_step_and_only_processes_count_as_starts() -> None:
    day = Day(
        seconds=10.0,
        triggered=0.2,
        publishing=0.5,
        tasks=(
            Task(MASTER_DAG, "extract_postgres_orders", 0.5, 3.0, True),
            Task(MASTER_DAG, "load_csv_marketing", 1.0, 2.0, True),
            Task(MASTER_DAG, "all_extractions_complete", 3.2, 3.2, False),
            Task(MASTER_DAG, "dbt_run_staging", 3.5, 6.0, True),
            Task(MASTER_DAG, "notify_success", 8.0, 9.5, True),
        ),
    )
    assert day.starts == 4
    assert day.phases() == {
        "trigger": (0.0, 0.2),
        "loads": (0.3, 2.5),
        "dbt_run_staging": (0.5, 2.5),
        "notify_success": (2.0, 1.5),
        "message": (0.5, 0.0),
    }
