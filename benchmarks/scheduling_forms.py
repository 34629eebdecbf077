"""The two forms of a day, small DAGs and one DAG: start, repair, watch, and where seconds went."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import psycopg2

from alerting.alert import LABELS, Status
from pipeline.sources import SOURCES
from sandbox.day import DBT_DAG
from sandbox.processes import SandboxError
from sandbox.stack import AIRFLOW_DATABASE, Stack

MASTER_DAG = "ecommerce_master_dag"
PATIENCE_SECONDS = 300
LOOK_SECONDS = 0.05
_DONE: tuple[Status, ...] = ("success", "recovery")
GREEN = tuple(f"[{LABELS[status]}]" for status in _DONE)
DBT_TASKS = (
    "dbt_run_staging",
    "dbt_run_intermediate",
    "dbt_run_marts",
    "dbt_test_all",
    "publish_marts",
    "notify_success",
)


@dataclass(frozen=True)
class Form:
    """One way to schedule a day.

    ``triggered`` DAGs are started together; the ``last`` one notifies.
    """

    name: str
    triggered: tuple[str, ...]
    last: str

    @property
    def dags(self) -> list[str]:
        return sorted({*self.triggered, self.last})

    def dag_of(self, task_id: str) -> str:
        """The DAG in which an extraction runs."""
        return task_id if task_id in self.triggered else self.triggered[0]


SMALL_DAGS = Form("small DAGs", tuple(source.dag_id for source in SOURCES), DBT_DAG)
ONE_DAG = Form("one DAG", (MASTER_DAG,), MASTER_DAG)


@dataclass(frozen=True)
class Task:
    """One task that ran or was skipped.

    Moments are seconds since the trigger; ``process``: one was started for it.
    """

    dag_id: str
    task_id: str
    began: float
    ended: float
    process: bool


@dataclass(frozen=True)
class Day:
    """One day from its trigger, or from its repair, to the message that it is done. Seconds.

    ``triggered``: until Airflow had made the last run it was asked for. ``publishing``: of
    publishing the marts.
    """

    seconds: float
    triggered: float
    tasks: tuple[Task, ...]
    publishing: float

    @property
    def starts(self) -> int:
        """Processes that were started for tasks."""
        return sum(task.process for task in self.tasks)

    def phases(self) -> dict[str, tuple[float, float]]:
        """Wait and duration of each step on the way.

        The steps are the loads together, the last announcement, then task after task.
        """
        loads = [task for task in self.tasks if task.task_id in SMALL_DAGS.triggered]
        first, before = min(task.began for task in loads), max(task.ended for task in loads)
        steps = {
            "trigger": (0.0, self.triggered),
            "loads": (first - self.triggered, before - first),
        }
        for name in ("publish", "all_extractions_complete", *DBT_TASKS):
            ran = [task for task in self.tasks if task.task_id == name and task.process]
            if ran:
                last = max(ran, key=lambda task: task.ended)
                steps[name] = (last.began - before, last.ended - last.began)
                before = last.ended
        steps["message"] = (self.seconds - before, 0.0)
        return steps


class Watch:
    """Runs days on a stack and reads what happened from Slack's inbox and Airflow's database."""

    def __init__(self, stack: Stack) -> None:
        self.stack, self.api = stack, stack.api

    def trigger(self, form: Form, day: date) -> dict[str, str]:
        """Start the form's DAGs in the same moment, as the clock would; their runs by DAG."""
        with ThreadPoolExecutor(len(form.triggered)) as together:
            runs = together.map(
                lambda dag_id: self.api.trigger(dag_id, day.isoformat()), form.triggered
            )
            return dict(zip(form.triggered, runs, strict=True))

    def timed(self, form: Form, begin: Callable[[], Any]) -> Day:
        """From ``begin`` to the green message of the form, then until nothing runs any more."""
        self.api.dag_ids()  # signed in before the clock starts
        seen, began = len(self._messages()), datetime.now(UTC)
        begin()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (notified := self._green(form, seen)) is None:
            if time.monotonic() > deadline:
                active = self.api.active_runs()
                raise SandboxError(
                    f"{form.name}: no green message in {PATIENCE_SECONDS} seconds. Runs still "
                    f"active: {active}"
                )
            time.sleep(LOOK_SECONDS)
        self.rest()
        tasks = self._tasks(form, began)
        return Day(
            (notified - began).total_seconds(),
            self._triggered(form, began),
            tasks,
            self._publishing(form, tasks),
        )

    def rest(self) -> None:
        """Wait until no run is active."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while runs := self.api.active_runs():
            if time.monotonic() > deadline:
                raise SandboxError(f"Still active after {PATIENCE_SECONDS} seconds: {runs}")
            time.sleep(0.3)

    def _messages(self) -> list[str]:
        file = self.stack.layout.slack / "messages.jsonl"
        return file.read_text().splitlines() if file.exists() else []

    def _green(self, form: Form, seen: int) -> datetime | None:
        for line in self._messages()[seen:]:
            message = json.loads(line)
            if any(
                message["payload"]["text"].startswith(f"{label} {form.last}") for label in GREEN
            ):
                return datetime.fromisoformat(message["received_at"])
        return None

    def _tasks(self, form: Form, since: datetime) -> tuple[Task, ...]:
        rows = self._metadata(
            """select dag_id, task_id, start_date, end_date, pid is not null from task_instance
               where start_date >= %s and dag_id = any(%s) order by start_date""",
            since,
            form.dags,
        )
        return tuple(
            Task(
                dag_id,
                task_id,
                (began - since).total_seconds(),
                (ended - since).total_seconds(),
                process,
            )
            for dag_id, task_id, began, ended, process in rows
        )

    def _triggered(self, form: Form, since: datetime) -> float:
        sql = "select max(queued_at) from dag_run where dag_id = any(%s) and queued_at >= %s"
        queued_at = self._metadata(sql, list(form.triggered), since)[0][0]
        return float((queued_at - since).total_seconds()) if queued_at else 0.0

    def _publishing(self, form: Form, tasks: Sequence[Task]) -> float:
        """Seconds of publication: a task of the small DAGs, a part of the one DAG's last task."""
        if form is SMALL_DAGS:
            return next(
                task.ended - task.began for task in tasks if task.task_id == "publish_marts"
            )
        run_id = self.api.runs(form.last)[0]["dag_run_id"]
        return float(self.api.xcom(form.last, run_id, "dbt_test_all")["publishing_seconds"])

    def _metadata(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        with (
            closing(psycopg2.connect(self.stack.postgres.dsn(AIRFLOW_DATABASE))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(sql, parameters)
            return cursor.fetchall()


def median(days: Sequence[Day]) -> float:
    return statistics.median(day.seconds for day in days)


def where_the_seconds_go(days: Sequence[Day]) -> str:
    """A table of medians: wait before each step, its duration, and when it ended."""
    phases = [day.phases() for day in days]
    lines, at = [f"  {'step':<26}{'wait':>7}{'takes':>8}{'at':>8}"], 0.0
    for step in phases[-1]:
        wait, takes = (
            statistics.median(of_day[step][part] for of_day in phases) for part in (0, 1)
        )
        at += wait + takes
        lines.append(f"  {step:<26}{wait:>7.2f}{takes:>8.2f}{at:>8.2f}")
    return "\n".join(lines)
