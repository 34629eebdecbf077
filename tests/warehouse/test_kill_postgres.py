"""A load out of PostgreSQL, killed at random, has happened or not; its retry finishes the job.

Staged files are made small, so that a small table takes the ways of a large one.
"""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from ingestion.postgres.load import PostgresExtractor
from ingestion.postgres.settings import PostgresSettings
from pipeline.sources import ORDERS
from tests.builders.chance import examples
from tests.builders.postgres_shop import DAY, NEXT_DAY
from warehouse import parquet
from warehouse.duckdb.warehouse import DuckDBWarehouse, LocalFiles
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase

ROWS = 2_000
FILE_ROWS = 100
Kind = Literal["first", "incremental", "refresh"]
KINDS: tuple[Kind, ...] = ("first", "incremental", "refresh")

_clean = multiprocessing.get_context("forkserver")
_clean.set_forkserver_preload(["tests.warehouse.test_kill_postgres"])


def warehouse_in(folder: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(
        WarehouseSettings(_env_file=None, duckdb_dir=folder, lock_timeout_seconds=20)
    )


def load(settings: PostgresSettings, folder: Path, kind: Kind, begun: Any = None) -> None:
    parquet.ROW_GROUP_ROWS, LocalFiles.file_bytes = FILE_ROWS, 1
    if begun:
        begun.set()
    PostgresExtractor(settings, warehouse_in(folder)).extract_table(
        ORDERS, NEXT_DAY, full_refresh=kind == "refresh"
    )


@dataclass(frozen=True)
class Shop:
    """A source, ``before`` the warehouse of the day before; a third of the rows changed since."""

    source: SourceDatabase
    before: Path

    @classmethod
    def open(cls, source: SourceDatabase, folder: Path) -> Shop:
        source.execute(
            "insert into orders (order_id, order_date, status, total_amount, created_at, "
            "updated_at) "
            "select i, '2026-03-09', 'pending', i / 100.0, '2026-03-09', '2026-03-09' from "
            "generate_series(1, %s) i",
            (ROWS,),
        )
        PostgresExtractor(source.settings, warehouse_in(folder)).extract_table(ORDERS, DAY)
        source.execute(
            "update orders set status = 'paid', updated_at = '2026-03-10 12:00' where order_id %% "
            "3 = 0",
            (),
        )
        source.execute(
            "insert into orders (order_id, order_date, status, total_amount, created_at, "
            "updated_at) "
            "select i, '2026-03-10', 'new', i / 100.0, '2026-03-10 09:00', '2026-03-10 09:00' from "
            "generate_series(%s, %s) i",
            (ROWS + 1, ROWS + 300),
        )
        return cls(source, folder)

    def rows(self) -> list[tuple[Any, ...]]:
        return self.source.query(
            f"select {', '.join(ORDERS.column_names)} from orders order by order_id"
        )


class Round:
    """A warehouse, a load into it that is killed, and its retry."""

    def __init__(self, shop: Shop, folder: Path, number: int) -> None:
        self.shop, self.folder = shop, folder
        self.kind = KINDS[number % 3]
        if self.kind != "first":
            shutil.copytree(shop.before, folder)
        self.before = self.state()

    def run(self, seconds: float | None = None) -> tuple[float, bool]:
        """Load in a process killed after so many seconds: how long it took, if it was killed."""
        begun = _clean.Event()
        process = _clean.Process(
            target=load, args=(self.shop.source.settings, self.folder, self.kind, begun)
        )
        process.start()
        assert begun.wait(60)
        started = time.monotonic()
        if seconds is not None:
            time.sleep(seconds)
            process.kill()
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        return time.monotonic() - started, process.exitcode != 0

    def state(self) -> tuple[list[tuple[object, ...]], int]:
        """All rows, and the number of load records."""
        warehouse = warehouse_in(self.folder)
        records = warehouse.query("select count(*) from loads.load_records")
        rows = []
        if warehouse.raw_columns(ORDERS):
            rows = warehouse.query(
                f"select {', '.join(ORDERS.column_names)} from postgres.raw_orders order by "
                "order_id"
            )
        return rows, int(str(records[0][0]))

    def tables(self) -> list[str]:
        rows = warehouse_in(self.folder).query(
            "select table_name from duckdb_tables() where schema_name = 'postgres'"
        )
        return [str(name) for (name,) in rows]

    def check(self) -> None:
        after, records = self.shop.rows(), self.before[1]
        killed_in = self.state()
        assert killed_in in (self.before, (after, records + 1)), (
            f"half a load is visible after a kill in a {self.kind} load"
        )
        load(self.shop.source.settings, self.folder, self.kind)
        assert self.state() == (after, killed_in[1] + 1), (
            "after the retry, source and warehouse differ"
        )
        assert self.tables() == ["raw_orders"]
        assert [path.name for path in (self.folder / "staged").iterdir()] == [".lock"], (
            "staged rows were not swept"
        )


@pytest.mark.slow
@pytest.mark.chance
@pytest.mark.timeout(900)
def test_a_load_from_postgres_killed_at_random_moments_is_finished_by_the_retry(
    source_db: SourceDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    for module, name in ((parquet, "ROW_GROUP_ROWS"), (LocalFiles, "file_bytes")):
        # Retries run in this process: put back afterwards.
        monkeypatch.setattr(module, name, getattr(module, name))
    moments = random.Random(seed)
    shop = Shop.open(source_db, tmp_path / "before")
    whole = {
        kind: Round(shop, tmp_path / f"whole-{kind}", number).run()[0]
        for number, kind in enumerate(KINDS)
    }
    rounds = examples(15, 300)
    kills = dict.fromkeys(KINDS, 0)
    for number in range(rounds):
        attempt = Round(shop, tmp_path / f"round-{number}", number)
        _, was_killed = attempt.run(moments.uniform(0, whole[attempt.kind]))
        kills[attempt.kind] += was_killed
        attempt.check()
        shutil.rmtree(attempt.folder)
    print(f"kills {kills}")
    assert min(kills.values()) >= rounds // 10, (
        "most loads ended before they were killed: the moments are too late"
    )
