"""One load, from the first staged row to its record: the same on every engine.

    with warehouse.begin_load(source, day, window) as load:     # nothing is visible yet
        load.stage(table, batches)                              # any number of times
        record = load.commit(watermark)                         # all tables and the record, or none

Staged rows wait in Parquet files. The commit makes the raw tables ready (DDL), lets the files
arrive
where SQL can read them, and then writes in one transaction: the rows of every table
(``warehouse.merge``), the rows set aside and the load record (``warehouse.records``).
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.contracts import Column, RawTable, Source
from pipeline.errors import PermanentError
from pipeline.files import FileRecord
from pipeline.records import LoadRecord
from pipeline.rejects import Reject
from warehouse import files as ledger
from warehouse import manifest as manifests
from warehouse import records, rejected, tables
from warehouse.manifest import Manifest, SharedManifest, StagedPart, checksum
from warehouse.merge import Stamp, mark_deleted, merge
from warehouse.parquet import write_part
from warehouse.session import Session, utc_now
from warehouse.staging import Files, safe

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse.base import Warehouse


COMMITS_LOCK = "commits"


def next_commit(session: Session) -> datetime:
    """A load time later than every one before, even if a clock was set back.

    Consumers take what is newer than what they have. Asked under ``COMMITS_LOCK``, so that load
    times grow in the order in which loads commit, whatever their source.
    """
    newest = records.newest_commit(session)
    return max(utc_now(), newest + timedelta(microseconds=1)) if newest else utc_now()


class Load:
    """One load in progress. Leaving its ``with`` block without ``commit`` discards what was staged.

    Not so a shared load (one begun with a ``load_id``): what was staged stays for the others.
    """

    def __init__(
        self, warehouse: Warehouse, source: Source, manifest: Manifest, files: Files
    ) -> None:
        self._warehouse, self._source = warehouse, source
        self._manifest, self._files = manifest, files
        self._added: dict[str, list[Column]] = {}
        self._unnamed = 0
        self._read_files: list[FileRecord] = []

    @property
    def load_id(self) -> str:
        return self._manifest.load_id

    def stage(
        self, table: RawTable, batches: Iterable[pa.RecordBatch], *, part: str | None = None
    ) -> int:
        """Write batches to staged Parquet as they come; return their number of rows.

        Memory is flat. Rows become visible with ``commit`` only.

        Args:
            batches: with the columns of the table (``warehouse.arrow.schema_of``) and those this
                load has added to it.
            part: names what is staged; staging under the same name again replaces it. A shared load
                must name its parts.

        Raises:
            ContractError: other columns or types, or a null in a key or another column that must
                have a value.
        """
        if part is None:
            if isinstance(self._manifest, SharedManifest):
                raise PermanentError(
                    f"The load {self.load_id} is shared: say which part of {table.name} is staged."
                )
            part = f"part-{self._unnamed:05d}"
            self._unnamed += 1
        columns = (*table.columns, *self._added.get(table.name, ()))
        written = self._write(table, columns, batches, part)
        self._manifest.add_part(written)
        return written.rows

    def stage_gone(
        self, table: RawTable, keys: Iterable[pa.RecordBatch], *, part: str = "gone"
    ) -> int:
        """Stage the keys of rows that are gone from the source; return how many they are.

        ``commit`` marks these rows as deleted, but for those that another load has changed since
        this one began. Staged rows with such a key are there again.

        Args:
            keys: batches with the key columns of the table.
            part: staging under the same name again replaces it.
        """
        columns = tuple(table.column(name) for name in table.key)
        written = self._write(table, columns, keys, part)
        if written.rows:
            self._manifest.add_gone(written)
        return written.rows

    def _write(
        self,
        table: RawTable,
        columns: tuple[Column, ...],
        batches: Iterable[pa.RecordBatch],
        part: str,
    ) -> StagedPart:
        # A folder for each try: files of an earlier one are never mixed in.
        folder = self._files.folder / table.name / f"{safe(part)}-{secrets.token_hex(3)}"
        written = write_part(table, columns, batches, self._files, folder)
        if isinstance(self._manifest, SharedManifest):
            self._files.finish()  # the part counts from now on, for processes elsewhere too
        names = tuple(str((folder / n).relative_to(self._files.root)) for n in written.names)
        return StagedPart(
            table=table.name,
            name=part,
            files=names,
            columns=tuple(column.name for column in columns),
            rows=written.rows,
            digest=written.digest,
            finished_at=utc_now(),
        )

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        """Set rows aside; they reach ``LOADS.REJECTED_ROWS`` with ``commit``."""
        self._manifest.reject(table, rejects)

    def reread(
        self, table: RawTable, *, files: Sequence[str] = (), keys: Sequence[str] = ()
    ) -> None:
        """Say what was looked at again: what was set aside of it before and is not now is healed.

        These are files or keys; keys that are staged need not be named.
        """
        self._manifest.reread(table, files, keys)

    def note_files(self, files: Iterable[FileRecord]) -> None:
        """Say which files were read; ``commit`` writes them to ``LOADS.FILES``."""
        self._read_files += files

    def add_column(self, table: RawTable, column: Column) -> None:
        """Announce a column that the source has gained; the raw table gains it with ``commit``."""
        self._added.setdefault(table.name, []).append(column)
        self._manifest.add_column(table, column)

    def commit(
        self,
        watermark: datetime | None,
        *,
        replace: bool = False,
        parts: Sequence[str] | None = None,
        complete: bool = True,
    ) -> LoadRecord:
        """Upsert every staged table and write the load record, in one transaction.

        A row replaces the one with its key if its version is newer, or the same with other content;
        an equal row is left untouched, its metadata columns included. Columns that begin with ``_``
        are lineage (when fetched, from which file): they make no row different, and move on by
        themselves in a row that is otherwise equal. A row without version is older than any with
        one. Of several staged rows with one key the newest counts. A row marked as deleted before
        this load began is there again. A row of an append-only table, whose version never changes,
        replaces what was there when this load began. Every row that is written, and every row that
        is marked as deleted because its key was staged as gone, gets a ``_loaded_at`` later than
        that of any commit before.

        Args:
            watermark: up to here the source is complete now. A watermark never moves backward: the
                record keeps the newest one. None leaves it as it is.
            replace: the staged rows are the whole of every table of the source (full refresh). Each
                of them is written; rows that are not among them are marked as deleted, but for what
                another load has brought since this one began.
            parts: names of the parts that each table staged in a shared load must have; others are
                not looked at.
            complete: whether the source's day is loaded with this. If not, the rows are written,
                but no load record, so that the day is still to be loaded.
        """
        self._files.finish()
        record = self._warehouse.ask(
            f"load {self._source.name}",
            lambda session: self._commit(session, watermark, replace, parts, complete),
            writes=True,
            source=self._source.name,
            day=str(self._manifest.day),
        )
        self._files.are_loaded = True
        return record

    def _commit(
        self,
        session: Session,
        watermark: datetime | None,
        replace: bool,
        names: Sequence[str] | None,
        complete: bool,
    ) -> LoadRecord:
        if done := records.record_of(session, self.load_id):
            return done  # by the try before, whose answer was lost, or by another process
        staged = {t.name: self._manifest.parts(session, t, names) for t in self._source.tables}
        columns = {
            table.name: (*table.columns, *self._manifest.added_columns(session, table))
            for table in self._source.tables
        }
        # On Snowflake DDL commits whatever is open: all of it comes before the transaction.
        for table in self._source.tables:
            if replace:
                tables.forget_columns(session, table, columns[table.name])
            else:
                tables.refuse_changed_types(session, table, table.columns)
        pieces, gone = {}, {}
        for table in self._source.tables:
            tables.make_ready(session, table, columns[table.name])
            pieces[table.name] = self._arrive(
                session, table, columns[table.name], staged[table.name]
            )
            if keys := self._manifest.gone(session, table):
                of_key = tuple(table.column(name) for name in table.key)
                gone[table.name] = self._arrive(session, table, of_key, keys, beside="-gone")
        with session.transaction(COMMITS_LOCK):
            stamp = Stamp(
                self.load_id, next_commit(session), self._manifest.day, self._manifest.started_at
            )
            # First what went: a row that is staged as well has come back.
            marked = {
                t.name: mark_deleted(session, t, gone[t.name], stamp.started_at, stamp)
                for t in self._source.tables
                if t.name in gone
            }
            counts = tuple(
                dataclasses.replace(
                    merge(session, t, columns[t.name], pieces[t.name], stamp, replace=replace),
                    deleted=marked.get(t.name, 0),
                )
                for t in self._source.tables
            )
            aside = rejected.write(
                session, self._source, self._manifest, pieces, stamp, everything=replace
            )
            found = [part for parts in staged.values() for part in parts]
            before = records.watermark(session, self._source)
            record = LoadRecord(
                load_id=self.load_id,
                source=self._source.name,
                day=stamp.day,
                window=self._manifest.window,
                watermark=max((mark for mark in (watermark, before) if mark), default=None),
                started_at=stamp.started_at,
                extracted_at=max((p.finished_at for p in found), default=stamp.started_at),
                committed_at=max(stamp.loaded_at, utc_now()),
                tables=counts,
                checksum=checksum(found),
                rows_rejected=aside.total,
                rows_newly_rejected=len(aside.new),
                rejects=aside.new[: records.REJECTS_IN_RECORD],
            )
            if complete:
                records.add_record(session, record)
            ledger.add_files(
                session, self._source.name, self.load_id, self._read_files, stamp.loaded_at
            )
            manifests.forget(session, self.load_id)
        return record

    def _arrive(
        self,
        session: Session,
        table: RawTable,
        columns: Sequence[Column],
        parts: Sequence[StagedPart],
        beside: str = "",
    ) -> list[str]:
        """Queries of all staged rows of a table; ``PermanentError`` if some have got lost.

        Args:
            beside: keeps what arrives apart from the table's other rows.
        """
        pieces = self._warehouse.arrive(session, self.load_id + beside, table, columns, parts)
        staged = sum(part.rows for part in parts)
        arrived = sum(session.rows(f"select count(*) from ({p}) staged")[0][0] for p in pieces)  # noqa: S608
        if arrived != staged:
            raise PermanentError(
                f"{staged:,} rows of {table.name} were staged, but {arrived:,} have arrived in the "
                f"warehouse. Nothing was loaded. Run the load {self.load_id} again."
            )
        return pieces
