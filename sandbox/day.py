"""Runs one day on the sandbox's Airflow: triggers the six sources, then watches dbt follow by its
Dataset schedule.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from operations.airflow_api import AirflowApi, AirflowApiError
from pipeline.days import day_of
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
    """One line of the day: a source's load, or a task of dbt. ``state`` is Airflow's, or
    "waiting".
    """

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
    """One day in progress. ``watch`` gives the steps again and again until the marts are published
    and announced.
    """

    api: AirflowApi
    layout: Layout
    day: date
    runs: dict[str, str] = field(default_factory=dict)  # dag_id -> run_id
    _rows: dict[str, int] = field(default_factory=dict)
    _earlier_dbt_runs: set[str] = field(default_factory=set)

    def trigger(self) -> None:
        """Trigger the six sources for the day. dbt is not triggered: its schedule fires it."""
        self._earlier_dbt_runs = {run["dag_run_id"] for run in self.api.runs(DBT_DAG)}
        for source in SOURCES:
            self.runs[source.dag_id] = self.api.trigger(source.dag_id, self.day.isoformat())

    def watch(
        self, timeout_seconds: float, poll_seconds: float = POLL_SECONDS
    ) -> Iterator[list[Step]]:
        """The steps in order, until the last has succeeded; ``SandboxError`` names the first that
        failed.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            steps = self.steps()
            yield steps
            for step in steps:
                if step.state in FAILED:
                    raise SandboxError(self._failure(step))
            if all(step.done for step in steps):
                return
            if time.monotonic() > deadline:
                waiting = next(step for step in steps if not step.done)
                raise SandboxError(
                    f"{self.day} was not published within {timeout_seconds:.0f} seconds: "
                    f"{waiting.dag_id}.{waiting.task_id} "
                    f"is still {waiting.state}. Logs: {self.layout.airflow_home / 'logs'} and "
                    f"{self.layout.logs}"
                )
            time.sleep(poll_seconds)

    def steps(self) -> list[Step]:
        if DBT_DAG not in self.runs:
            self._find_dbt_run()
        steps = [self._load_step(source.dag_id) for source in SOURCES]
        tasks = self._tasks(DBT_DAG)
        return steps + [self._step(DBT_DAG, task_id, tasks.get(task_id)) for task_id in DBT_TASKS]

    def _find_dbt_run(self) -> None:
        for run in self.api.runs(DBT_DAG):
            if run["dag_run_id"] not in self._earlier_dbt_runs and day_of(run) == self.day:
                self.runs[DBT_DAG] = run["dag_run_id"]

    def _tasks(self, dag_id: str) -> dict[str, dict[str, Any]]:
        run_id = self.runs.get(dag_id)
        return (
            {task["task_id"]: task for task in self.api.task_instances(dag_id, run_id)}
            if run_id
            else {}
        )

    def _load_step(self, dag_id: str) -> Step:
        """A source counts as done when its day is announced, not only loaded."""
        tasks = self._tasks(dag_id)
        load, publish = (
            self._step(dag_id, dag_id, tasks.get(dag_id)),
            self._step(dag_id, "publish", tasks.get("publish")),
        )
        if load.done and dag_id not in self._rows:
            self._rows[dag_id] = int(self.api.xcom(dag_id, self.runs[dag_id], dag_id)["rows"])
        if publish.state in FAILED:
            return publish
        # A correction skips `publish`: it starts dbt for its day directly.
        state = (
            load.state
            if not load.done
            else "success"
            if publish.state in ("success", "skipped")
            else "announcing"
        )
        return Step(dag_id, dag_id, state, self._rows.get(dag_id), load.seconds, load.try_number)

    @staticmethod
    def _step(dag_id: str, task_id: str, task: dict[str, Any] | None) -> Step:
        if not task:
            return Step(dag_id, task_id)
        seconds = task["duration"]
        if task["state"] == "running" and task["start_date"]:
            started = datetime.fromisoformat(task["start_date"])
            seconds = (datetime.now(started.tzinfo) - started).total_seconds()
        return Step(
            dag_id, task_id, task["state"] or "scheduled", None, seconds, max(1, task["try_number"])
        )

    def _failure(self, step: Step) -> str:
        run_id = self.runs[step.dag_id]
        try:
            lines = self.api.log(step.dag_id, run_id, step.task_id, step.try_number)
        except AirflowApiError as error:
            lines = [str(error)]
        shown = "\n".join(f"  {line}" for line in lines[-LOG_LINES_SHOWN:])
        folder = (
            self.layout.airflow_home
            / "logs"
            / f"dag_id={step.dag_id}"
            / f"run_id={run_id}"
            / f"task_id={step.task_id}"
        )
        return (
            f"{step.task_id} of {step.dag_id} failed for {self.day} (try {step.try_number}).\nLast "
            f"lines of its log:\n{shown}\n"
            f"The whole log: {folder}\n"
            f"In the UI: {self.api.url}/dags/{step.dag_id}/runs/{run_id}/tasks/{step.task_id}"
        )


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
    for steps in run.watch(timeout_seconds):
        show(steps)
    return run
