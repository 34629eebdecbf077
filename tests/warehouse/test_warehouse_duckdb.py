"""What only the embedded warehouse can get wrong: lock, disk, processes, sweeping, memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.contracts import RawTable
from pipeline.errors import WarehouseUnavailableError
from pipeline.records import Window
from pipeline.sources import PRODUCTS, SOURCES, source
from warehouse import parquet, staging
from warehouse.arrow import schema_of
from warehouse.duckdb import warehouse as duckdb_warehouse
from warehouse.duckdb.lock import warehouse_lock
from warehouse.duckdb.warehouse import DuckDBWarehouse, LocalFiles
from warehouse.settings import WarehouseSettings

DAY = date(2026, 11, 22)
END = datetime(2026, 11, 22, 6)
SHOP = source("products")

_clean = multiprocessing.get_context("forkserver")
_clean.set_forkserver_preload(["tests.warehouse.test_warehouse_duckdb"])


def settings_of(folder: Path, lock_timeout_seconds: int = 60) -> WarehouseSettings:
    return WarehouseSettings(
        _env_file=None, duckdb_dir=folder, lock_timeout_seconds=lock_timeout_seconds
    )  # type: ignore[call-arg]


def rows_of(table: RawTable, rows: int, version: datetime = END) -> pa.RecordBatch:
    """Rows of any table, with plausible values of every type."""
    values: dict[str, Callable[[int], Any]] = {
        "integer": lambda n: n,
        "bigint": lambda n: n * 2**33,  # keys too
        "decimal": lambda n: Decimal(n) / 100,
        "string": lambda n: f"é{n}",
        "json": lambda n: f'{{"n": {n}}}',
        "boolean": lambda n: n % 2 == 0,
        "timestamp": lambda n: version,
        "date": lambda n: DAY,
    }
    columns = {
        column.name: [values[column.type.name](n) for n in range(1, rows + 1)]
        for column in table.columns
    }
    return pa.RecordBatch.from_pydict(columns, schema=schema_of(table))


def load(folder: Path, name: str, times: int = 1, rows: int = 500) -> None:
    loaded = source(name)
    for number in range(times):
        with DuckDBWarehouse(settings_of(folder)).begin_load(
            loaded, DAY, Window(None, END)
        ) as open_load:
            for table in loaded.tables:
                open_load.stage(table, [rows_of(table, rows, END.replace(second=number))])
            open_load.commit(END)


def in_processes(
    *arguments: tuple[Any, ...], target: Callable[..., None] = load
) -> list[int | None]:
    """Run the target once with each of the arguments, all at once; returns the exit codes."""
    processes = [_clean.Process(target=target, args=given) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
    return [process.exitcode for process in processes]


def test_six_processes_load_six_sources_at_once_again_and_again(tmp_path: Path) -> None:
    assert in_processes(*((tmp_path, loaded.name, 5) for loaded in SOURCES)) == [0] * 6
    warehouse = DuckDBWarehouse(settings_of(tmp_path))
    assert [record.source for record in warehouse.load_records(DAY)] == [
        loaded.name for loaded in SOURCES
    ]
    assert (
        warehouse.query(
            "select source, count(*) from ecommerce_raw.loads.load_records group by all having "
            "count(*) <> 5"
        )
        == []
    )
    for loaded in SOURCES:
        for table in loaded.tables:
            address = f"ecommerce_raw.{table.schema}.{table.raw_name}"
            assert warehouse.query(f"select count(*), min({table.version}) from {address}") == [
                (500, END.replace(second=4))
            ]


def test_two_processes_load_one_source_at_once(tmp_path: Path) -> None:
    assert in_processes((tmp_path, "products", 8, 400), (tmp_path, "products", 8, 600)) == [0, 0]
    warehouse = DuckDBWarehouse(settings_of(tmp_path))
    assert warehouse.query(
        "select count(*), min(updated_at) from ecommerce_raw.postgres.raw_products where "
        f"product_id <= {400 * 2**33}"
    ) == [(400, END.replace(second=7))]
    assert warehouse.query(
        "select count(*), count(distinct product_id) from ecommerce_raw.postgres.raw_products"
    ) == [(600, 600)]
    ((inserted, records),) = warehouse.query(
        "select sum(rows_inserted), count(*) from ecommerce_raw.loads.load_records"
    )
    assert (int(str(inserted)), records) == (600, 16)


# --- the lock


@contextmanager
def held(folder: Path, *, shared: bool = False) -> Iterator[None]:
    with warehouse_lock(settings_of(folder), shared=shared):
        yield


def test_a_warehouse_locked_for_too_long_says_who_holds_it(tmp_path: Path) -> None:
    with held(tmp_path):
        started = time.monotonic()
        with pytest.raises(
            WarehouseUnavailableError,
            match=rf"more than 1 seconds \(last writer: process {os.getpid()} since",
        ):
            DuckDBWarehouse(settings_of(tmp_path, 1)).watermark(SHOP)
        assert time.monotonic() - started < 5
    assert DuckDBWarehouse(settings_of(tmp_path, 1)).watermark(SHOP) is None


def test_readers_do_not_exclude_each_other_but_writers(tmp_path: Path) -> None:
    load(tmp_path, "products")
    impatient = DuckDBWarehouse(settings_of(tmp_path, 1))
    with held(tmp_path, shared=True):
        assert impatient.watermark(SHOP) == END
        with (
            pytest.raises(WarehouseUnavailableError),
            impatient.begin_load(SHOP, DAY, Window(None, END)) as open_load,
        ):
            open_load.commit(END)


def hold_forever(folder: Path) -> None:
    with held(folder):
        (folder / "held").touch()
        time.sleep(600)


def test_the_lock_goes_with_a_killed_process(tmp_path: Path) -> None:
    process = _clean.Process(target=hold_forever, args=(tmp_path,))
    process.start()
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    threading.Timer(0.3, process.kill).start()
    load(tmp_path, "products")
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_staging_does_not_hold_the_lock(tmp_path: Path) -> None:
    warehouse = DuckDBWarehouse(settings_of(tmp_path, 1))
    with warehouse.begin_load(SHOP, DAY, Window(None, END)) as open_load:
        with held(tmp_path):
            assert open_load.stage(PRODUCTS, [rows_of(PRODUCTS, 10)]) == 10
        assert open_load.commit(END).rows_extracted == 10


# --- the disk


def test_a_damaged_file_is_reported_as_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "ecommerce_raw.duckdb").write_bytes(b"not a database" * 1000)
    with pytest.raises(WarehouseUnavailableError, match=r"ecommerce_raw\.duckdb cannot be used"):
        DuckDBWarehouse(settings_of(tmp_path)).watermark(SHOP)


def test_a_folder_that_cannot_be_made_is_reported_as_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    warehouse = DuckDBWarehouse(settings_of(tmp_path / "file" / "warehouse"))
    with pytest.raises(WarehouseUnavailableError, match="Check WAREHOUSE_DUCKDB_DIR"):
        warehouse.watermark(SHOP)
    with (
        pytest.raises(WarehouseUnavailableError, match="cannot be staged"),
        warehouse.begin_load(SHOP, DAY, Window(None, END)),
    ):
        pass


def load_with_little_space(folder: Path, room_to_stage: int, said: Path) -> None:
    """As on a full disk, writing fails half-way: at a size, and wholly once rows are staged."""
    unlimited = resource.RLIM_INFINITY
    try:
        with DuckDBWarehouse(settings_of(folder)).begin_load(
            SHOP, DAY, Window(None, END)
        ) as open_load:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room_to_stage, unlimited))
            open_load.stage(PRODUCTS, [rows_of(PRODUCTS, 60_000)])
            resource.setrlimit(
                resource.RLIMIT_FSIZE, ((folder / "ecommerce_raw.duckdb").stat().st_size, unlimited)
            )
            open_load.commit(END)
    except WarehouseUnavailableError as error:
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        said.write_text(str(error))


@pytest.mark.parametrize(
    ("room_to_stage", "says"),
    [(50_000, "cannot be staged"), (50_000_000, "cannot be used")],
    ids=["staging", "committing"],
)
def test_a_disk_that_fills_up_leaves_what_was_there(
    tmp_path: Path, room_to_stage: int, says: str
) -> None:
    folder, said = tmp_path / "warehouse", tmp_path / "said"
    load(folder, "products", rows=100)
    assert in_processes((folder, room_to_stage, said), target=load_with_little_space) == [0]
    assert says in said.read_text()
    assert DuckDBWarehouse(settings_of(folder)).query(
        "select count(*) from ecommerce_raw.postgres.raw_products"
    ) == [(100,)]
    load(folder, "products", rows=60_000)
    assert DuckDBWarehouse(settings_of(folder)).query(
        "select count(*) from ecommerce_raw.postgres.raw_products"
    ) == [(60_000,)]


# --- sweeping


def stage_forever(folder: Path, load_id: str | None) -> None:
    with DuckDBWarehouse(settings_of(folder)).begin_load(
        SHOP, DAY, Window(None, END), load_id=load_id
    ) as open_load:
        open_load.stage(PRODUCTS, [rows_of(PRODUCTS, 10)], part="a")
        (folder / "staged.flag").touch()
        time.sleep(600)


def staged_folders(folder: Path) -> set[str]:
    return {path.name for path in (folder / "staged").iterdir() if path.is_dir()}


@contextmanager
def another_process_staging(folder: Path, load_id: str | None) -> Iterator[Any]:
    process = _clean.Process(target=stage_forever, args=(folder, load_id))
    process.start()
    while not (folder / "staged.flag").exists():
        time.sleep(0.01)
    yield process
    process.kill()
    process.join()


def test_only_what_dead_processes_left_is_swept(tmp_path: Path) -> None:
    with another_process_staging(tmp_path, None):
        (other,) = staged_folders(tmp_path)
        load(tmp_path, "orders")
        assert staged_folders(tmp_path) == {other}
    load(tmp_path, "orders")
    assert staged_folders(tmp_path) == set()


def test_a_shared_load_waits_two_days_for_its_other_processes(tmp_path: Path) -> None:
    with another_process_staging(tmp_path, "run-1"):
        pass
    load(tmp_path, "orders")
    assert staged_folders(tmp_path) == {"run-1"}
    long_ago = time.time() - staging.KEPT.total_seconds() - 60
    for path in [tmp_path / "staged" / "run-1", *(tmp_path / "staged" / "run-1").rglob("*")]:
        os.utime(path, (long_ago, long_ago))
    load(tmp_path, "orders")
    assert staged_folders(tmp_path) == set()


# --- several files


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file every 100 rows, as a large table has many."""
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 100)
    monkeypatch.setattr(LocalFiles, "file_bytes", 1)


