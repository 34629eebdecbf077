"""The embedded warehouse: DuckDB files in one folder, opened for as short as possible under a file
lock.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime, timedelta
from typing import Literal

import duckdb
import pyarrow as pa

from pipeline.contracts import Column, RawTable, Source
from pipeline.errors import PermanentError, WarehouseUnavailableError
from pipeline.records import DayState, LoadRecord, Reject, Window
from warehouse.arrow import arrow_type
from warehouse.duckdb import beside as duckdb_beside
from warehouse.duckdb import days, records
from warehouse.duckdb.beside import MEMORY_LIMIT_AHEAD, TableBeside, drop_abandoned
from warehouse.duckdb.lock import warehouse_lock
from warehouse.duckdb.memory import return_freed_memory
from warehouse.duckdb.merge import Stamp, merge, rebuild
from warehouse.duckdb.sql import address, existing_columns, quoted
from warehouse.parquet import write_part
from warehouse.settings import WarehouseSettings
from warehouse.staging import StagedLoad, StagedPart, checksum, open_staged_load, utc_now
from warehouse.waiting import days_to_build

__all__ = ["DuckDBLoad", "DuckDBWarehouse", "warehouse_lock"]

RAW_FILE = "ecommerce_raw.duckdb"
STAGED_FOLDER = "staged"
MEMORY_LIMIT = "192MB"  # beyond it DuckDB spills to disk
MAX_THREADS = 2  # each needs its share of the memory
_DISK_ERRORS = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,  # also when the disk is full that DuckDB spills to
    duckdb.TransactionException,  # "failed to commit", because the log could not be written
    duckdb.FatalException,
    duckdb.SerializationException,
)


class DuckDBWarehouse:
    """``Warehouse`` on DuckDB. Holds no connection: every use opens the file under the lock and
    closes it again.
    """

    dialect: Literal["duckdb"] = "duckdb"

    def __init__(self, settings: WarehouseSettings) -> None:
        self.settings = settings

    @contextmanager
    def begin_load(
        self, source: Source, day: date, window: Window, *, load_id: str | None = None
    ) -> Iterator[DuckDBLoad]:
        return_freed_memory()
        with open_staged_load(
            self.settings.duckdb_dir / STAGED_FOLDER, source, day, window, load_id
        ) as staged:
            yield DuckDBLoad(self, source, staged, shared=load_id is not None)

    def watermark(self, source: Source) -> datetime | None:
        with self._reading() as connection:
            return records.watermark(connection, source)

    def raw_columns(self, table: RawTable) -> tuple[str, ...]:
        with self._reading() as connection:
            return tuple(existing_columns(connection, table))

    def load_records(self, day: date) -> tuple[LoadRecord, ...]:
        with self._reading() as connection:
            return records.latest_records(connection, day)

    def rows_loaded(self, days: Sequence[date]) -> dict[str, dict[date, int]]:
        with self._reading() as connection:
            return records.rows_loaded(connection, days)

    def day_state(self, day: date) -> DayState:
        with self._reading() as connection:
            return days.day_state(connection, day)

    def days_to_build(self, first: date, last: date) -> dict[date, str]:
        return days_to_build(self, first, last)

    def pending_days(self, since: date) -> list[date]:
        with self._reading() as connection:
            return days.pending_days(connection, since)

    def announce(self, announcement_id: str, day: date, source: Source) -> bool:
        with self.writing() as connection:
            if days.is_announced_by(connection, announcement_id, day):
                return True
            if days.day_state(connection, day).announced_by_all:
                return False
            days.add_announcements(connection, announcement_id, day, [source.name], utc_now())
            return True

    def begin_build(self, build_id: str, day: date) -> tuple[LoadRecord, ...]:
        with self.writing() as connection:
            days.add_build(connection, build_id, day, utc_now())
            return records.latest_records(connection, day)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        with self._reading() as connection:
            return connection.execute(sql, list(parameters)).fetchall()

    def mark_deleted(
        self, table: RawTable, keys: Iterable[pa.RecordBatch], seen_at: datetime
    ) -> int:
        schema = pa.schema(
            [pa.field(name, arrow_type(table.column(name).type)) for name in table.key]
        )
        gone = pa.Table.from_batches(list(keys), schema)
        same_key = " and ".join(f"raw.{quoted(name)} = gone.{quoted(name)}" for name in table.key)
        with self.writing() as connection:
            if not existing_columns(connection, table):
                return 0
            connection.register("gone", gone)
            marked = connection.execute(
                f"update {address(table)} raw set _deleted_at = ? from (select distinct * from "
                "gone) gone "
                f"where {same_key} and raw._deleted_at is null and raw._loaded_at <= ?",
                [seen_at, seen_at],
            ).fetchall()
            return int(marked[0][0])

    @contextmanager
    def writing(self, *, ahead: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction under the lock: committed when the block ends well, else undone.

        ``ahead``: while rows are still being read; does not wait for the lock, and leaves memory
        and a core to the reading.
        """
        settings = (
            self.settings.model_copy(update={"lock_timeout_seconds": 0}) if ahead else self.settings
        )
        with warehouse_lock(settings), self._opened(read_only=False, ahead=ahead) as connection:
            connection.execute("begin")
            records.create_record_tables(connection)
            days.create_day_tables(connection)
            drop_abandoned(connection, self.settings.duckdb_dir / STAGED_FOLDER)
            yield connection
            connection.execute("commit")

    @contextmanager
    def _reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A read-only connection under the lock that readers share."""
        if (self.settings.duckdb_dir / RAW_FILE).exists():
            with (
                warehouse_lock(self.settings, shared=True),
                self._opened(read_only=True) as connection,
            ):
                if records.record_tables_exist(connection):
                    yield connection
                    return
        with self.writing():  # nothing yet, or only what an undone first load has left
            pass
        with warehouse_lock(self.settings, shared=True), self._opened(read_only=True) as connection:
            yield connection

    @contextmanager
    def _opened(
        self, *, read_only: bool, ahead: bool = False
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        path = self.settings.duckdb_dir / RAW_FILE
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT_AHEAD if ahead else MEMORY_LIMIT,
            "threads": 1 if ahead else min(MAX_THREADS, os.cpu_count() or 1),
            "preserve_insertion_order": False,
            "temp_directory": str(self.settings.duckdb_dir / "tmp"),
        }
        try:
            connection = duckdb.connect(path, read_only=read_only, config=config)
            try:
                connection.execute("set enable_progress_bar = false")  # it draws into logs too
                yield connection
            finally:
                connection.close()
        except _DISK_ERRORS as error:
            raise WarehouseUnavailableError(
                f"The warehouse {path} cannot be used: {error}"
            ) from error


class DuckDBLoad:
    """``Load`` on DuckDB. The file is opened by ``commit`` only."""

    def __init__(
        self, warehouse: DuckDBWarehouse, source: Source, staged: StagedLoad, *, shared: bool
    ) -> None:
        self._warehouse = warehouse
        self._source = source
        self._staged = staged
        self._shared = shared
        self._unnamed = 0
        self._beside: dict[str, TableBeside | None] = {}  # of each table that was staged

    @property
    def load_id(self) -> str:
        return self._staged.load_id

    def stage(
        self, table: RawTable, batches: Iterable[pa.RecordBatch], *, part: str | None = None
    ) -> int:
        if part is None:
            if self._shared:
                raise PermanentError(
                    f"The load {self.load_id} is shared: say which part of {table.name} is staged."
                )
            part = f"part-{self._unnamed:05d}"
            self._unnamed += 1
        columns = (*table.columns, *self._staged.added_columns(table))
        return write_part(
            table,
            columns,
            batches,
            self._staged.part_folder(table, part),
            self._begin_beside(table, columns),
        )

    def _begin_beside(self, table: RawTable, columns: Sequence[Column]) -> TableBeside | None:
        """A table to load ahead into, where a core is free: for rows read from the beginning, in
        this process, in one go.
        """
        again = table.name in self._beside
        ahead = None
        if (
            duckdb_beside.MOST_FILES
            and self._staged.window.start is None
            and not self._shared
            and not again
        ):
            ahead = TableBeside(table, columns, self.load_id, self._staged.day, self._writing_ahead)
        elif again and (before := self._beside[table.name]):
            before.is_usable = False
        self._beside[table.name] = ahead or self._beside.get(table.name)
        return ahead

    def _writing_ahead(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        return self._warehouse.writing(ahead=True)

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        self._staged.reject(table, rejects)

    def add_column(self, table: RawTable, column: Column) -> None:
        self._staged.add_column(table, column)

    def commit(
        self,
        watermark: datetime | None,
        *,
        replace: bool = False,
        parts: Sequence[str] | None = None,
    ) -> LoadRecord:
        pa.default_memory_pool().release_unused()  # what staging took is DuckDB's to use now
        with self._warehouse.writing() as connection:
            record = records.record_of(connection, self.load_id) or self._commit(
                connection, watermark, replace, parts
            )
        self._staged.remove()
        return record

    def _commit(
        self,
        connection: duckdb.DuckDBPyConnection,
        watermark: datetime | None,
        replace: bool,
        parts: Sequence[str] | None,
    ) -> LoadRecord:
        staged, now = self._staged, utc_now()
        newest = records.newest_commit(connection)
        # Later than every commit before, even if the clock was set back: consumers take what is
        # newer than what they have.
        now = max(now, newest + timedelta(microseconds=1)) if newest else now
        stamp = Stamp(self.load_id, now, staged.day, staged.started_at)
        counts, found = [], []
        for table in self._source.tables:
            table_parts = _wanted(table, staged.parts(table), parts)
            found += table_parts
            columns = (*table.columns, *staged.added_columns(table))
            beside = self._beside.get(table.name)
            usable = beside if beside and beside.is_usable and beside.files else None
            counts.append(
                (rebuild if replace else merge)(
                    connection, table, columns, table_parts, stamp, usable
                )
            )
            if beside:
                connection.execute(
                    f"drop table if exists {beside.address}"
                )  # but for the one that has the raw name now
        rejected, first_rejects = records.add_rejected(
            connection, self.load_id, staged.source, staged.day, staged.rejected(), stamp.loaded_at
        )
        marks = [mark for mark in (watermark, records.watermark(connection, self._source)) if mark]
        record = LoadRecord(
            load_id=self.load_id,
            source=staged.source,
            day=staged.day,
            window=staged.window,
            watermark=max(marks, default=None),
            started_at=staged.started_at,
            extracted_at=max((part.finished_at for part in found), default=staged.started_at),
            committed_at=max(now, utc_now()),
            tables=tuple(counts),
            checksum=checksum(found),
            rows_rejected=rejected,
            rejects=first_rejects,
        )
        records.add_record(connection, record)
        return record


def _wanted(
    table: RawTable, staged: list[StagedPart], names: Sequence[str] | None
) -> list[StagedPart]:
    if names is None:
        return staged
    by_name = {part.name: part for part in staged}
    missing = [name for name in names if name not in by_name]
    if missing:
        raise PermanentError(
            f"Parts {', '.join(missing)} of {table.name} are not staged. Nothing was loaded. Run "
            "their tasks again."
        )
    return [by_name[name] for name in names]
