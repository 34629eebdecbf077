"""Fills a table beside the raw one while rows are still being read, so that loading overlaps
extraction.

Only a load that reads its table from the beginning has one: it is going to be the whole table.
Nobody looks at the table beside until the load's commit gives it the time of the commit and the raw
table's name, in one transaction with everything else. It is a short cut and never needed: whatever
goes wrong with it, the commit takes all rows from the staged files.
"""

# ruff: noqa: S608 - names come from the contract and are quoted

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb

from pipeline.contracts import METADATA_COLUMNS, Column, RawTable
from pipeline.errors import WarehouseUnavailableError
from warehouse.duckdb.sql import (
    add_filled_column,
    create_table,
    duckdb_type,
    existing_columns,
    listed,
    parquet_files,
    quoted,
)

logger = logging.getLogger(__name__)
# Loading ahead keeps a core busy. Of two, the reading and what it reads from have both: 2,000,000
# rows took 5 % longer with it. Not more files than these: adding a column takes memory that grows
# with the table. The commit fills it in bounds.
MOST_FILES = 24 if (os.cpu_count() or 1) > 2 else 0
MEMORY_LIMIT_AHEAD = "96MB"  # the rows that are still being read need theirs
LOADED_AT = next(column for column in METADATA_COLUMNS if column.name == "_loaded_at")
_MARK = "__staged_by_"  # between the name of the raw table and the id of the load
_PAUSE_SECONDS = 0.06  # longer than others sleep between two looks at the lock: it is their turn


class TableBeside:
    """The table beside one raw table. Used as a ``with`` block around the staging of its rows.

    Args:
        try_writing: opens a transaction, and raises ``WarehouseUnavailableError`` at once while
            somebody else has the lock.
    """

    def __init__(
        self,
        table: RawTable,
        columns: Sequence[Column],
        load_id: str,
        day: date,
        try_writing: Callable[[], AbstractContextManager[duckdb.DuckDBPyConnection]],
    ) -> None:
        self.address = (
            f"{quoted(table.schema.lower())}.{quoted(table.raw_name.lower() + _MARK + load_id)}"
        )
        self.files: list[str] = []  # names of the staged files whose rows are in it
        self.is_usable = True
        self._table = table
        self._columns = columns
        self._load_id = load_id
        self._day = day
        self._try_writing = try_writing
        self._waiting: list[Path] = []
        self._is_over = threading.Event()
        self._filler = ThreadPoolExecutor(1, thread_name_prefix="beside")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for the transaction that is under way. Files that still wait are left to the commit."""
        self._is_over.set()
        self._filler.shutdown(cancel_futures=True)

    def add(self, file: Path) -> None:
        """A staged file is complete: insert its rows in the background, as soon as nobody else uses
        the warehouse.
        """
        self._waiting.append(file)
        self._filler.submit(self._insert_waiting)

    def _insert_waiting(self) -> None:
        if len(self.files) + len(self._waiting) > MOST_FILES:
            self.is_usable = False
        if not self._waiting or not self.is_usable or self._is_over.is_set():
            return
        has_begun = False
        inserted: list[str] = []
        try:
            with self._try_writing() as connection:
                has_begun = True
                if self.files or self._create(connection):
                    # File by file: once all rows are read, the commit takes the rest, with more
                    # than one thread.
                    while self._waiting and not self._is_over.is_set():
                        file = self._waiting[0]
                        values = ", ".join(
                            f"{quoted(column.name)}::{duckdb_type(column.type)}"
                            for column in self._columns
                        )
                        self.insert(connection, f"select {values} from {parquet_files([file])}")
                        inserted.append(self._waiting.pop(0).name)
                else:
                    self.is_usable = False
        except WarehouseUnavailableError as error:
            # Not begun: somebody else has the lock, and these files go with the next. Else nobody
            # knows what is in it now.
            self.is_usable = not has_begun
            logger.debug("Rows of %s are not loaded ahead: %s", self._table.name, error)
        except BaseException:
            self.is_usable = False
            logger.debug("Rows of %s are not loaded ahead.", self._table.name, exc_info=True)
        else:
            self.files += inserted
            self._is_over.wait(_PAUSE_SECONDS)

    def _create(self, connection: duckdb.DuckDBPyConnection) -> bool:
        """False if the rows are going to be merged into a table that is there: one that only gains
        a column.
        """
        existing = existing_columns(connection, self._table)
        if existing and any(column.name.lower() not in existing for column in self._columns):
            return False
        create_table(
            connection,
            self._table,
            self.address,
            self._columns,
            [column for column in METADATA_COLUMNS if column != LOADED_AT],
        )
        return True

    def insert(self, connection: duckdb.DuckDBPyConnection, rows: str) -> None:
        """Insert the rows of a query that has the declared columns in their order."""
        names = listed(
            [*(column.name for column in self._columns), "_load_id", "_day", "_deleted_at"]
        )
        connection.execute(
            f"insert into {self.address} ({names}) select *, ?::varchar, ?::date, null from "
            f"({rows})",
            [self._load_id, self._day],
        )

    def become_complete(self, connection: duckdb.DuckDBPyConnection, loaded_at: datetime) -> None:
        """All rows are in it: say when they were loaded. Only the commit knows."""
        add_filled_column(connection, self.address, LOADED_AT, loaded_at)


def drop_abandoned(connection: duckdb.DuckDBPyConnection, staged: Path) -> None:
    """Drop the tables of loads on which no process works any more; ``staged`` is the folder of the
    staged loads.
    """
    rows: list[tuple[str, str]] = connection.execute(
        "select schema_name, table_name from duckdb_tables() "
        "where database_name = current_database() and contains(table_name, ?)",
        [_MARK],
    ).fetchall()
    for schema, name in rows:
        if not _is_worked_on(staged / name.rpartition(_MARK)[2]):
            connection.execute(f"drop table {quoted(schema)}.{quoted(name)}")


def _is_worked_on(folder: Path) -> bool:
    try:
        descriptor = os.open(folder / "owner.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
