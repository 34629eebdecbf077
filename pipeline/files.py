"""What the ledger keeps of a file that people drop: one record for each version that was read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

# loaded: its rows count. copy: another file of the inbox has the same content. held: it looks like
# an older copy and is not believed. refused: nothing of it was loaded. unknown: it belongs to no
# table. archived: it was loaded, and is no longer there.
FileState = Literal["loaded", "copy", "held", "refused", "unknown", "archived"]


@dataclass(frozen=True)
class FileRecord:
    """One version of one file, as it was read.

    Attributes:
        series: its name without date, counter and ending; files of a series replace each other.
        size, hash, modified_at: in bytes, SHA-256 of the file as it lay there, UTC without a zone.
        reason: why it is not loaded.
        rows, rejected: good rows in it, and rows set aside.
        channels: the newest date of each channel it has rows of.
        read_until: the day up to which its rows count; later ones wait for theirs.
        day: the day of the load that read it.
    """

    name: str
    table: str
    series: str
    size: int
    hash: str
    modified_at: datetime
    state: FileState
    day: date
    reason: str | None = None
    rows: int = 0
    rejected: int = 0
    first_date: date | None = None
    last_date: date | None = None
    channels: Mapping[str, date] = field(default_factory=dict)
    read_until: date | None = None

    @property
    def dates(self) -> tuple[date, date] | None:
        """Its first and last date; None without rows."""
        return (self.first_date, self.last_date) if self.first_date and self.last_date else None

    def overlaps(self, days: Iterable[tuple[date, date]]) -> bool:
        """Whether it has rows around some of these days, each given as first and last."""
        return any(
            self.dates is not None and self.dates[0] <= last and first <= self.dates[1]
            for first, last in days
        )
