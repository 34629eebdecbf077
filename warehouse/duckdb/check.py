"""Checks the warehouse's files: whether they can be read and written, and the space left."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from pipeline.checks import Finding, tried
from pipeline.settings import settings
from warehouse.duckdb.warehouse import DuckDBWarehouse
from warehouse.settings import WarehouseSettings

LEAST_SPACE = 2 * 2**30  # bytes
LOCK_TIMEOUT_SECONDS = 5


def check() -> Iterator[Finding]:
    """The files, then the space around them."""
    written = tried("duckdb", "files", _write)
    yield written
    if written.works:
        yield tried("duckdb", "space", _space)


def _write() -> str:
    here = settings(WarehouseSettings).model_copy(
        update={"lock_timeout_seconds": LOCK_TIMEOUT_SECONDS}
    )
    with DuckDBWarehouse(here).session("be written", writes=True) as session:
        ((loads,),) = session.rows("select count(*) from loads.load_records")
    return f"The files in {here.duckdb_dir} can be read and written; {loads:,} loads so far."


def _space() -> str | Finding:
    free = shutil.disk_usage(settings(WarehouseSettings).duckdb_dir).free
    if free < LEAST_SPACE:
        said = f"Only {free / 2**30:.1f} GiB are free there; make room before it is full."
        return Finding("duckdb", "space", "look", said)
    return f"{free / 2**30:.0f} GiB free."
