"""What is particular to the embedded warehouse: its files, their lock, Parquet read in place."""

# ruff: noqa: S608 - names come from the contract and are quoted

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import Literal

import duckdb
import pyarrow as pa

from pipeline.contracts import Column, RawTable
from pipeline.errors import WarehouseUnavailableError
from warehouse.base import Warehouse
from warehouse.duckdb.dev import copy_files
from warehouse.duckdb.lock import warehouse_lock
from warehouse.duckdb.publication import DuckDBPublications
from warehouse.duckdb.session import DuckDBSession, literal
from warehouse.manifest import StagedPart
from warehouse.records import create_record_tables, missing_tables
from warehouse.session import ANALYTICS, RAW, STAGING
from warehouse.settings import WarehouseSettings
from warehouse.staging import Files, load_folder

STAGED_FOLDER = "staged"
MEMORY_LIMIT = "192MB"  # beyond it DuckDB spills to disk
MAX_THREADS = 2  # each needs its share of the memory
VACUUM_WEEKDAY = 6
_DISK_ERRORS = (
    duckdb.IOException,
    duckdb.OutOfMemoryException,  # also when the disk is full that DuckDB spills to
    duckdb.TransactionException,  # "failed to commit", because the log could not be written
    duckdb.FatalException,
    duckdb.SerializationException,
)


class LocalFiles(Files):
    """Staged files stay where they are written: the commit reads them there."""

    def keep(self, file: Path) -> None:
        pass

    def finish(self) -> None:
        pass


class DuckDBWarehouse(Warehouse):
    """``Warehouse`` on DuckDB: every session opens the file under the lock and closes it again."""

    dialect: Literal["duckdb"] = "duckdb"

    def __init__(self, settings: WarehouseSettings) -> None:
        self.settings = settings

    @contextmanager
    def session(self, doing: str, *, writes: bool, **about: str) -> Iterator[DuckDBSession]:
        """A writing session is one transaction under the exclusive lock; readers share theirs."""
        pa.default_memory_pool().release_unused()  # what staging took is DuckDB's to use now
        if writes:
            with warehouse_lock(self.settings), self._opened(read_only=False) as session:
                session.execute("begin")
                create_record_tables(session)
                yield session
                session.execute("commit")
            return
        if self._file(RAW).exists():
            with (
                warehouse_lock(self.settings, shared=True),
                self._opened(read_only=True) as session,
            ):
                if not missing_tables(session):
                    yield session
                    return
        # Nothing yet, or only what an undone first load has left.
        with self.session(doing, writes=True) as session:
            yield session

    @contextmanager
    def _opened(self, *, read_only: bool) -> Iterator[DuckDBSession]:
        path = self._file(RAW)
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY_LIMIT,
            "threads": min(MAX_THREADS, os.cpu_count() or 1),
            "preserve_insertion_order": False,
            # It would fill the memory with staged files, which are read once or twice.
            "enable_external_file_cache": False,
            "temp_directory": str(self.settings.duckdb_dir / "tmp"),
        }
        try:
            with duckdb.connect(path, read_only=read_only, config=config) as connection:
                connection.execute("set enable_progress_bar = false")  # it draws into logs too
                yield DuckDBSession(connection)
        except _DISK_ERRORS as error:
            raise WarehouseUnavailableError(
                f"The warehouse {path} cannot be used: {error}"
            ) from error

    def _file(self, database: str) -> Path:
        return self.settings.duckdb_dir / f"{database.lower()}.duckdb"

    @contextmanager
    def files(self, load_id: str, *, shared: bool, **about: str) -> Iterator[Files]:
        files = LocalFiles(self.settings.duckdb_dir / STAGED_FOLDER, load_id)
        with load_folder(files.folder, shared=shared):
            yield files
            if files.are_loaded:
                shutil.rmtree(files.folder, ignore_errors=True)

    def arrive(
        self,
        session: DuckDBSession,  # type: ignore[override]
        load_id: str,
        table: RawTable,
        columns: Sequence[Column],
        parts: Sequence[StagedPart],
    ) -> list[str]:
        """A query for each file: the memory a MERGE takes grows with the rows it is given."""
        root = self.settings.duckdb_dir / STAGED_FOLDER
        pieces = []
        for part in parts:
            values = ", ".join(
                f"{session.quoted(c.name) if c.name in part.columns else 'null'}"
                f"::{session.type_name(c.type)} as {session.quoted(c.name)}"
                for c in columns
            )
            pieces += [
                f"select {values} from read_parquet({literal(root / file)})" for file in part.files
            ]
        return pieces or [_no_rows(session, columns)]

    def lock(self) -> AbstractContextManager[None]:
        return warehouse_lock(self.settings)

    @contextmanager
    def marts(self, *, read_only: bool = True) -> Iterator[DuckDBSession]:
        """A connection that sees the three databases under their names, those of them that exist.

        The caller holds ``lock()``.
        """
        with duckdb.connect() as connection:
            connection.execute("set timezone = 'UTC'")
            for database in (RAW, STAGING, ANALYTICS):
                file, writes = self._file(database), database == ANALYTICS and not read_only
                if not file.exists() and not writes:
                    continue
                mode = "" if writes else "(read_only)"
                try:
                    connection.execute(f"attach {literal(file)} as {database.lower()} {mode}")
                except duckdb.IOException as error:  # its text names who has the file open
                    raise WarehouseUnavailableError(
                        f"{file.name} cannot be opened: {error}. Is a shell or a tool open on it? "
                        "People should open the published file."
                    ) from error
            yield DuckDBSession(connection)

    def dbt_environment(self) -> dict[str, str]:
        folder = str(self.settings.duckdb_dir.resolve())
        return {"WAREHOUSE_KIND": self.dialect, "WAREHOUSE_DUCKDB_DIR": folder}

    def dbt_run_environment(self, day: date | None = None) -> dict[str, str]:
        """A build removes deleted rows on one day in seven only: it writes tables anew for that."""
        vacuum = day is None or day.weekday() == VACUUM_WEEKDAY
        return {"ECOMMERCE_VACUUM_TASKS": "100" if vacuum else "0"}

    def prepare_dev(self, *, fresh: bool) -> dict[str, str]:
        copy_files(self.settings, fresh=fresh)
        return {"DBT_TARGET": "dev", "WAREHOUSE_DUCKDB_DIR": str(self.settings.duckdb_dir)}

    @property
    def publications(self) -> DuckDBPublications:
        return DuckDBPublications(self)


def _no_rows(session: DuckDBSession, columns: Sequence[Column]) -> str:
    values = (f"null::{session.type_name(c.type)} as {session.quoted(c.name)}" for c in columns)
    return f"select {', '.join(values)} where false"
