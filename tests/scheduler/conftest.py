"""One real Airflow on one real PostgreSQL, with all stand-ins, for the files of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from sandbox.stack import Stack
from tests.builders.running_pipeline import Pipeline
from tests.builders.running_stack import RunningStack, name_of
from warehouse.settings import WarehouseSettings


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    with ThreadPoolExecutor(2) as beside:
        running = RunningStack(tmp_path_factory, beside)
        yield running
        running.close()


@pytest.fixture(autouse=True)
def next_stack(request: pytest.FixtureRequest, running_stack: RunningStack) -> None:
    """Start the sandbox that comes next while the last two tests of the one before run."""
    items = request.session.items
    place = items.index(request.node)
    for item in items[place + 1 : place + 3]:
        module = getattr(item, "module", None)
        if (
            module
            and "running_stack" in item.fixturenames
            and name_of(module) != name_of(request.module)
        ):
            running_stack.prepare(module)
            return


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, running_stack: RunningStack) -> Stack:
    """The sandbox, healthy, with an empty shop.

    Retries wait two seconds instead of minutes. A test file adds settings in its ``SETTINGS``;
    files with the same ``STACK`` share one sandbox, each with days of its own. The pipeline reads
    the shop as a user of its own, whom a test can lock out. All settings are those of this test
    process as well.
    """
    return running_stack.of(request.module)


@pytest.fixture(scope="module")
def warehouse_settings(stack: Stack) -> WarehouseSettings:
    return WarehouseSettings(_env_file=None, kind="duckdb", duckdb_dir=stack.layout.warehouse)


@pytest.fixture(scope="module")
def pipeline(stack: Stack, running_stack: RunningStack) -> Pipeline:
    """The running pipeline on a very small shop, open for a year up to the current day."""
    if running_stack.pipeline is None:
        running_stack.pipeline = Pipeline(stack)
        running_stack.pipeline.open_shop()
    return running_stack.pipeline
