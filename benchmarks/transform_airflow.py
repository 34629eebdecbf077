"""dbt's part of a day on a real Airflow: against a cold `dbt build`, and against cosmos.

    python -m benchmarks.transform_airflow [--scale 1] [--rounds 3] [--contenders ours
    cosmos_watcher cosmos_local]

All contenders run the same project on copies of the same warehouse: the day before is built, the
day is loaded and not yet built. Unit tests are about the code and run in none of them; all other
tests run in all of them. The shell builds come first, before Airflow is started, and of each
contender but LOCAL, which runs once, the fastest of its rounds counts.

- shell: the wall time of one process `dbt build`, with an empty target folder.
- ours: from the start of `ecommerce_dbt`'s run to the end of `publish_marts`: the gate, the
    freshness of the sources, three layers, all tests, the publication.
- cosmos: from the start of the run to the end of its last task. Freshness and publication are not
  in it.

Everything runs in an environment of its own, made from ``benchmarks/transform_requirements.txt`` on
the first run.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.report import ratio
from benchmarks.transform_warehouse import (
    COSMOS_DAGS,
    ENVIRONMENT,
    dbt,
    figures,
    fill,
    load,
    prepare_environment,
    restore,
)
from pipeline.days import current_day
from pipeline.settings import PROJECT
from sandbox.day import DBT_DAG, DBT_TASKS
from sandbox.layout import Layout
from sandbox.stack import Stack

RUN_TIMEOUT_SECONDS = 1500
LOOK_SECONDS = 0.5
COUNTED = DBT_TASKS[: DBT_TASKS.index("publish_marts") + 1]


@dataclass(frozen=True)
class Run:
    """One run on Airflow: seconds to the end of the last task that counts, and of each task."""

    seconds: float
    tasks: dict[str, float]


def run_on_airflow(
    stack: Stack, dag_id: str, day: date | None = None, counted: tuple[str, ...] = ()
) -> Run:
    """Trigger a run and await its tasks; ends the benchmark with the log's end if one failed."""
    api = stack.api
    run_id = api.trigger(dag_id, day.isoformat() if day else None)
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    while (run := api.run(dag_id, run_id))["state"] not in ("success", "failed"):
        if time.monotonic() > deadline:
            raise SystemExit(f"{dag_id} did not end within {RUN_TIMEOUT_SECONDS} seconds.")
        time.sleep(LOOK_SECONDS)
    tasks = api.task_instances(dag_id, run_id)
    for task in tasks:
        if task["state"] not in ("success", "skipped"):
            lines = "\n".join(
                api.log(dag_id, run_id, task["task_id"], max(1, task["try_number"]))[-25:]
            )
            raise SystemExit(f"{dag_id}.{task['task_id']} is {task['state']}:\n{lines}")
    ours = [
        task for task in tasks if task["end_date"] and (not counted or task["task_id"] in counted)
    ]
    end = max(datetime.fromisoformat(task["end_date"]) for task in ours)
    seconds = (end - datetime.fromisoformat(run["start_date"])).total_seconds()
    return Run(seconds, {task["task_id"]: round(task["duration"] or 0, 2) for task in ours})


def shell_build(stack: Stack, folder: Path) -> float:
    target = Path(tempfile.mkdtemp(dir=folder))
    started = time.perf_counter()
    dbt(stack, target, "build", "--exclude-resource-type", "unit_test")
    return time.perf_counter() - started


def repeated(
    name: str, rounds: int, stack: Stack, base: Path, run: Callable[[], float]
) -> tuple[float, Any]:
    """The fastest of the rounds, each on a fresh copy of the warehouse, with its marts' figures."""
    seconds = []
    for _ in range(rounds):
        restore(stack.layout.warehouse, base)
        seconds.append(run())
        print(f"{name:16} {seconds[-1]:7.1f} s", flush=True)
    return min(seconds), figures(stack.layout.warehouse)


