"""One real Airflow on one real PostgreSQL, with all stand-ins, for each file of this folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from ingestion.settings import WarehouseSettings, settings
from sandbox.layout import Layout
from sandbox.stack import Stack
from tests.scheduler.pipeline import Pipeline, create_reader

SETTINGS = {
    "ALERTING_RETRY_DELAY_SECONDS": "5",
    # How soon a scheduler takes over from one that was killed: seconds instead of minutes.
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
}


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The sandbox, healthy, with an empty shop; ended with every process it started.

    Retries wait five seconds instead of minutes. A test file adds settings in its ``SETTINGS``. The pipeline reads the shop
    as a user of its own, whom a test can lock out. All settings are those of this test process as well.
    """
    reader = {"POSTGRES_USER": "shop_reader", "POSTGRES_PASSWORD": secrets.token_urlsafe(12)}
    extra = {**SETTINGS, **reader, **getattr(request.module, "SETTINGS", {})}
    stack = Stack(Layout(tmp_path_factory.mktemp("sandbox")), extra_env=extra)
    before = dict(os.environ)
    try:
        stack.start_stand_ins(print)
        create_reader(stack, reader["POSTGRES_USER"], reader["POSTGRES_PASSWORD"])
        os.environ.update(stack.pipeline_settings())
        settings.cache_clear()
        stack.start_airflow(print)
        yield stack
    finally:
        stack.stop(print)
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


@pytest.fixture(scope="module")
def warehouse_settings(stack: Stack) -> WarehouseSettings:
    return WarehouseSettings(_env_file=None, kind="duckdb", duckdb_dir=stack.layout.warehouse)


@pytest.fixture(scope="module")
def pipeline(stack: Stack) -> Pipeline:
    """The running pipeline on a very small shop that has been open for a year, up to the current day."""
    pipeline = Pipeline(stack)
    pipeline.open_shop()
    return pipeline
