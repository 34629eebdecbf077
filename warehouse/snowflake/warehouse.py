"""The production warehouse: Snowflake, through sessions that are as short as what they are for."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import pyarrow as pa

from pipeline.contracts import RawTable, Source
from pipeline.errors import PermanentError, WarehouseUnavailableError
from pipeline.records import DayState, LoadRecord, Window
from pipeline.sources import SOURCES
from warehouse.arrow import arrow_type
from warehouse.snowflake import records
from warehouse.snowflake.errors import retried
from warehouse.snowflake.load import KEPT, SnowflakeLoad
from warehouse.snowflake.notes import Notes, OwnNotes, SharedNotes
from warehouse.snowflake.records import DAYS_LOCK
from warehouse.snowflake.session import execute, query_tag, rows, session
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.sql import address, existing_columns, identifier, listed, snowflake_type
from warehouse.staging import utc_now
from warehouse.waiting import days_to_build

if TYPE_CHECKING:
    from collections.abc import Callable

    from snowflake.connector import SnowflakeConnection

logger = logging.getLogger(__name__)
R = TypeVar("R")
KEYS_AT_ONCE = 10_000


class SnowflakeWarehouse:
    """``Warehouse`` on Snowflake. Holds no session: every use opens one, and is tried again after a
    passing error.
    """

    dialect: Literal["snowflake"] = "snowflake"

    def __init__(self, settings: SnowflakeSettings) -> None:
        self.settings = settings
        self._prepared = False

    @contextmanager
    def session(self, doing: str, tag: str = "") -> Iterator[SnowflakeConnection]:
        """A session of the loader in the raw database. ``doing`` completes "Snowflake could not
        ...".
        """
        with session(self.settings, "load", doing=doing, tag=tag) as connection:
            yield connection

    def prepare(self, connection: SnowflakeConnection) -> None:
        """Create what is missing of the loader's own tables. DDL: never inside a transaction."""
        if not self._prepared:
            records.create_record_tables(connection)
            self._prepared = True

    @contextmanager
    def begin_load(
        self, source: Source, day: date, window: Window, *, load_id: str | None = None
    ) -> Iterator[SnowflakeLoad]:
        if load_id is not None and not load_id.strip():
            raise PermanentError(f"{load_id!r} cannot be the id of a load.")
        tag = query_tag(source=source.name, day=str(day))
        name = load_id or f"{source.name}-{day}-{utc_now():%H%M%S}-{secrets.token_hex(4)}"
        folder = self._folder()
        try:
            retried(
                self.settings, self._ask, "reach the loader's tables", lambda connection: None, tag
            )
            notes: Notes = (
                SharedNotes(
                    lambda: self.session(f"keep notes of {name}", tag), name, source, day, window
                )
                if load_id
                else OwnNotes(name, day, window, folder)
            )
            load = SnowflakeLoad(self, source, notes, folder, tag)
            try:
                yield load
            finally:
                load.close()
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def watermark(self, source: Source) -> datetime | None:
        return self._asked(
            "read the watermark", lambda connection: records.watermark(connection, source)
        )

    def raw_columns(self, table: RawTable) -> tuple[str, ...]:
        return self._asked(
            "read the columns", lambda connection: tuple(existing_columns(connection, table))
        )

    def load_records(self, day: date) -> tuple[LoadRecord, ...]:
        return self._asked(
            "read the load records", lambda connection: records.latest_records(connection, day)
        )

    def rows_loaded(self, days: Sequence[date]) -> dict[str, dict[date, int]]:
        return self._asked(
            "read the load records", lambda connection: records.rows_loaded(connection, days)
        )

    def day_state(self, day: date) -> DayState:
        return self._asked(
            "read the announcements", lambda connection: records.day_state(connection, day)
        )

    def days_to_build(self, first: date, last: date) -> dict[date, str]:
        return days_to_build(self, first, last)

    def pending_days(self, since: date) -> list[date]:
        return self._asked(
            "read the announcements", lambda connection: records.pending_days(connection, since)
        )

    def announce(self, announcement_id: str, day: date, source: Source) -> bool:
        def write(connection: SnowflakeConnection) -> bool:
            if records.is_announced_by(connection, announcement_id, day):
                return True
            if records.day_state(connection, day).announced_by_all:
                return False
            records.add_announcements(connection, announcement_id, day, [source.name], utc_now())
            return True

        return self._written(f"announce {day}", write, day)

    def begin_build(self, build_id: str, day: date) -> tuple[LoadRecord, ...]:
        def write(connection: SnowflakeConnection) -> tuple[LoadRecord, ...]:
            records.add_build(connection, build_id, day, utc_now())
            return records.latest_records(connection, day)

        return self._written(f"begin the build of {day}", write, day)

    def record_breach(
        self, scope: str, day: date, sla_seconds: float, since: datetime, waiting_for: str
    ) -> None:
        """Record that a scope was late on a day, once. ``since`` is UTC without a zone."""

        def write(connection: SnowflakeConnection) -> None:
            records.add_breach(connection, scope, day, sla_seconds, since, utc_now(), waiting_for)

        self._written(f"record the breach of {scope}", write, day)

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        return self._asked("answer a query", lambda connection: rows(connection, sql, parameters))

    def mark_deleted(
        self, table: RawTable, keys: Iterable[pa.RecordBatch], seen_at: datetime
    ) -> int:
        schema = pa.schema(
            [pa.field(name, arrow_type(table.column(name).type)) for name in table.key]
        )
        gone = sorted(
            set(zip(*pa.Table.from_batches(list(keys), schema).to_pydict().values(), strict=True))
        )
        name = f'LOADS."INCOMING_KEYS_{table.name.upper()}_{secrets.token_hex(4).upper()}"'

        def mark(connection: SnowflakeConnection) -> int:
            if not gone or not existing_columns(connection, table):
                return 0
            definitions = [
                f"{identifier(key)} {snowflake_type(table.column(key).type)}" for key in table.key
            ]
            execute(
                connection, f"create or replace transient table {name} ({', '.join(definitions)})"
            )
            try:
                for start in range(0, len(gone), KEYS_AT_ONCE):
                    holes = ", ".join("?" * len(table.key))
                    statement = f"insert into {name} ({listed(table.key)}) values ({holes})"  # noqa: S608
                    connection.cursor().executemany(statement, gone[start : start + KEYS_AT_ONCE])
                execute(connection, "begin")
                records.take_lock(connection, _source_of(table).name, utc_now())
                same = " and ".join(
                    f"target.{identifier(key)} = gone.{identifier(key)}" for key in table.key
                )
                ((marked, *_),) = rows(
                    connection,
                    f'update {address(table)} target set "_DELETED_AT" = ? from {name} gone '  # noqa: S608
                    f'where {same} and target."_DELETED_AT" is null and target."_LOADED_AT" <= ?',
                    [seen_at, seen_at],
                )
                execute(connection, "commit")
            finally:
                execute(connection, f"drop table if exists {name}")
            return int(marked)

        return self._asked(f"mark rows of {table.name} as deleted", mark)

    def _asked(self, doing: str, question: Callable[[SnowflakeConnection], R], *days: date) -> R:
        tag = query_tag(day=", ".join(map(str, days)))
        return retried(self.settings, self._ask, doing, question, tag)

    def _ask(self, doing: str, question: Callable[[SnowflakeConnection], R], tag: str) -> R:
        with self.session(doing, tag) as connection:
            self.prepare(connection)
            return question(connection)

    def _written(self, doing: str, write: Callable[[SnowflakeConnection], R], *days: date) -> R:
        """Run the writes in one transaction, one after the other with all that write about days."""

        def transaction(connection: SnowflakeConnection) -> R:
            execute(connection, "begin")  # a session that ends without a commit is rolled back
            records.take_lock(connection, DAYS_LOCK, utc_now())
            result = write(connection)
            execute(connection, "commit")
            return result

        return self._asked(doing, transaction, *days)

    def _folder(self) -> Path:
        """A folder of this process; old ones, which killed processes have left, are swept on the
        way.
        """
        root = self.settings.staging_dir
        folder = root / f"load-{secrets.token_hex(6)}"
        try:
            folder.mkdir(parents=True)
            for other in root.glob("load-*"):
                if time.time() - other.stat().st_mtime > KEPT.total_seconds():
                    shutil.rmtree(other, ignore_errors=True)
        except OSError as error:
            raise WarehouseUnavailableError(
                f"Rows cannot wait for their upload in {root}: {error.strerror}. Check "
                "SNOWFLAKE_STAGING_DIR."
            ) from error
        return folder


def _source_of(table: RawTable) -> Source:
    return next(
        source for source in SOURCES if any(each.name == table.name for each in source.tables)
    )
