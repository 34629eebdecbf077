"""Runs one day on the sandbox's Airflow: triggers the six sources and watches dbt follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from operations.airflow_api import AirflowApi, AirflowApiError
from pipeline.days import known_day
from pipeline.sources import SOURCES
from sandbox.layout import Layout
from sandbox.processes import LOG_LINES_SHOWN, SandboxError

DBT_DAG = "ecommerce_dbt"
DBT_TASKS = (
    "all_extractions_complete",
    "dbt_run_staging",
    "dbt_run_intermediate",
    "dbt_run_marts",
    "dbt_test_all",
    "publish_marts",
    "notify_success",
)
FAILED = ("failed", "upstream_failed", "up_for_retry")
POLL_SECONDS = 0.4


@dataclass(frozen=True)
class Step:
    """A source's load, or a task of dbt. ``state`` is Airflow's, "waiting" or "announcing"."""

    dag_id: str
    task_id: str
    state: str = "waiting"
    rows: int | None = None
    seconds: float | None = None
    try_number: int = 1

    @property
    def done(self) -> bool:
        return self.state == "success"


@dataclass
class DayRun:
    """One day in progress. ``runs``: ids of its runs, by DAG."""

    api: AirflowApi
    layout: Layout
    day: date
    runs: dict[str, str] = field(default_factory=dict)
    _rows: dict[str, int] = field(default_factory=dict)
    _earlier_dbt_runs: set[str] = field(default_factory=set)

    def trigger(self) -> None:
        """Trigger the six sources for the day. dbt is not triggered: its schedule fires it."""
        self._earlier_dbt_runs = {run["dag_run_id"] for run in self.api.runs(DBT_DAG)}
        for source in SOURCES:
            self.runs[source.dag_id] = self.api.trigger(source.dag_id, self.day.isoformat())

    def watch(self, timeout_seconds: float, show: Callable[[list[Step]], None]) -> None:
        """Show the steps until the last has succeeded; ``SandboxError`` names one that failed."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            steps = self.steps()
            show(steps)
            late = next((step for step in steps if not step.done), None)
            if late is None:
                return
            if failed := next((step for step in steps if step.state in FAILED), None):
                raise SandboxError(self._failure(failed))
            if time.monotonic() > deadline:
                raise SandboxError(
                    f"{self.day} was not published within {timeout_seconds:.0f} seconds: "
                    f"{late.dag_id}.{late.task_id} is still {late.state}. Logs: {self.layout.logs} "
                    f"and {self.layout.airflow_home / 'logs'}"
                )
            time.sleep(POLL_SECONDS)

    def steps(self) -> list[Step]:
        """The six loads and dbt's tasks, in order, as they stand."""
        if DBT_DAG not in self.runs:
            for run in self.api.runs(DBT_DAG):
                if run["dag_run_id"] not in self._earlier_dbt_runs and known_day(run) == self.day:
                    self.runs[DBT_DAG] = run["dag_run_id"]
        dbt = self._tasks(DBT_DAG)
        loads = [self._load(source.dag_id) for source in SOURCES]
        return loads + [_step(DBT_DAG, task_id, dbt.get(task_id)) for task_id in DBT_TASKS]

    def _tasks(self, dag_id: str) -> dict[str, dict[str, Any]]:
        if dag_id not in self.runs:
            return {}
        tasks = self.api.task_instances(dag_id, self.runs[dag_id])
        return {task["task_id"]: task for task in tasks}

    def _load(self, dag_id: str) -> Step:
        """A source counts as done when its day is announced, not only loaded."""
        tasks = self._tasks(dag_id)
        load = _step(dag_id, dag_id, tasks.get(dag_id))
        publish = _step(dag_id, "publish", tasks.get("publish"))
        if load.done and dag_id not in self._rows:
            self._rows[dag_id] = int(self.api.xcom(dag_id, self.runs[dag_id], dag_id)["rows"])
        if publish.state in FAILED:
            return publish
        state = load.state
        # A correction skips `publish`: it starts dbt for its day directly.
        if load.done and publish.state not in ("success", "skipped"):
            state = "announcing"
        return Step(dag_id, dag_id, state, self._rows.get(dag_id), load.seconds, load.try_number)

    def _failure(self, step: Step) -> str:
        run_id = self.runs[step.dag_id]
        try:
            lines = self.api.log(step.dag_id, run_id, step.task_id, step.try_number)
        except AirflowApiError as error:
            lines = [str(error)]
        shown = "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:])
        of_run = f"dag_id={step.dag_id}/run_id={run_id}/task_id={step.task_id}"
        return (
            f"{step.task_id} of {step.dag_id} failed for {self.day} (try {step.try_number}).\n"
            f"Last lines of its log:\n{shown}\n"
            f"The whole log: {self.layout.airflow_home / 'logs' / of_run}\n"
            f"In the UI: {self.api.url}/dags/{step.dag_id}/runs/{run_id}/tasks/{step.task_id}"
        )


def _step(dag_id: str, task_id: str, task: dict[str, Any] | None) -> Step:
    if not task:
        return Step(dag_id, task_id)
    seconds, state = task["duration"], task["state"] or "scheduled"
    if state == "running" and task["start_date"]:
        started = datetime.fromisoformat(task["start_date"])
        seconds = (datetime.now(started.tzinfo) - started).total_seconds()
    return Step(dag_id, task_id, state, None, seconds, max(1, task["try_number"]))


def run_day(
    api: AirflowApi,
    layout: Layout,
    day: date,
    timeout_seconds: float,
    show: Callable[[list[Step]], None],
) -> DayRun:
    """Trigger a day and watch it to its end, calling ``show`` with the steps at each look."""
    run = DayRun(api, layout, day)
    run.trigger()
    run.watch(timeout_seconds, show)
    return run