def compare(stack: Stack, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    day, base = current_day(), folder / "base"
    stack.start_stand_ins(print)
    fill(stack, options.scale)
    load(stack, day - timedelta(days=1))
    dbt(stack, folder / "first", "build", "--exclude-resource-type", "unit_test")
    load(stack, day)
    shutil.copytree(stack.layout.warehouse, base)
    best: dict[str, float] = {}
    best["shell"], expected = repeated(
        "shell dbt build", options.rounds, stack, base, lambda: shell_build(stack, folder)
    )

    def of_airflow(dag_id: str, day: date | None = None, counted: tuple[str, ...] = ()) -> float:
        run = run_on_airflow(stack, dag_id, day, counted)
        slowest = sorted(run.tasks.items(), key=lambda task: -task[1])[:8]
        print(
            f"  {len(run.tasks)} tasks: "
            f"{', '.join(f'{name} {seconds} s' for name, seconds in slowest)}",
            flush=True,
        )
        return run.seconds

    contenders = {
        "ours": (options.rounds, lambda: of_airflow(DBT_DAG, day, COUNTED)),
        "cosmos_watcher": (min(options.rounds, 2), lambda: of_airflow("cosmos_watcher")),
        "cosmos_local": (1, lambda: of_airflow("cosmos_local")),
    }
    stack.start_airflow(print)
    for name in (name for name in contenders if name in options.contenders):
        if name != "ours" and not (folder / "dags" / "cosmos_project.py").exists():
            # Only now: reading cosmos's DAG files keeps the processor busy, and ours runs in an
            # Airflow without them.
            dbt(stack, folder / "cosmos", "parse")
            shutil.copytree(COSMOS_DAGS, folder / "dags", dirs_exist_ok=True)
            while not {"cosmos_local", "cosmos_watcher"} <= stack.api.dag_ids():
                time.sleep(LOOK_SECONDS)
        rounds, run = contenders[name]
        best[name], made = repeated(name, rounds, stack, base, run)
        if made != expected:
            raise SystemExit(
                f"{name} built other marts than the shell: {made} instead of {expected}"
            )
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--contenders",
        nargs="*",
        default=["ours", "cosmos_watcher", "cosmos_local"],
        help="the shell always runs",
    )
    options = parser.parse_args()
    if Path(sys.prefix).resolve() != ENVIRONMENT.resolve():
        python = prepare_environment()
        os.chdir(PROJECT)
        sys.stdout.flush()
        os.execv(python, [str(python), "-m", "benchmarks.transform_airflow", *sys.argv[1:]])
    print(
        f"python {platform.python_version()}, {os.cpu_count()} cores, SCALE={options.scale:g}, "
        + ", ".join(
            f"{name} {version(name)}"
            for name in ("apache-airflow", "dbt-core", "duckdb", "astronomer-cosmos")
        ),
        flush=True,
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(
            PROJECT / "dags", folder / "dags", ignore=shutil.ignore_patterns("__pycache__")
        )
        settings = {
            "BENCHMARK_PROJECT": str(PROJECT / "dbt_ecommerce"),
            "BENCHMARK_MANIFEST": str(folder / "cosmos/manifest.json"),
        }
        stack = Stack(Layout(folder / "sandbox"), dags=folder / "dags", extra_env=settings)
        try:
            best = compare(stack, folder, options)
        finally:
            stack.stop(print)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}", flush=True)
    if "ours" in best:
        ratio("transform_day_vs_cold_build", best["ours"] / best["shell"], "<=", 1.1)
        if "cosmos_local" in best:
            ratio("transform_vs_cosmos_local", best["cosmos_local"] / best["ours"], ">=", 8)
        if "cosmos_watcher" in best:
            ratio("transform_vs_cosmos_watcher", best["cosmos_watcher"] / best["ours"], ">=", 2)


if __name__ == "__main__":
    main()
