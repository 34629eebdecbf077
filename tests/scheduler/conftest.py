"""One real Airflow on one real PostgreSQL, with all stand-ins, shared by the tests of this folder."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ingestion.settings import WarehouseSettings, settings
from sandbox.layout import Layout
from sandbox.stack import Stack


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The sandbox, healthy, with an empty shop; ended with every process it started.

    Retries wait five seconds instead of minutes. Its settings are those of this test process as well.
    """
    stack = Stack(Layout(tmp_path_factory.mktemp("sandbox")), extra_env={"ALERTING_RETRY_DELAY_SECONDS": "5"})
    before = dict(os.environ)
    try:
        stack.start_stand_ins(print)
        os.environ.update(stack.pipeline_settings())
        settings.cache_clear()
        stack.start_airflow(print)
        yield stack
    finally:
        stack.stop(print)
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


@pytest.fixture(scope="session")
def warehouse_settings(stack: Stack) -> WarehouseSettings:
    return WarehouseSettings(_env_file=None, kind="duckdb", duckdb_dir=stack.layout.warehouse)
