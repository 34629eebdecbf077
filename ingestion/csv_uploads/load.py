"""Loads a day of the CSV inbox: good rows up to the day are upserted, bad ones set aside."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import islice
from pathlib import Path

import duckdb

from ingestion.csv_uploads.contract import Header, check_header, columns_in_file, text_column
from ingestion.csv_uploads.inbox import Inbox, InboxFile
from ingestion.csv_uploads.reading import Encoding, Record, encoding_of, printable, read_records
from ingestion.csv_uploads.settings import CsvSettings
from ingestion.csv_uploads.sorting import BATCH_ROWS, RowSorter
from ingestion.csv_uploads.values import Value, ValueRefusedError, reader_for
from pipeline.contracts import Column, RawTable, Source
from pipeline.days import upper_bound
from pipeline.errors import ContractError, TooManyRejectsError, WarehouseUnavailableError
from pipeline.records import LoadRecord, Window
from pipeline.rejects import REJECTS_IN_ERROR, TEXT_CHARACTERS, Reject, refuse_too_many
from pipeline.settings import settings
from pipeline.sources import source
from warehouse import Load, Warehouse

logger = logging.getLogger(__name__)

SOURCE = source("marketing")


@dataclass(frozen=True)
class OpenedFile:
    """A file of the inbox, copied to the local disk, its header checked."""

    listed: InboxFile
    copy: Path
    encoding: Encoding
    header: Header


@dataclass(frozen=True)
class SortedRows:
    """All rows of one table. ``files`` are the names of those they came from, ``extra`` columns
    that no contract declares.
    """

    table: RawTable
    files: tuple[str, ...]
    extra: tuple[Column, ...]
    rows: RowSorter


class CsvLoader:
    """Marketing spend and campaign performance, together, in one load.

    The whole inbox is read every time: marketing is small, and a row counts from its own date on,
    not from the arrival of its file. Rows dated after the day wait for their day. A full refresh
    removes rows that are no longer in any file.
    """

    def __init__(self, settings: CsvSettings, warehouse: Warehouse) -> None:
        self._settings = settings
        self._warehouse = warehouse

    def run(self, day: date, *, full_refresh: bool = False) -> LoadRecord:
        """Load one day and return its record.

        Raises ``MissingInputError`` (no inbox, or no file of a table), ``ContractError`` (a
        header), ``TooManyRejectsError``, ``SourceUnavailableError`` (the inbox does not answer, or
        a file is being written), ``WarehouseUnavailableError`` (no space for temporary files).
        Nothing is loaded then.
        """
        try:
            record = self._run(day, full_refresh)
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise WarehouseUnavailableError(
                f"The CSV rows cannot be sorted in {tempfile.gettempdir()}: {error}"
            ) from error
        if record.rows_rejected:
            first = "; ".join(reject.sentence for reject in record.rejects)
            logger.warning(
                "%d rows were set aside in LOADS.REJECTED_ROWS. The first: %s.",
                record.rows_rejected,
                first,
            )
        return record

    def _run(self, day: date, full_refresh: bool) -> LoadRecord:
        inbox = Inbox(self._settings.inbox)
        known_until = self._warehouse.watermark(SOURCE)
        # A refresh for an old day must not take later days out of the table.
        until = max(day, known_until.date()) if full_refresh and known_until else day
        window = Window(None, upper_bound(until))
        watermark = max(filter(None, (known_until, window.end)))
        with (
            tempfile.TemporaryDirectory(prefix="csv-") as folder,
            self._warehouse.begin_load(SOURCE, day, window) as load,
        ):
            for sorted_rows in self.read(inbox, Path(folder)):
                self._load_table(load, sorted_rows, until)
            return load.commit(watermark, replace=full_refresh)

    def read(self, inbox: Inbox, folder: Path) -> Iterator[SortedRows]:
        """The rows of each table as its files give them now; each can be asked until the next is
        taken.
        """
        listings = {table.name: inbox.files(f"{table.name}*.csv") for table in SOURCE.tables}
        for table in SOURCE.tables:
            files = [_open(inbox, listed, table, folder) for listed in listings[table.name]]
            extra = tuple(
                text_column(name)
                for name in sorted({name for file in files for name in file.header.extra})
            )
            with RowSorter(table, extra, folder) as rows:
                for file in files:
                    read_file(file, table, extra, rows)
                rows.reject_contradictions()
                self._check_rejects(table, rows)
                yield SortedRows(table, tuple(file.listed.name for file in files), extra, rows)

    def _load_table(self, load: Load, read: SortedRows, until: date) -> None:
        table, rows = read.table, read.rows
        for column in read.extra:
            logger.warning("%s has gained the column %s: loaded as text.", table.name, column.name)
            load.add_column(table, column)
        staged = load.stage(table, rows.winners(until))
        load.reread(table, files=read.files)
        for rejects in rows.rejects():
            load.reject(table, rejects)
        waiting = rows.waiting(until)
        logger.info(
            "%s: %d files, %d rows staged, %d rejected, %d repeated or superseded, %d dated after "
            "%s and waiting",
            *(
                table.name,
                len(read.files),
                staged,
                rows.rejected,
                rows.accepted - waiting - staged,
                waiting,
                until,
            ),
        )

    def _check_rejects(self, table: RawTable, rows: RowSorter) -> None:
        first = [
            reject for batch in islice(rows.rejects(), 1) for reject in batch[:REJECTS_IN_ERROR]
        ]
        refuse_too_many(
            table.name,
            rows.rejected,
            rows.rejected + rows.accepted,
            self._settings.max_reject_ratio,
            "CSV_MAX_REJECT_RATIO",
            first,
        )
        if hopeless := rows.files_without_a_good_row():
            raise TooManyRejectsError(
                f"Not one row of {', '.join(hopeless)} is good; nothing was loaded. The first: "
                f"{'; '.join(reject.sentence for reject in first)}.",
                first,
            )


def load(source: Source, day: date, warehouse: Warehouse, full_refresh: bool) -> LoadRecord:
    """Load one day of ``marketing`` with the configured settings."""
    return CsvLoader(settings(CsvSettings), warehouse).run(day, full_refresh=full_refresh)


def _open(inbox: Inbox, listed: InboxFile, table: RawTable, folder: Path) -> OpenedFile:
    copy = folder / f"{len(list(folder.iterdir()))}-{table.name}.csv"
    inbox.copy(listed, copy)
    encoding = encoding_of(copy, listed.name)
    if encoding == "cp1252":
        logger.warning(
            "%s is not UTF-8: its accented letters are read as Windows-1252. Export it as UTF-8 to "
            "be sure.",
            listed.name,
        )
    header = next(read_records(copy, encoding), None)
    if header is None:
        raise ContractError(
            f"{listed.name} in {inbox.shown} is empty: not even a header. Export it again, or "
            "remove it."
        )
    if header.problem:
        raise ContractError(f"The header of {listed.name} (line {header.line}) {header.problem}.")
    return OpenedFile(listed, copy, encoding, check_header(header.values, table, listed.name))


def read_file(
    file: OpenedFile, table: RawTable, extra: tuple[Column, ...], rows: RowSorter
) -> None:
    """Every record after the header becomes a row or a reject."""
    positions = file.header.positions
    fields = [
        (column.name, positions.get(column.name), reader_for(column))
        for column in (*columns_in_file(table), *extra)
    ]
    lineage = (file.listed.name, file.listed.modified_at)
    for batch in _batches(islice(read_records(file.copy, file.encoding), 1, None)):
        accepted, rejected = [], []
        for record in batch:
            values: list[Value] = []
            problems: list[tuple[str | None, str]] = []
            if record.problem:
                problems.append((None, record.problem))
            else:
                for name, position, read in fields:
                    try:
                        values.append(None if position is None else read(record.values[position]))
                    except ValueRefusedError as refusal:
                        problems.append((name, str(refusal)))
            if problems:
                rejected.append(_rejected(file.listed.name, record, problems))
            else:
                accepted.append((*values, *lineage, record.line, record.text[:TEXT_CHARACTERS]))
        rows.add(accepted)
        rows.reject(rejected)


def _rejected(file: str, record: Record, problems: list[tuple[str | None, str]]) -> Reject:
    (column, reason), *others = problems
    also = "".join(f"; {name} {why}" for name, why in others)
    text = printable(record.text[:TEXT_CHARACTERS])
    return Reject(column, reason + also, text, file=file, line=record.line)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, BATCH_ROWS)):
        yield batch
