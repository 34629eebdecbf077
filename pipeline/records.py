"""What a load leaves behind: its record, committed to the warehouse together with its rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pipeline.rejects import Reject
from pipeline.sources import SOURCES


@dataclass(frozen=True)
class Window:
    """Rows changed in ``(start, end]``, UTC without a zone. ``start`` None: from the beginning."""

    start: datetime | None
    end: datetime


@dataclass(frozen=True)
class TableCounts:
    """Rows of one raw table in one load; ``extracted = inserted + updated + unchanged``.

    ``deleted`` were marked, because their keys are gone from the source.
    """

    table: str
    extracted: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0


@dataclass(frozen=True)
class LoadRecord:
    """One load of one day of one source.

    Times are UTC without a zone; ``checksum`` identifies the rows that were staged.

    ``watermark`` is the moment up to which this source is known to be complete after this load: the
    next load starts there, less an overlap. Of ``rows_rejected``, ``rows_newly_rejected`` had not
    been set aside before for the same reason.
    """

    load_id: str
    source: str
    day: date
    window: Window
    watermark: datetime | None
    started_at: datetime
    extracted_at: datetime
    committed_at: datetime
    tables: tuple[TableCounts, ...]
    checksum: str
    rows_rejected: int = 0
    rows_newly_rejected: int = 0
    # The first few of the new ones, for the alert; all are in LOADS.REJECTED_ROWS.
    rejects: tuple[Reject, ...] = field(default=())

    @property
    def rows_extracted(self) -> int:
        return sum(table.extracted for table in self.tables)

    @property
    def seconds(self) -> float:
        return (self.committed_at - self.started_at).total_seconds()

    @property
    def summary(self) -> str:
        """One line about the load, for a log or a terminal."""
        inserted, updated, unchanged, deleted = (
            sum(getattr(table, count) for table in self.tables)
            for count in ("inserted", "updated", "unchanged", "deleted")
        )
        gone = f", {deleted:,} gone from the source" if deleted else ""
        rejected = f", {self.rows_rejected:,} rejected" if self.rows_rejected else ""
        return (
            f"{self.source} {self.day}: {self.rows_extracted:,} rows read ({inserted:,} new, "
            f"{updated:,} changed, {unchanged:,} unchanged{rejected}{gone}) "
            f"in {self.seconds:.1f} s, load {self.load_id}"
        )

    def as_event(self) -> dict[str, Any]:
        """The load as plain JSON, for a Dataset event or an XCom.

        ``window`` is ``[start, end]`` in ISO 8601, UTC without a zone; ``start`` is None where the
        source was read from its beginning. ``newly_rejected`` names the first few rows, without
        their values.
        """
        start, end = self.window.start, self.window.end
        return {
            "source": self.source,
            "day": self.day.isoformat(),
            "load_id": self.load_id,
            "rows": self.rows_extracted,
            "rows_inserted": sum(table.inserted for table in self.tables),
            "rows_updated": sum(table.updated for table in self.tables),
            "rows_rejected": self.rows_rejected,
            "rows_newly_rejected": self.rows_newly_rejected,
            "newly_rejected": [reject.sentence for reject in self.rejects],
            "window": [start.isoformat() if start else None, end.isoformat()],
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class DayState:
    """What has become of a day. Times are UTC without a zone.

    Attributes:
        announced: when each source last announced the day, by its name; sources that have not are
            absent.
        builds: when each build of the day's marts began, before it read the load records, by the id
            of its run.
    """

    day: date
    announced: dict[str, datetime]
    builds: dict[str, datetime]

    @property
    def announced_by_all(self) -> bool:
        return all(source.name in self.announced for source in SOURCES)

    @property
    def last_build(self) -> datetime | None:
        return max(self.builds.values(), default=None)

    def builds_since(self, moment: datetime) -> list[str]:
        """Runs whose builds began after the moment (with a zone): they read all there was."""
        then = moment.astimezone(UTC).replace(tzinfo=None)
        return [run_id for run_id, began in self.builds.items() if began > then]


def by_source_and_day(rows: Iterable[tuple[str, date, int]]) -> dict[str, dict[date, int]]:
    """Numbers of rows, as a warehouse lists them, by source and day."""
    found: dict[str, dict[date, int]] = {}
    for source, day, number in rows:
        found.setdefault(source, {})[day] = int(number)
    return found
