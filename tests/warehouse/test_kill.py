"""A load killed (SIGKILL) at any step has happened or not; its retry ends in the source's state.

The steps are the calls that change something on disk, counted by a profile function. The processes
that are killed are forked from a clean server that has the modules loaded already, so that a round
takes a fraction of a second. ``test_kill_postgres`` kills at random times, which hits the middle of
a call into DuckDB or Arrow as well.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
import pytest

from pipeline.records import Window
from pipeline.sources import PRODUCTS, source
from tests.builders.chance import examples
from warehouse import parquet
from warehouse.arrow import schema_of
from warehouse.duckdb.warehouse import DuckDBWarehouse, LocalFiles
from warehouse.settings import WarehouseSettings

DAY = date(2026, 11, 22)
END = datetime(2026, 11, 22, 6)
SHOP = source("products")
STEPS = {
    "execute",
    "open",
    "mkdir",
    "rename",
    "replace",
    "flock",
    "close",
    "write_table",
    "rmtree",
    "write",
}

_clean = multiprocessing.get_context("forkserver")
_clean.set_forkserver_preload(["tests.warehouse.test_kill"])


@dataclass(frozen=True)
class Shop:
    """The source after some changes: a third of the rows per generation, and 200 new ones."""

    generation: int
    size: int = 900

    @cache  # noqa: B019 - two shops live as long as the tests
    def batches(self) -> list[pa.RecordBatch]:
        schema = schema_of(PRODUCTS)
        rows = [
            dict.fromkeys(schema.names) | self._row(key)
            for key in range(1, self.size + 200 * self.generation + 1)
        ]
        whole = pa.RecordBatch.from_pylist(rows, schema=schema)
        return [whole.slice(start, 100) for start in range(0, len(rows), 100)]

    def _row(self, key: int) -> dict[str, Any]:
        changed = max((g for g in range(self.generation + 1) if (key + g) % 3 == 0), default=0)
        at = datetime(2026, 1, 1) + timedelta(hours=changed)
        return {
            "product_id": key,
            "name": f"product {key} in {changed}",
            "price": Decimal(changed),
            "updated_at": at,
        }

    def rows(self) -> list[tuple[int, str, Decimal, datetime]]:
        return [
            tuple(row)
            for batch in self.batches()
            for row in zip(*(batch.column(n).to_pylist() for n in COMPARED), strict=True)
        ]


COMPARED = ("product_id", "name", "price", "updated_at")


def warehouse_in(folder: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(
        WarehouseSettings(_env_file=None, duckdb_dir=folder, lock_timeout_seconds=20)
    )  # type: ignore[call-arg]


def load(folder: Path, shop: Shop, *, replace: bool) -> None:
    with warehouse_in(folder).begin_load(SHOP, DAY, Window(None, END)) as open_load:
        open_load.stage(PRODUCTS, iter(shop.batches()))
        open_load.commit(END + timedelta(minutes=shop.generation), replace=replace)


def with_small_files() -> None:
    """As many files as a large table has."""
    parquet.ROW_GROUP_ROWS, LocalFiles.file_bytes = 100, 1


def load_until_step(folder: Path, shop: Shop, replace: bool, step: int, counted: Any) -> None:
    """Load, but die right before the given step; ``counted`` says how many steps there were."""

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and argument.__name__ in STEPS:
            counted.value += 1
            if counted.value == step:
                os.kill(os.getpid(), signal.SIGKILL)

    with_small_files()
    sys.setprofile(watch)
    threading.setprofile(watch)
    try:
        load(folder, shop, replace=replace)
    finally:
        sys.setprofile(None)


def state(folder: Path) -> tuple[list[tuple[object, ...]], int]:
    """All rows that consumers see, and the number of load records."""
    warehouse = warehouse_in(folder)
    (records,) = warehouse.query("select count(*) from ecommerce_raw.loads.load_records")[0]
    if not warehouse.raw_columns(PRODUCTS):
        return [], int(str(records))
    rows = warehouse.query(
        f"select {', '.join(COMPARED)} from ecommerce_raw.postgres.raw_products order by product_id"
    )
    return rows, int(str(records))


@cache
def loaded_before(folder: Path) -> Path:
    """A warehouse that has loaded the shop once."""
    load(folder / "before", Shop(generation=0), replace=False)
    return folder / "before"


class Round:
    """One load that is killed, and its retry."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.kind = ("first", "incremental", "refresh")[number % 3]
        self.shop = Shop(generation=1)
        self.before: tuple[list[tuple[object, ...]], int] = ([], 0)
        if self.kind != "first":
            shutil.copytree(loaded_before(folder.parent), folder)
            self.before = (list(Shop(generation=0).rows()), 1)

    def start(self, step: int = -1) -> tuple[Any, Any]:
        counted = _clean.Value("i", 0)
        process = _clean.Process(
            target=load_until_step,
            args=(self.folder, self.shop, self.kind == "refresh", step, counted),
        )
        process.start()
        return process, counted

    def check(self) -> None:
        rows, records = state(self.folder)
        happened = (list(self.shop.rows()), self.before[1] + 1)
        assert (rows, records) in (self.before, happened), (
            f"half a load is visible after a kill in a {self.kind} load"
        )
        load(self.folder, self.shop, replace=self.kind == "refresh")
        assert state(self.folder) == (happened[0], records + 1)
        assert [path.name for path in (self.folder / "staged").iterdir()] == [".lock"], (
            "staged rows of a dead process were not swept"
        )
        tables = warehouse_in(self.folder).query(
            "select table_name from duckdb_tables() where schema_name = 'postgres'"
        )
        assert tables == [("raw_products",)]
        assert warehouse_in(self.folder).watermark(SHOP) == END + timedelta(minutes=1)
        shutil.rmtree(self.folder)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 1, 2], ids=["first", "incremental", "refresh"])
def test_a_load_killed_at_any_of_its_steps_is_finished_by_the_retry(
    tmp_path: Path, kind: int
) -> None:
    whole = Round(tmp_path / "whole", kind)
    process, counted = whole.start()
    process.join()
    assert process.exitcode == 0
    steps = counted.value
    assert steps >= 30
    killed, tries = 0, examples(6, steps)
    for step in sorted({1, steps, *(1 + number * steps // tries for number in range(tries))}):
        attempt = Round(tmp_path / f"step-{step}", kind)
        process, counted = attempt.start(step)
        process.join()
        killed += process.exitcode == -signal.SIGKILL
        attempt.check()
    assert killed >= tries - 2
