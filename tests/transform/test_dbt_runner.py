"""dbt in our processes: the parsed project is kept and never stale, and nothing is left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from importlib import import_module
from importlib.metadata import version
from inspect import signature
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest
from dbt_common.events.event_manager import EventManager

import transform
from transform.dbt_runner import MADE_FOR, parse
from transform.project import project

if TYPE_CHECKING:
    from tests.builders.tiny_project import Shop

DAY = date(2026, 11, 22)

TOUCHED = (  # what transform/dbt_runner.py uses of dbt beside its documented dbtRunner
    "dbt.mp_context:_MP_CONTEXT",
    "dbt_common.events.event_manager_client:ctx_set_event_manager",
    "dbt_common.events.event_manager:EventManager.fire_event",
    "dbt.adapters.duckdb.connections:DuckDBConnectionManager._ENV",
    "dbt.adapters.duckdb.connections:DuckDBConnectionManager.close_all_connections",
    "dbt.adapters.duckdb.environments:Environment.close",
)
LOOK_AT = f"""
transform/dbt_runner.py reaches into dbt, and another dbt is installed than it was made for. Look in
the new one at each of {", ".join(TOUCHED)}: what it does and who uses it. Run the rest of this file
and tests/transform/test_steps.py, then write the new version into MADE_FOR."""


def test_dbt_s_insides_are_those_the_runner_was_made_for() -> None:
    assert {name: version(name).rpartition(".")[0] for name in MADE_FOR} == MADE_FOR, LOOK_AT
    for touched in TOUCHED:
        module, _, name = touched.partition(":")
        try:
            attrgetter(name)(import_module(module))
        except (ImportError, AttributeError) as error:
            pytest.fail(f"{touched}: {error}.{LOOK_AT}")
    parameters = list(signature(EventManager.fire_event).parameters)
    assert parameters[1:] == ["e", "level", "node", "force_warn_or_error_handling"], LOOK_AT


def test_dbt_s_locks_are_those_of_threads() -> None:
    """In a new process: here, another test may have imported dbt before the runner could."""
    code = """
import threading
from transform.dbt_runner import _use_thread_locks
_use_thread_locks()
from dbt.contracts.graph.manifest import Manifest
assert isinstance(Manifest()._lock, type(threading.Lock()))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unchanged_project_is_parsed_once(shop: Shop) -> None:
    here = project(**shop.settings())
    assert parse(here) is parse(here)


