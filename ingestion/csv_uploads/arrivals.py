"""Which files of the inbox have to be read: those that are new or changed, and those that have rows
of the same days.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path

from ingestion.csv_uploads.inbox import Inbox, InboxFile, Listing
from ingestion.csv_uploads.series import is_correction, series_of, table_of
from pipeline.contracts import RawTable
from pipeline.errors import AwaitedInputError, ContractError, PermanentError
from pipeline.files import FileRecord

logger = logging.getLogger(__name__)

NAMES_SHOWN = 5


@dataclass(frozen=True)
class Arrival:
    """A file of the inbox beside what is known of it.

    Attributes:
        before: its newest version that was read; None if there is none.
        copy: on the local disk; None while it need not be read.
        record: what the ledger will say of it, so far.
    """

    listed: InboxFile
    table: RawTable
    before: FileRecord | None
    copy: Path | None
    record: FileRecord

    @property
    def name(self) -> str:
        return self.listed.name


class Arrivals:
    """The files of an inbox and the ledger of what was read of them.

    Args:
        known: every version that was read, the oldest first.
        until: the day up to which rows are to be loaded.
        everything: read all files, whether known or not.
    """

    def __init__(
        self,
        inbox: Inbox,
        listing: Listing,
        known: Sequence[FileRecord],
        tables: tuple[RawTable, ...],
        day: date,
        until: date,
        folder: Path,
        *,
        everything: bool = False,
    ) -> None:
        self._inbox, self._folder, self._tables = inbox, folder, tables
        self._day, self._until, self._everything = day, until, everything
        self.known = known
        self._newest = {record.name: record for record in known}
        self.refused: dict[str, PermanentError] = {}
        self._records: dict[str, FileRecord] = {}
        found = [(file, table_of(file.name, tables)) for file in listing.files]
        self._note_unknown([file for file, table in found if table is None], listing.others)
        arrivals = [self._arrived(file, table) for file, table in found if table is not None]
        self._all = self._without_copies([a for a in arrivals if a is not None])
        there = {file.name for file in listing.files}
        gone = [r for r in self._newest.values() if r.state == "loaded" and r.name not in there]
        for record in gone:
            self.note(replace(record, state="archived", day=day))
        self._gone = gone

    def fresh(self, table: RawTable) -> list[Arrival]:
        """New or changed files of a table, those whose rows waited for their day, and those that
        were refused before.
        """
        return [a for a in self._all if a.table == table and a.copy is not None]

    def days_of_archived(self, table: RawTable) -> list[tuple[date, date]]:
        """First and last dates of the files of a table that are gone since the last load: what they
        contradicted may count now.
        """
        return [r.dates for r in self._gone if r.table == table.name and r.dates is not None]

    def overlapping(self, table: RawTable, days: Sequence[tuple[date, date]]) -> Iterator[Arrival]:
        """Known files of a table that have rows around these days (first and last), copied now."""
        for arrival in self._all:
            known = arrival.table == table and arrival.copy is None
            if known and arrival.record.state == "loaded" and arrival.record.overlaps(days):
                copied = self._copied(arrival)
                if copied is not None:
                    yield copied

    def replaced_by(self, arrival: Arrival, first: date | None, last: date | None) -> list[str]:
        """Files of its series that a file with these dates may be an older copy of: they have
        replaced the same content before, or they begin no earlier, end later, and it has half of
        their days. None for a file that is known, ends no earlier than its version before, or is
        called a correction.
        """
        before, record = arrival.before, arrival.record
        is_known = before is not None and before.hash == record.hash
        if first is None or last is None or is_known or is_correction(arrival.name):
            return []
        of_series = [
            r
            for r in self.known
            if (r.table, r.series, r.state) == (record.table, record.series, "loaded")
        ]
        hashes = [r.hash for r in of_series]
        if record.hash in hashes:
            return [r.name for r in of_series[hashes.index(record.hash) + 1 :]]
        if before is not None and before.last_date is not None and last >= before.last_date:
            return []
        newest = {r.name: r.dates for r in of_series if r.dates}
        return [
            name
            for name, (begin, end) in newest.items()
            if first <= begin <= last < end and 2 * (last - begin) >= end - begin
        ]

    def refuse(self, arrival: Arrival, error: PermanentError) -> None:
        self.refused[arrival.name] = error
        self.note(replace(arrival.record, state="refused", reason=str(error)))

    def note(self, record: FileRecord) -> None:
        """Have the ledger say so, unless it does."""
        before = self._newest.get(record.name)
        if before is None or replace(before, day=record.day) != record:
            self._records[record.name] = record
        else:
            self._records.pop(record.name, None)

    @property
    def records(self) -> list[FileRecord]:
        """What the ledger does not say yet."""
        return list(self._records.values())

    def _arrived(self, file: InboxFile, table: RawTable) -> Arrival | None:
        before = self._newest.get(file.name)
        record = FileRecord(
            name=file.name,
            table=table.name,
            series=series_of(file.name),
            size=file.size,
            hash="",
            modified_at=file.modified_at,
            state="loaded",
            day=self._day,
        )
        known = before if before is not None and self._is_known(before) else None
        if known and (file.size, file.modified_at) == (known.size, known.modified_at):
            return Arrival(file, table, before, None, known)
        copied = self._copied(Arrival(file, table, before, None, record))
        if copied is None or before is None or before.hash != copied.record.hash:
            return copied
        # Known by its content: it is as old as when it was first seen, however often it is copied.
        if known:
            return Arrival(file, table, before, None, known)
        return replace(copied, record=replace(copied.record, modified_at=before.modified_at))

    def _is_known(self, record: FileRecord) -> bool:
        """Whether nothing new can come of it while its content stays."""
        if record.state == "loaded":
            return not self._everything and not self._is_due(record)
        return record.state == "held"

    def _is_due(self, record: FileRecord) -> bool:
        """Whether rows of it waited for a day that has come."""
        if record.last_date is None or record.read_until is None:
            return False
        return record.read_until < min(record.last_date, self._until)

    def _copied(self, arrival: Arrival) -> Arrival | None:
        copy = self._folder / f"{len(list(self._folder.iterdir())):05d}.csv"
        try:
            digest = self._inbox.copy(arrival.listed, copy)
        except ContractError as error:
            self.refuse(arrival, error)
            return None
        return replace(arrival, copy=copy, record=replace(arrival.record, hash=digest))

    def _without_copies(self, arrivals: list[Arrival]) -> list[Arrival]:
        """Of files with one content that which was loaded counts, else the first by name."""
        first: dict[tuple[str, str], Arrival] = {}
        for arrival in sorted(arrivals, key=_was_loaded_first):
            one = first.setdefault((arrival.table.name, arrival.record.hash), arrival)
            if one is not arrival:
                logger.info("%s is a copy of %s.", arrival.name, one.name)
                self.note(replace(arrival.record, state="copy", reason=f"is a copy of {one.name}"))
        return sorted(first.values(), key=lambda a: (a.record.modified_at, a.name))

    def _note_unknown(self, files: Iterable[InboxFile], others: Iterable[str]) -> None:
        """Name what is not read, once."""
        unknown = [(file.name, file.size, file.modified_at) for file in files]
        unknown += [(name, 0, datetime(1970, 1, 1)) for name in others]
        for name, size, modified_at in unknown:
            record = FileRecord(
                name=name,
                table="",
                series=series_of(name),
                size=size,
                hash="",
                modified_at=modified_at,
                state="unknown",
                day=self._day,
                reason="belongs to no table, and is not read",
            )
            before = self._newest.get(name)
            if before is None or (before.state, before.size) != ("unknown", size):
                logger.warning("%s in the CSV inbox %s.", name, record.reason)
                self.note(record)


def _was_loaded_first(arrival: Arrival) -> tuple[bool, str]:
    before = arrival.before
    return before is None or before.state != "loaded", arrival.name


def require_a_file_of_each_table(
    inbox: Inbox, listing: Listing, tables: tuple[RawTable, ...]
) -> None:
    """``AwaitedInputError`` names the table that has none, and what there is instead."""
    for table in tables:
        if not any(table_of(file.name, tables) == table for file in listing.files):
            names = sorted((*(file.name for file in listing.files), *listing.others))
            raise AwaitedInputError(
                f"There is no {table.name}*.csv in the CSV inbox {inbox.shown}; {_shown(names)}."
            )


def _shown(names: Sequence[str]) -> str:
    if not names:
        return "it is empty"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"there is {', '.join(names[:NAMES_SHOWN])}{more}"
