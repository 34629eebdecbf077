"""The sandbox that the scheduler tests run against, and the change from one to the next."""

from __future__ import annotations

import os
import secrets
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from pipeline.settings import PROJECT, settings
from sandbox.layout import Layout
from sandbox.stack import Stack
from tests.builders.running_pipeline import Pipeline, create_reader

SETTINGS = {
    # Airflow looks at so many runs at a time, those of back-fills always in the order of their
    # days: of 72 runs whose first 24 wait, it would never look at the rest.
    "AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE": "100",
    "ALERTING_RETRY_DELAY_SECONDS": "2",
    # How soon a scheduler takes over from one that was killed: seconds instead of minutes.
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
}


# The ``STACK`` of files that count for which days dbt is called, and with which loads.
GATE_ONLY = "gate only"


def dags_with_the_gate_only(folder: Path) -> Path:
    """The project's DAGs, with an `ecommerce_dbt` that ends after its gate (`gate_only/`)."""
    for file in (PROJECT / "dags").iterdir():
        if file.name not in ("ecommerce_dbt.py", "__pycache__"):
            (folder / file.name).symlink_to(file)
    (folder / "ecommerce_dbt.py").symlink_to(PROJECT / "tests/scheduler/gate_only/ecommerce_dbt.py")
    return folder


def name_of(module: ModuleType) -> str:
    """Of the sandbox that a file's tests need."""
    return getattr(module, "STACK", module.__name__)


@dataclass
class RunningStack:
    """The sandbox of the running tests: files that name the same ``STACK`` share one in turn.

    The sandbox before is ended, and the one that comes next can be started, while tests go on: both
    are mostly waiting.
    """

    folders: pytest.TempPathFactory
    beside: ThreadPoolExecutor
    stack: Stack | None = None
    pipeline: Pipeline | None = None
    _name: str = ""
    _next: tuple[str, Future[Stack]] | None = None
    _ending: list[Future[bool]] = field(default_factory=list)
    _before: dict[str, str] = field(default_factory=dict)

    def of(self, module: ModuleType) -> Stack:
        name = name_of(module)
        if self.stack is None or name != self._name:
            self.end()
            self.prepare(module)
            assert self._next
            (_, ready), self._next = self._next, None
            self.stack, self._name = ready.result(), name
            self._before = dict(os.environ)
            os.environ.update(self.stack.pipeline_settings())
            settings.cache_clear()
        return self.stack

    def prepare(self, module: ModuleType) -> None:
        """Begin to start the sandbox that a file will need, unless that has begun."""
        name = name_of(module)
        if self._next and self._next[0] == name:
            return
        reader = {"POSTGRES_USER": "shop_reader", "POSTGRES_PASSWORD": secrets.token_urlsafe(12)}
        stack = Stack(
            Layout(self.folders.mktemp("sandbox")),
            dags=dags_with_the_gate_only(self.folders.mktemp("dags"))
            if name == GATE_ONLY
            else None,
            extra_env={**SETTINGS, **reader, **getattr(module, "SETTINGS", {})},
            inherited=self._before if self.stack else dict(os.environ),
        )
        self._next = name, self.beside.submit(started, stack)

    def end(self) -> None:
        """Give this process its own settings back, and begin to end the sandbox."""
        if self.stack is None:
            return
        self._ending.append(self.beside.submit(self.stack.stop, print))
        self.stack = self.pipeline = None
        os.environ.clear()
        os.environ.update(self._before)
        settings.cache_clear()

    def close(self) -> None:
        """The end of all tests: nothing of any sandbox runs any more."""
        self.end()
        if self._next:
            self._ending.append(self.beside.submit(self._next[1].result().stop, print))
        for ending in self._ending:
            ending.result()


def started(stack: Stack) -> Stack:
    """The sandbox, healthy, with an empty shop and the user as whom the pipeline reads it."""
    try:
        stack.start_stand_ins(print)
        create_reader(stack, stack.extra_env["POSTGRES_USER"], stack.extra_env["POSTGRES_PASSWORD"])
        stack.start_airflow(print)
    except BaseException:
        stack.stop(print)
        raise
    return stack
