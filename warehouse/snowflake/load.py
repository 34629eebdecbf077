"""One load into Snowflake: parts go to the stage as they are read, ``commit`` brings them in with
the record, all in one.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.contracts import Column, RawTable, Source
from pipeline.errors import PermanentError, PipelineError
from pipeline.records import LoadRecord, Reject
from warehouse.snowflake import records
from warehouse.snowflake.errors import retried
from warehouse.snowflake.merge import Stamp, merge, rebuild
from warehouse.snowflake.notes import Notes
from warehouse.snowflake.records import STAGE
from warehouse.snowflake.session import execute, rows
from warehouse.snowflake.sql import (
    add_missing_columns,
    changed_types,
    create_incoming,
    create_raw_table,
    existing_columns,
    incoming,
    refuse_changed_types,
    retype,
    safe,
)
from warehouse.snowflake.upload import Uploads, write_files
from warehouse.staging import StagedPart, checksum, utc_now

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from warehouse.snowflake.warehouse import SnowflakeWarehouse

logger = logging.getLogger(__name__)


class SnowflakeLoad:
    """``Load`` on Snowflake. A shared load's notes are in the warehouse, so that its processes may
    run on several machines.

    Args:
        notes: what was said of the load and its parts.
        folder: a folder of this process; files wait in it for their upload.
    """

    def __init__(
        self, warehouse: SnowflakeWarehouse, source: Source, notes: Notes, folder: Path, tag: str
    ) -> None:
        self._warehouse, self._source, self._notes, self._folder, self._tag = (
            warehouse,
            source,
            notes,
            folder,
            tag,
        )
        self._uploads = Uploads(warehouse.settings, tag)
        self._unnamed = 0
        self.committed = False

    @property
    def load_id(self) -> str:
        return self._notes.load_id

    def stage(
        self, table: RawTable, batches: Iterable[pa.RecordBatch], *, part: str | None = None
    ) -> int:
        if part is None:
            if self._notes.shared:
                raise PermanentError(
                    f"The load {self.load_id} is shared: say which part of {table.name} is staged."
                )
            part = f"part-{self._unnamed:05d}"
            self._unnamed += 1
        columns = (*table.columns, *self._notes.added_columns(table))
        # A try of its own: what an earlier one has left on the stage under this part's name is
        # never mixed in.
        place = f"{safe(self.load_id)}/{table.name}/{safe(part)}-{secrets.token_hex(3)}"
        size = self._warehouse.settings.part_mb
        written = write_files(
            table,
            columns,
            batches,
            self._folder / place,
            size,
            lambda file: self._uploads.submit(file, place),
        )
        if self._notes.shared:
            self._uploads.finish()  # the part counts from now on, for processes elsewhere too
        files = tuple(Path(place) / name for name in written.files)
        self._notes.add_part(
            StagedPart(
                table.name, part, files, written.rows, written.size, written.digest, utc_now(), None
            )
        )
        return written.rows

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        said = [{"table_name": table.raw_name.lower(), **asdict(reject)} for reject in rejects]
        self._notes.add_rejects(said)

    def add_column(self, table: RawTable, column: Column) -> None:
        self._notes.add_column(table, column)

    def commit(
        self,
        watermark: datetime | None,
        *,
        replace: bool = False,
        parts: Sequence[str] | None = None,
    ) -> LoadRecord:
        self._uploads.finish()
        record = retried(self._warehouse.settings, self._commit, watermark, replace, parts)
        self.committed = True
        return record

    def close(self) -> None:
        """Forget what this process has staged, unless others still need it."""
        self._uploads.close()
        if self.committed or (not self._notes.shared and self._uploads.begun):
            with (
                suppress(PipelineError),
                self._warehouse.session(f"clean up after {self.load_id}", self._tag) as connection,
            ):
                self._notes.forget(connection)
                _remove(connection, safe(self.load_id))
                for table in self._source.tables:
                    execute(connection, f"drop table if exists {incoming(self.load_id, table)}")
                if self.committed:
                    sweep(connection)

    def _commit(
        self, watermark: datetime | None, replace: bool, parts: Sequence[str] | None
    ) -> LoadRecord:
        with self._warehouse.session(f"load {self._source.name}", self._tag) as connection:
            self._warehouse.prepare(connection)
            if done := records.record_of(connection, self.load_id):
                return done  # by the try before, whose answer was lost, or by another process
            staged = {
                table.name: _wanted(table, self._notes.parts(table), parts)
                for table in self._source.tables
            }
            columns = {
                table.name: (*table.columns, *self._notes.added_columns(table))
                for table in self._source.tables
            }
            # DDL commits whatever is open: all of it comes before the transaction.
            self._ready_tables(connection, columns, replace)
            for table in self._source.tables:
                self._copy(connection, table, columns[table.name], staged[table.name])
            execute(connection, "begin")
            try:
                record = self._write(connection, staged, columns, watermark, replace)
                execute(connection, "commit")
            except BaseException:
                with suppress(Exception):
                    execute(connection, "rollback")
                raise
            return record

    def _ready_tables(
        self, connection: SnowflakeConnection, columns: dict[str, tuple[Column, ...]], replace: bool
    ) -> None:
        existing = {
            table.name: existing_columns(connection, table) for table in self._source.tables
        }
        if not replace:
            for table in self._source.tables:
                refuse_changed_types(table, columns[table.name], existing[table.name])
        for table in self._source.tables:
            has, wanted = existing[table.name], columns[table.name]
            if not has:
                create_raw_table(connection, table, wanted)
                continue
            if changed_types(wanted, has):
                retype(connection, table, wanted, has)
            add_missing_columns(connection, table, wanted, has)

    def _copy(
        self,
        connection: SnowflakeConnection,
        table: RawTable,
        columns: Sequence[Column],
        parts: Sequence[StagedPart],
    ) -> None:
        name = incoming(self.load_id, table)
        create_incoming(connection, name, columns)
        folders = sorted({str(part.files[0].parent) for part in parts if part.files})
        if (
            folders
            and not self._notes.shared
            and not self._notes.has_superseded
            and len(parts) == len(self._notes.parts(table))
        ):
            folders = [
                f"{safe(self.load_id)}/{table.name}"
            ]  # nothing else is in there: one COPY for all parts
        for folder in folders:
            execute(
                connection,
                f"copy into {name} from @{STAGE}/{folder}/ file_format = (type = parquet "
                "use_logical_type = true) "
                "match_by_column_name = case_insensitive on_error = abort_statement",
            )
        ((arrived,),) = rows(connection, f"select count(*) from {name}")
        if arrived != sum(part.rows for part in parts):
            raise PermanentError(
                f"{sum(part.rows for part in parts):,} rows of {table.name} were staged, but "
                f"{arrived:,} have arrived in "
                f"Snowflake. Nothing was loaded. Run the load {self.load_id} again."
            )

    def _write(
        self,
        connection: SnowflakeConnection,
        staged: dict[str, list[StagedPart]],
        columns: dict[str, tuple[Column, ...]],
        watermark: datetime | None,
        replace: bool,
    ) -> LoadRecord:
        notes = self._notes
        records.take_lock(connection, self._source.name, utc_now())
        newest = records.newest_commit(connection)
        # Later than every commit before, whatever this machine's clock says: consumers take what is
        # newer than what they have.
        now = max(utc_now(), newest + timedelta(microseconds=1)) if newest else utc_now()
        stamp = Stamp(self.load_id, now, notes.day, notes.started_at)
        bring = rebuild if replace else merge
        counts = tuple(
            bring(
                connection,
                table,
                columns[table.name],
                incoming(self.load_id, table),
                sum(part.rows for part in staged[table.name]),
                stamp,
            )
            for table in self._source.tables
        )
        rejected, first = records.add_rejected(
            connection, self.load_id, self._source.name, notes.day, notes.rejected(), now
        )
        found = [part for parts in staged.values() for part in parts]
        marks = [mark for mark in (watermark, records.watermark(connection, self._source)) if mark]
        record = LoadRecord(
            load_id=self.load_id,
            source=self._source.name,
            day=notes.day,
            window=notes.window,
            watermark=max(marks, default=None),
            started_at=notes.started_at,
            extracted_at=max((part.finished_at for part in found), default=notes.started_at),
            committed_at=max(now, utc_now()),
            tables=counts,
            checksum=checksum(found),
            rows_rejected=rejected,
            rejects=first,
        )
        records.add_record(connection, record)
        return record


def _wanted(
    table: RawTable, staged: Sequence[StagedPart], names: Sequence[str] | None
) -> list[StagedPart]:
    if names is None:
        return list(staged)
    by_name = {part.name: part for part in staged}
    if missing := [name for name in names if name not in by_name]:
        raise PermanentError(
            f"Parts {', '.join(missing)} of {table.name} are not staged. Nothing was loaded. Run "
            "their tasks again."
        )
    return [by_name[name] for name in names]


def _remove(connection: SnowflakeConnection, folder: str) -> None:
    execute(connection, f"remove @{STAGE}/{folder}/")


KEPT = timedelta(days=2)  # what a killed process has left, or a shared load that nobody committed


def sweep(connection: SnowflakeConnection, now: datetime | None = None) -> list[str]:
    """Remove staged files, notes and incoming tables older than two days; returns the folders that
    were removed.
    """
    from email.utils import parsedate_to_datetime

    before = (now or utc_now()) - KEPT
    newest: dict[str, datetime] = {}
    for name, _, _, modified in rows(connection, f"list @{STAGE}"):
        folder = str(name).split("/")[1]
        at = parsedate_to_datetime(str(modified)).replace(tzinfo=None)
        newest[folder] = max(at, newest.get(folder, at))
    old = sorted(folder for folder, at in newest.items() if at < before)
    for folder in old:
        logger.info(
            "Files of %s were staged before %s and never loaded: they are removed.", folder, before
        )
        _remove(connection, folder)
    execute(connection, "delete from LOADS.SHARED_LOADS where said_at < ?", [before])
    left = rows(
        connection,
        "select table_name from information_schema.tables where table_schema = 'LOADS' "
        "and startswith(table_name, 'INCOMING_') and created < ?",
        [before],
    )
    for (name,) in left:
        execute(connection, f'drop table if exists LOADS."{name}"')
    return old
