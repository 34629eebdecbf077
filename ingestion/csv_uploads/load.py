"""Loads a day of the CSV inbox: a file is the unit, each is judged by itself, and the newest of a
series gives all rows of the days and channels it has.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

from ingestion.csv_uploads.arrivals import Arrivals, require_a_file_of_each_table
from ingestion.csv_uploads.awaited import late_series, mornings
from ingestion.csv_uploads.contract import text_column
from ingestion.csv_uploads.inbox import Inbox
from ingestion.csv_uploads.settings import CsvSettings
from ingestion.csv_uploads.tables import Reading, ReadTable
from pipeline.contracts import Source
from pipeline.days import upper_bound
from pipeline.errors import AwaitedInputError, PermanentError, WarehouseUnavailableError
from pipeline.records import LoadRecord, Window
from pipeline.settings import settings
from pipeline.sources import source
from warehouse import Load, Warehouse

logger = logging.getLogger(__name__)

SOURCE = source("marketing")


class CsvLoader:
    """Marketing spend and campaign performance, together, in one load.

    A file is read when it is new or changed, with the known files that have rows of its days. A row
    counts from its own date on, not from the arrival of its file: rows dated after the day wait for
    their day. A full refresh reads everything, and removes rows that are no longer in any file.
    """

    def __init__(self, settings: CsvSettings, warehouse: Warehouse) -> None:
        self._settings = settings
        self._warehouse = warehouse

    def run(
        self,
        day: date,
        *,
        full_refresh: bool = False,
        repair: bool = False,
        go_without: bool = False,
    ) -> LoadRecord:
        """Load one day and return its record.

        Args:
            go_without: load what is there, whatever is late.
            repair: read everything, and believe it against what the raw tables have of later
                versions of the same files.

        Raises:
            MissingInputError: there is no inbox. Nothing is loaded.
            AwaitedInputError: a table has no file, or the files of a series are late. What is there
                is loaded, but the day is not. A day that was loaded before is not awaited again.
            ContractError, TooManyRejectsError: files are refused. The others are loaded, but the
                day is not: it has no load record.
            SourceUnavailableError: the inbox does not answer, or a file is being written.
            WarehouseUnavailableError: there is no space for temporary files.
        """
        known_until = self._warehouse.watermark(SOURCE)
        # A refresh for an old day must not take later days out of the table.
        until = max(day, known_until.date()) if full_refresh and known_until else day
        window = Window(None, upper_bound(until))
        watermark = max(filter(None, (known_until, window.end)))
        everything = full_refresh or repair
        may_wait = not (everything or go_without or self._is_loaded(day))
        with (
            self.reading(
                day, until, everything=everything, require=everything or may_wait
            ) as reading,
            self._warehouse.begin_load(SOURCE, day, window) as load,
        ):
            for read in reading.tables(SOURCE.tables, beside_raw=not full_refresh, believe=repair):
                self._load_table(load, read, until, withdraw=not full_refresh)
            load.note_files(reading.arrivals.records)
            refused = reading.refusal()
            if refused and full_refresh:
                raise refused
            stopped: PermanentError | None = refused
            if may_wait and not refused:
                stopped = self._awaited(reading, day)
            if stopped and not reading.arrivals.records:
                raise stopped
            record = load.commit(watermark, replace=full_refresh, complete=stopped is None)
        if stopped:
            raise stopped
        if record.rows_newly_rejected:
            logger.warning(
                "%d rows were set aside in LOADS.REJECTED_ROWS. The first: %s.",
                record.rows_newly_rejected,
                "; ".join(reject.sentence for reject in record.rejects),
            )
        return record

    @contextmanager
    def reading(
        self, day: date, until: date, *, everything: bool = False, require: bool = True
    ) -> Iterator[Reading]:
        """What the inbox gives now; to be asked within the block.

        Args:
            everything: read all files, whether known or not.
            require: each table must have a file.
        """
        inbox = Inbox(self._settings.inbox)
        listing = inbox.listing()
        if require:
            require_a_file_of_each_table(inbox, listing, SOURCE.tables)
        known = self._warehouse.file_records(SOURCE)
        try:
            with tempfile.TemporaryDirectory(prefix="csv-") as name:
                folder = Path(name)
                arrivals = Arrivals(
                    inbox, listing, known, SOURCE.tables, day, until, folder, everything=everything
                )
                yield Reading(self._settings, self._warehouse, arrivals, until, folder)
        except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
            raise WarehouseUnavailableError(
                f"The CSV rows cannot be sorted in {tempfile.gettempdir()}: {error}"
            ) from error

    def _awaited(self, reading: Reading, day: date) -> AwaitedInputError | None:
        """What the day waits for."""
        records = [*reading.arrivals.known, *reading.arrivals.records]
        late = late_series(records, mornings(self._warehouse, SOURCE.name, day), day)
        if not late:
            return None
        names = "; ".join(map(str, late))
        return AwaitedInputError(f"{day} waits for newer files of {names}.")

    def _is_loaded(self, day: date) -> bool:
        return any(r.source == SOURCE.name for r in self._warehouse.load_records(day))

    def _load_table(self, load: Load, read: ReadTable, until: date, *, withdraw: bool) -> None:
        table, rows = read.table, read.rows
        for name in sorted(rows.extra):
            if name not in self._warehouse.raw_columns(table):
                logger.warning("%s has gained the column %s: loaded as text.", table.name, name)
            load.add_column(table, text_column(name))
        staged = load.stage(table, rows.winners(until))
        gone = load.stage_gone(table, rows.withdrawn(until)) if withdraw else 0
        load.reread(table, files=read.files)
        for rejects in rows.rejects():
            load.reject(table, rejects)
        logger.info(
            "%s: %d files read, %d rows staged, %d withdrawn, %d rejected, %d dated after %s and "
            "waiting",
            *(table.name, len(read.files), staged, gone, rows.rejected, rows.waiting(until), until),
        )


def load(source: Source, day: date, warehouse: Warehouse, full_refresh: bool) -> LoadRecord:
    """Load one day of ``marketing`` with the configured settings."""
    return CsvLoader(settings(CsvSettings), warehouse).run(day, full_refresh=full_refresh)


def load_what_is_there(day: date, warehouse: Warehouse) -> LoadRecord:
    """Load one day of ``marketing`` whatever is late, with the configured settings."""
    return CsvLoader(settings(CsvSettings), warehouse).run(day, go_without=True)
