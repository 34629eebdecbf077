"""What the DAG files promise, read from the DAGs themselves, without a scheduler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import CronPartitionTimetable, CronTriggerTimetable, PartitionedAssetTimetable

from pipeline.settings import PROJECT, settings
from pipeline.sources import SOURCES
from wiring.datasets import MARTS, PUBLISH_POOL, RAW_DATASETS

DAGS = PROJECT / "dags"
LAYERS = ["dbt_run_staging", "dbt_run_intermediate", "dbt_run_marts"]


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags-folder")


def test_every_dag_file_imports(bag: DagBag) -> None:
    assert bag.import_errors == {}
    expected = {source.dag_id for source in SOURCES} | {
        "ecommerce_dbt",
        "ecommerce_sla_monitor",
        "rebuild_day",
        "reconcile_sources",
    }
    assert set(bag.dags) == expected
    assert {path.stem for path in DAGS.glob("*.py")} == expected


def test_every_dag_says_what_to_do_at_night(bag: DagBag) -> None:
    for dag in bag.dags.values():
        for section in ("What it does", "When it fails", "Who cares"):
            assert section in (dag.doc_md or ""), f"{dag.dag_id} does not say: {section}"


def test_a_source_loads_its_day_at_six_and_announces_it_through_the_pool_of_one_slot(
    bag: DagBag,
) -> None:
    for source, dataset in zip(SOURCES, RAW_DATASETS, strict=True):
        dag = bag.dags[source.dag_id]
        assert isinstance(dag.timetable, CronPartitionTimetable)
        assert (dag.timetable.expression, dag.timetable.key_format) == ("0 6 * * *", "%Y-%m-%d")
        load, publish = dag.task_dict[source.dag_id], dag.task_dict["publish"]
        assert load.pool != PUBLISH_POOL
        assert load.downstream_task_ids == {"publish", "rebuild_marts"}
        assert publish.pool == PUBLISH_POOL
        assert [asset.uri for asset in publish.outlets] == [dataset.uri]
        # A correction skips `publish`; a failed `publish` fails its run, because a leaf follows it.
        rebuild = dag.task_dict["rebuild_marts"]
        assert (rebuild.trigger_rule, rebuild.downstream_task_ids) == ("none_failed", set())
        assert "publish" in rebuild.upstream_task_ids


def test_the_assets_view_groups_raw_datasets_and_marts() -> None:
    assert {(asset.name, asset.group) for asset in (*RAW_DATASETS, MARTS)} == {
        *((f"raw_{source.name}", "raw") for source in SOURCES),
        ("published_marts", "analytics"),
    }


def test_a_table_is_read_in_parts_only_if_a_setting_names_it(
    bag: DagBag, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert all("plan_parts" not in dag.task_dict for dag in bag.dags.values())
    monkeypatch.setenv("POSTGRES_SPLIT_TABLES", "orders, order_items")
    settings.cache_clear()
    try:
        split = DagBag(dag_folder=str(DAGS), bundle_path=DAGS, bundle_name="dags-folder")
    finally:
        settings.cache_clear()
    assert split.import_errors == {}
    in_parts = {dag_id for dag_id, dag in split.dags.items() if "plan_parts" in dag.task_dict}
    assert in_parts == {"extract_postgres_orders", "extract_postgres_order_items"}
    dag = split.dags["extract_postgres_orders"]
    assert dag.task_dict["extract_part"].is_mapped
    assert dag.task_dict["plan_parts"].downstream_task_ids == {
        "extract_part",
        "extract_postgres_orders",
    }
    assert dag.task_dict["extract_part"].downstream_task_ids == {"extract_postgres_orders"}
    assert "publish" in dag.task_dict["extract_postgres_orders"].downstream_task_ids
    assert all(task.has_on_failure_callback and task.has_on_retry_callback for task in dag.tasks)


def test_every_source_is_reconciled_by_a_task_of_its_own_on_sundays(bag: DagBag) -> None:
    dag = bag.dags["reconcile_sources"]
    assert isinstance(dag.timetable, CronTriggerTimetable)
    assert dag.timetable.expression == "0 3 * * 0"
    assert dag.params["repair"] is False
    for source in SOURCES:
        task = dag.task_dict[f"reconcile_{source.name}"]
        assert task.upstream_task_ids == set()
        # `done` fails with it, the others go on.
        assert task.downstream_task_ids == {"days_to_rebuild", "done"}
    assert dag.task_dict["days_to_rebuild"].trigger_rule == "all_done"
    assert dag.task_dict["build_day"].upstream_task_ids == {"days_to_rebuild"}


def test_no_dag_catches_up_or_overlaps_with_itself(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert (dag.catchup, dag.max_active_runs) == (False, 1), dag.dag_id
        assert not any(task.depends_on_past for task in dag.tasks), dag.dag_id


def test_dbt_waits_for_all_six_and_runs_its_tasks_in_a_row(bag: DagBag) -> None:
    dag = bag.dags["ecommerce_dbt"]
    assert isinstance(dag.timetable, PartitionedAssetTimetable)
    assert {asset.uri for asset in dag.timetable.asset_condition.objects} == {
        asset.uri for asset in RAW_DATASETS
    }
    row = ["all_extractions_complete", *LAYERS, "dbt_test_all", "publish_marts", "notify_success"]
    assert [task.task_id for task in dag.topological_sort()] == row
    assert [asset.uri for asset in dag.task_dict["publish_marts"].outlets] == [MARTS.uri]


def test_every_task_alerts_when_it_fails_and_when_it_will_be_tried_again(bag: DagBag) -> None:
    for dag in bag.dags.values():
        assert dag.has_on_failure_callback, dag.dag_id
        for task in dag.tasks:
            assert task.has_on_failure_callback, f"{dag.dag_id}.{task.task_id}"
            assert task.has_on_retry_callback, f"{dag.dag_id}.{task.task_id}"


def test_drawing_a_dag_loads_nothing_heavy() -> None:
    heavy = ("pandas", "pyarrow", "dbt", "duckdb", "snowflake", "stripe", "psycopg2", "numpy")
    code = "; ".join(
        [
            "import sys, importlib",
            *(f"importlib.import_module({path.stem!r})" for path in sorted(DAGS.glob("*.py"))),
            f"print([name for name in {heavy!r} if name in sys.modules])",
        ]
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(DAGS)])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=Path("/"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
