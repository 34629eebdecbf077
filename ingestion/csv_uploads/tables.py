"""Reads the files of each table, judges each by itself, and leaves the rows that count."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

from ingestion.csv_uploads.arrivals import Arrival, Arrivals
from ingestion.csv_uploads.contract import MAX_EXTRA_COLUMNS
from ingestion.csv_uploads.loaded import first_spellings, loaded_rows, usual_spend
from ingestion.csv_uploads.opening import open_file, read_file
from ingestion.csv_uploads.settings import CsvSettings
from ingestion.csv_uploads.sorting import FileContent, RowSorter
from ingestion.csv_uploads.spelling import Spellings
from pipeline.contracts import METADATA_COLUMNS, RawTable
from pipeline.errors import ContractError, PermanentError, TooManyRejectsError
from pipeline.files import FileRecord, FileState
from pipeline.rejects import REJECTS_IN_ERROR, Reject
from warehouse import Warehouse

logger = logging.getLogger(__name__)

FAR = timedelta(days=366)  # a row that is dated so much later than today is a mistake
END_OF_TIME = datetime(9999, 1, 1)


@dataclass(frozen=True)
class ReadTable:
    """What counts of one table, and the names of the files all rows of which were looked at."""

    table: RawTable
    files: tuple[str, ...]
    rows: RowSorter


class Reading:
    """The files that have to be read now, table by table.

    Args:
        until: rows count up to this day; the others wait for theirs.
        folder: for temporary files.
    """

    def __init__(
        self,
        settings: CsvSettings,
        warehouse: Warehouse,
        arrivals: Arrivals,
        until: date,
        folder: Path,
    ) -> None:
        self.arrivals = arrivals
        self._settings, self._warehouse = settings, warehouse
        self._until, self._folder = until, folder

    def tables(
        self, tables: Sequence[RawTable], *, beside_raw: bool = True, believe: bool = False
    ) -> Iterator[ReadTable]:
        """The rows of each table that count; each can be asked until the next is taken.

        Args:
            beside_raw: what the raw tables have is looked at: later versions there stay, and files
                that look like older copies are held.
            believe: a file counts even where the raw table has rows of a later version of it.
        """
        spellings = first_spellings(self._warehouse, tuple(tables))
        for table in tables:
            with RowSorter(table, self._folder) as rows:
                fresh = self._read(table, self.arrivals.fresh(table), rows, spellings)
                archived = self.arrivals.days_of_archived(table)
                days = _days_of(fresh, rows) + archived
                beside = self.arrivals.overlapping(table, days)
                read = [*fresh, *self._read(table, beside, rows, spellings)]
                rows.reject_far_dates(max(self._until, datetime.now(UTC).date()) + FAR)
                usual = usual_spend(self._warehouse, table)
                rows.reject_absurd_spend(usual, self._settings.max_spend_ratio)
                rows.sum_breakdowns()
                read = self._judged(read, rows)
                if beside_raw and days:
                    first, last = min(first for first, _ in days), max(last for _, last in days)
                    for loaded in loaded_rows(self._warehouse, table, first, last, spellings):
                        rows.add_loaded(loaded)
                    if not believe:
                        read = [a for a in read if not self._is_held(a, rows)]
                contents = {a.name: rows.content_of(a.name) for a in read}
                in_part = rows.keep_days_of([a.name for a in fresh], _days_before(fresh) + archived)
                rows.keep_newest_of_series(
                    [(a.name, END_OF_TIME if believe else a.record.modified_at) for a in read]
                )
                rows.reject_claims()
                read = self._judged(read, rows, contents)
                raw = self._warehouse.raw_columns(table)
                declared = {*table.column_names, *(c.name for c in METADATA_COLUMNS)}
                rows.keep_columns(raw, MAX_EXTRA_COLUMNS - len(set(raw) - declared))
                self._note(read, contents, rows)
                whole = tuple(a.name for a in read if a.name not in in_part)
                yield ReadTable(table, whole, rows)

    def refusal(self) -> PermanentError | None:
        """What to raise of the files that were refused."""
        refused = self.arrivals.refused
        if not refused:
            return None
        said = " ".join(str(error) for error in refused.values())
        rejects = [r for e in refused.values() for r in getattr(e, "rejects", ())]
        return TooManyRejectsError(said, rejects) if rejects else ContractError(said)

    def _read(
        self, table: RawTable, arrivals: Iterable[Arrival], rows: RowSorter, spellings: Spellings
    ) -> list[Arrival]:
        """Read files; those that cannot be of the table are refused."""
        read = []
        for arrival in arrivals:
            assert arrival.copy is not None
            modified_at, layouts = arrival.record.modified_at, self._settings.all_layouts
            try:
                file = open_file(arrival.name, modified_at, arrival.copy, table, layouts)
            except ContractError as error:
                self.arrivals.refuse(arrival, error)
            else:
                read_file(file, table, rows, spellings)
                read.append(arrival)
        return read

    def _judged(
        self,
        read: Sequence[Arrival],
        rows: RowSorter,
        contents: Mapping[str, FileContent] | None = None,
    ) -> list[Arrival]:
        """The files that are good enough; the others are refused, and their rows are dropped.

        Args:
            contents: what the files held before rows of others took the place of some of theirs.
        """
        good = []
        for arrival in read:
            now = rows.content_of(arrival.name)
            before = contents[arrival.name] if contents else now
            total = before.rows + before.rejected
            if now.rejected > self._settings.max_reject_ratio * total:
                problem = (
                    f"{now.rejected:,} of {total:,} rows of {arrival.name} are bad, more than "
                    f"CSV_MAX_REJECT_RATIO allows ({self._settings.max_reject_ratio:.0%})"
                )
            elif now.rejected and now.rejected == total:
                problem = f"Not one row of {arrival.name} is good"
            else:
                good.append(arrival)
                continue
            first = [
                reject
                for some in islice(rows.rejects(arrival.name), 1)
                for reject in some[:REJECTS_IN_ERROR]
            ]
            said = "; ".join(reject.sentence for reject in first)
            error = TooManyRejectsError(
                f"{problem}; nothing of it was loaded. The first: {said}.", first
            )
            self.arrivals.refuse(arrival, error)
            rows.drop_file(arrival.name)
        return good

    def _is_held(self, arrival: Arrival, rows: RowSorter) -> bool:
        """Whether a file looks like an older copy; its rows are dropped then, and it is named."""
        content = rows.content_of(arrival.name)
        newer = self.arrivals.replaced_by(arrival, content.first_date, content.last_date)
        if not newer or not rows.goes_back(arrival.name, newer):
            return False
        reason = (
            f"looks like an older copy of {newer[-1]} and would undo some of it: it is not loaded. "
            "If it is a correction, say so in its name (corrected)"
        )
        logger.warning("%s %s.", arrival.name, reason)
        rows.drop_file(arrival.name)
        rows.reject([Reject(None, reason, "", file=arrival.name)])
        self.arrivals.note(_with_content(arrival, content, state="held", reason=reason))
        return True

    def _note(
        self, read: Sequence[Arrival], contents: Mapping[str, FileContent], rows: RowSorter
    ) -> None:
        for arrival in read:
            rejected = rows.content_of(arrival.name).rejected
            record = _with_content(arrival, contents[arrival.name], state="loaded")
            until = max(filter(None, (self._until, _read_until(arrival))))
            self.arrivals.note(replace(record, rejected=rejected, read_until=until))


def _read_until(arrival: Arrival) -> date | None:
    before = arrival.before
    return before.read_until if before and before.hash == arrival.record.hash else None


def _with_content(
    arrival: Arrival, content: FileContent, state: FileState, reason: str | None = None
) -> FileRecord:
    return replace(
        arrival.record,
        state=state,
        reason=reason,
        rows=content.rows,
        rejected=content.rejected,
        first_date=content.first_date,
        last_date=content.last_date,
        channels=content.channels,
    )


def _days_of(fresh: Sequence[Arrival], rows: RowSorter) -> list[tuple[date, date]]:
    """The first and last dates of files that are new or changed, now and before."""
    found = [days for arrival in fresh if (days := rows.range_of(arrival.name))]
    return found + _days_before(fresh)


def _days_before(fresh: Sequence[Arrival]) -> list[tuple[date, date]]:
    return [a.before.dates for a in fresh if a.before is not None and a.before.dates is not None]