@pytest.mark.parametrize("replace", [False, True], ids=["merge", "refresh"])
def test_rows_of_several_files_are_merged_into_a_table_that_is_there(
    tmp_path: Path, small_files: None, replace: bool
) -> None:
    load(tmp_path, "products", rows=350)
    warehouse = DuckDBWarehouse(settings_of(tmp_path))
    with warehouse.begin_load(SHOP, DAY, Window(None, END)) as open_load:
        open_load.stage(PRODUCTS, [rows_of(PRODUCTS, 500, END.replace(hour=7))])
        record = open_load.commit(END, replace=replace)
    (counts,) = record.tables
    assert (counts.inserted, counts.updated) == ((500, 0) if replace else (150, 350))
    assert warehouse.query(
        "select count(*), count(distinct product_id), min(_load_id), max(_load_id) "
        "from ecommerce_raw.postgres.raw_products"
    ) == [(500, 500, record.load_id, record.load_id)]


@pytest.mark.parametrize("first", [True, False], ids=["first", "merge"])
def test_a_key_that_comes_twice_is_loaded_once(
    tmp_path: Path, small_files: None, first: bool
) -> None:
    warehouse = DuckDBWarehouse(settings_of(tmp_path))
    if not first:
        load(tmp_path, "products", rows=10)
    with warehouse.begin_load(SHOP, DAY, Window(None, END)) as open_load:
        old, new = END.replace(year=2025), END.replace(hour=7)
        open_load.stage(PRODUCTS, [rows_of(PRODUCTS, 500, old), rows_of(PRODUCTS, 50, new)])
        open_load.commit(END)
    assert warehouse.query(
        "select count(*), count(*) filter (updated_at = ?) from "
        "ecommerce_raw.postgres.raw_products",
        [new],
    ) == [(500, 50)]


# --- wide rows


@pytest.mark.slow
def test_wide_rows_that_nothing_compresses_leave_a_third_of_the_memory_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """200 MB of payloads as wide as Stripe's, but random."""
    monkeypatch.setattr(duckdb_warehouse, "MEMORY_LIMIT", "128MB")
    (charges, *others) = source("charges").tables

    def wide() -> Iterator[pa.RecordBatch]:
        few = rows_of(charges, 1000)
        places = {name: few.schema.get_field_index(name) for name in ("charge_id", "payload")}
        for number in range(100):
            ids = pa.array([f"ch_{number}_{n}" for n in range(1000)])
            payloads = pa.array([f'{{"x": "{secrets.token_hex(1000)}"}}' for _ in range(1000)])
            yield few.set_column(places["charge_id"], "charge_id", ids).set_column(
                places["payload"], "payload", payloads
            )

    with DuckDBWarehouse(settings_of(tmp_path)).begin_load(
        source("charges"), DAY, Window(None, END)
    ) as open_load:
        assert open_load.stage(charges, wide()) == 100_000
        for table in others:
            open_load.stage(table, [])
        assert open_load.commit(END).tables[0].inserted == 100_000