@pytest.mark.parametrize("change", ["edited", "added", "removed", "profile", "environment"])
def test_a_changed_project_is_parsed_again(
    shop: Shop, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = project(**shop.settings())
    before = parse(here)
    if change == "edited":
        # Same size.
        shop.write(
            "models/marts/helper.sql", "{{ config(meta={'published': false}) }} select 2 as one"
        )
    elif change == "added":
        shop.write("models/marts/fct_new.sql", "select 1 as one")
    elif change == "removed":
        (shop.dbt.project_dir / "models/marts/fct_totals.sql").unlink()
    elif change == "profile":
        shop.write(
            "profiles.yml", (shop.dbt.project_dir / "profiles.yml").read_text() + "# touched\n"
        )
    else:
        monkeypatch.setenv("DBT_SOME_VARIABLE", "new")
    assert parse(here) is not before


def test_an_edit_between_two_runs_of_one_process_takes_effect(shop: Shop) -> None:
    transform.run_layer("staging", DAY, **shop.settings())
    transform.run_layer("intermediate", DAY, **shop.settings())
    shop.write(
        "models/intermediate/int_orders.sql",
        "select *, 'edited' as label from {{ ref('stg_orders') }} limit 2",
    )
    assert transform.run_layer("intermediate", DAY, **shop.settings()).models[0].rows == 2
    assert shop.query("select distinct label from ecommerce_analytics.intermediate.int_orders") == [
        ("edited",)
    ]


def test_dbt_leaves_the_environment_as_it_was(shop: Shop) -> None:
    before = dict(os.environ)
    parse(project(**shop.settings()))
    assert dict(os.environ) == before


def test_target_and_logs_can_be_elsewhere(shop: Shop) -> None:
    elsewhere = shop.dbt.model_copy(
        update={
            "target_path": shop.warehouse.duckdb_dir / "target",
            "log_path": shop.warehouse.duckdb_dir / "logs",
        }
    )
    transform.run_layer("staging", DAY, dbt=elsewhere, warehouse=shop.warehouse)
    assert (shop.warehouse.duckdb_dir / "target" / "partial_parse.msgpack").exists()
    assert not (shop.dbt.project_dir / "target").exists()
    assert not (shop.dbt.project_dir / "logs").exists()


PRELOADING = "from transform.dbt_runner import preload; preload()"

FORKED = """
import json, multiprocessing, os, sys

def layer():
    from datetime import date
    import transform
    from transform import dbt_runner
    built = transform.run_layer("staging", date(2026, 11, 22))
    names = sorted(model.name for model in built.models)
    inherited = len(dbt_runner._parsed) > 0
    print(json.dumps({"inherited": inherited, "models": names}), flush=True)

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloading"])
    for edit in (None, sys.argv[1]):
        if edit:
            with open(edit, "w") as file:
                file.write("select order_id from {{ source('postgres', 'raw_orders') }}")
        process = context.Process(target=layer)
        process.start()
        process.join()
        assert process.exitcode == 0
"""


def from_a_forkserver(shop: Shop, script: str, *arguments: str) -> str:
    """What a program prints whose processes are forked from one that has preloaded the project."""
    folder = shop.warehouse.duckdb_dir
    (folder / "preloading.py").write_text(PRELOADING)
    (folder / "program.py").write_text(script)
    environment = os.environ | {
        "WAREHOUSE_DUCKDB_DIR": str(folder),
        "DBT_PROJECT_DIR": str(shop.dbt.project_dir),
        "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
    }
    done = subprocess.run(
        [sys.executable, str(folder / "program.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_forked_process_inherits_the_project_and_still_sees_an_edit(shop: Shop) -> None:
    new = shop.dbt.project_dir / "models" / "staging" / "stg_new.sql"
    said = from_a_forkserver(shop, FORKED, str(new))
    first, second = (json.loads(line) for line in said.splitlines() if line.startswith("{"))
    assert first == {"inherited": True, "models": ["labels", "stg_orders"]}
    assert second == {"inherited": True, "models": ["labels", "stg_new", "stg_orders"]}


TASK = """
import multiprocessing, os, re
from pathlib import Path

def semaphores():
    "Inode numbers of the named semaphores that this process maps: its own and inherited ones."
    return set(re.findall(r"(\\d+) +/dev/shm/sem", Path("/proc/self/maps").read_text()))

def task():
    from datetime import date
    import transform
    transform.run_layer("staging", date(2026, 11, 22))
    of_dbt = semaphores()
    lock = multiprocessing.get_context("spawn").RLock()
    print("semaphores", *of_dbt, "control", *semaphores() - of_dbt, flush=True)
    os._exit(0)  # as Airflow ends a task: nobody clears up

if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["preloading"])
    process = context.Process(target=task)
    process.start()
    process.join()
    assert process.exitcode == 0
    print("files", *(file.stat().st_ino for file in Path("/dev/shm").glob("sem.mp-*")))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the semaphores of a process")
def test_a_task_that_ends_abruptly_leaves_no_semaphore_behind(shop: Shop) -> None:
    lines = from_a_forkserver(shop, TASK).splitlines()
    said = {line.split()[0]: line for line in lines if line.startswith(("semaphores", "files"))}
    of_dbt, control = said["semaphores"].removeprefix("semaphores").split("control")
    files = set(said["files"].split())
    assert len(files.intersection(control.split())) == 1, (
        "a lock between processes leaves its file, and the test sees it"
    )
    assert files.intersection(of_dbt.split()) == set()


def test_a_project_that_is_not_there_says_which_setting_names_it(shop: Shop) -> None:
    nowhere = shop.dbt.model_copy(update={"project_dir": shop.dbt.project_dir / "nowhere"})
    with pytest.raises(transform.ProjectError, match="DBT_PROJECT_DIR"):
        parse(project(nowhere, shop.warehouse))


def test_duckdb_is_rid_of_deleted_rows_on_sundays_only(shop: Shop) -> None:
    profile = shop.dbt.project_dir / "profiles.yml"
    tasks_of_environment = "{{ env_var('ECOMMERCE_VACUUM_TASKS', '100') | as_number }}"
    setting = f'      settings: {{max_vacuum_tasks: "{tasks_of_environment}"}}\n'
    profile.write_text(profile.read_text().rstrip("\n") + "\n" + setting)
    shop.write(
        "models/staging/tasks.sql",
        "{{ config(materialized='table') }} select current_setting('max_vacuum_tasks') as tasks",
    )
    tasks = {}
    for day in (date(2026, 11, 21), date(2026, 11, 22), date(2026, 11, 23)):
        transform.run_layer("staging", day, **shop.settings())
        tasks[f"{day:%A}"] = shop.query("select tasks from ecommerce_staging.staging.tasks")[0][0]
    assert tasks == {"Saturday": 0, "Sunday": 100, "Monday": 0}
