"""One real Airflow on one real PostgreSQL, with all stand-ins, for the files of this folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from ingestion.settings import PROJECT, WarehouseSettings, settings
from sandbox.layout import Layout
from sandbox.stack import Stack
from tests.scheduler.pipeline import Pipeline, create_reader

SETTINGS = {
    # Airflow looks at so many runs at a time, those of back-fills always in the order of their days: of 72 runs whose first 24
    # wait, it would never look at the rest.
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
    """The project's DAGs, but for `ecommerce_dbt`: that ends after its gate (see `gate_only/ecommerce_dbt.py`)."""
    for file in (PROJECT / "dags").iterdir():
        if file.name not in ("ecommerce_dbt.py", "__pycache__"):
            (folder / file.name).symlink_to(file)
    (folder / "ecommerce_dbt.py").symlink_to(Path(__file__).parent / "gate_only" / "ecommerce_dbt.py")
    return folder


@dataclass
class RunningStack:
    """At most one sandbox at a time: a file takes over that of the file before if both name the same ``STACK``."""

    folders: pytest.TempPathFactory
    stack: Stack | None = None
    pipeline: Pipeline | None = None
    _name: str = ""
    _before: dict[str, str] = field(default_factory=dict)

    def of(self, module: ModuleType) -> Stack:
        name = getattr(module, "STACK", module.__name__)
        if self.stack is None or name != self._name:
            self.end()
            self._name = name
            try:
                self._start(getattr(module, "SETTINGS", {}))
            except BaseException:
                self.end()
                raise
        assert self.stack
        return self.stack

    def _start(self, settings_of_module: dict[str, str]) -> None:
        reader = {"POSTGRES_USER": "shop_reader", "POSTGRES_PASSWORD": secrets.token_urlsafe(12)}
        extra = {**SETTINGS, **reader, **settings_of_module}
        dags = dags_with_the_gate_only(self.folders.mktemp("dags")) if self._name == GATE_ONLY else None
        self._before = dict(os.environ)
        self.stack = Stack(Layout(self.folders.mktemp("sandbox")), dags=dags, extra_env=extra)
        self.stack.start_stand_ins(print)
        create_reader(self.stack, reader["POSTGRES_USER"], reader["POSTGRES_PASSWORD"])
        os.environ.update(self.stack.pipeline_settings())
        settings.cache_clear()
        self.stack.start_airflow(print)

    def end(self) -> None:
        """End the sandbox with every process it started, and give this process its own settings back."""
        if self.stack is None:
            return
        self.stack.stop(print)
        self.stack = self.pipeline = None
        os.environ.clear()
        os.environ.update(self._before)
        settings.cache_clear()


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    running = RunningStack(tmp_path_factory)
    yield running
    running.end()


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, running_stack: RunningStack) -> Stack:
    """The sandbox, healthy, with an empty shop.

    Retries wait two seconds instead of minutes. A test file adds settings in its ``SETTINGS``; files with the same ``STACK``
    share one sandbox, each with days of its own. The pipeline reads the shop as a user of its own, whom a test can lock out.
    All settings are those of this test process as well.
    """
    return running_stack.of(request.module)


@pytest.fixture(scope="module")
def warehouse_settings(stack: Stack) -> WarehouseSettings:
    return WarehouseSettings(_env_file=None, kind="duckdb", duckdb_dir=stack.layout.warehouse)


@pytest.fixture(scope="module")
def pipeline(stack: Stack, running_stack: RunningStack) -> Pipeline:
    """The running pipeline on a very small shop that has been open for a year, up to the current day."""
    if running_stack.pipeline is None:
        running_stack.pipeline = Pipeline(stack)
        running_stack.pipeline.open_shop()
    return running_stack.pipeline
