"""What a reconciliation found, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

BUCKETS_SHOWN = 50  # a log has to stay readable


@dataclass(frozen=True)
class Fingerprint:
    """A bucket of rows on one side: equal rows give equal fingerprints.

    ``key_sum`` adds up the keys, or hashes of them where they are no numbers. ``newest`` is the
    newest version, UTC; None where versions say when a row was read, not when it changed.
    """

    count: int = 0
    key_sum: int = 0
    newest: datetime | None = None
    content: int = 0

    def __str__(self) -> str:
        newest = f", newest {self.newest}" if self.newest else ""
        return f"{self.count:,} rows, key sum {self.key_sum:,}{newest}"


@dataclass(frozen=True)
class Difference:
    """A bucket in which the two sides differ: keys in ``[low, high)``, or days.

    A key is its value, or a tuple where it has several columns.

    Attributes:
        missing: rows of the source that the warehouse lacks.
        changed: rows with other content or another version than in the source.
        deleted: rows of the warehouse that the source no longer has.
        ahead: those of ``changed`` that no load replaces: newer in the warehouse than in the
            source, or there twice.
    """

    table: str
    low: Any
    high: Any
    source: Fingerprint
    warehouse: Fingerprint
    missing: tuple[Any, ...] = ()
    changed: tuple[Any, ...] = ()
    deleted: tuple[Any, ...] = ()
    ahead: tuple[Any, ...] = ()

    def __str__(self) -> str:
        kinds = (
            ("missing", self.missing),
            ("changed", self.changed),
            ("deleted in the source", self.deleted),
        )
        rows = "; ".join(f"{len(keys):,} {kind} ({_some(keys)})" for kind, keys in kinds if keys)
        bucket = (
            f"day {self.low}"
            if isinstance(self.low, date)
            else f"keys {self.low} to {self.high - 1}"
        )
        sides = f"    source    {self.source}\n    warehouse {self.warehouse}"
        return f"{self.table}, {bucket}: {rows}\n{sides}"


@dataclass(frozen=True)
class Report:
    """The reconciliation of one source.

    Attributes:
        watermark: what the source changed after it is not due yet and counts as no difference.
        compared_at: when the source was asked, UTC without a zone.
        rows: rows of the source that were compared.
        rows_reloaded: rows a repair read again; ``rows_marked`` those it marked as deleted.
        repaired_day: the day whose marts have to be built again for the repair to show.
        remaining: what still differed after the repair.
    """

    source: str
    watermark: datetime
    compared_at: datetime
    buckets: int
    rows: int
    differences: tuple[Difference, ...]
    repaired: bool = False
    rows_reloaded: int = field(default=0)
    rows_marked: int = field(default=0)
    repaired_day: date | None = None
    remaining: tuple[Difference, ...] = ()

    @property
    def rows_that_differ(self) -> int:
        return sum(
            len(bucket.missing) + len(bucket.changed) + len(bucket.deleted)
            for bucket in self.differences
        )

    @property
    def advice(self) -> str:
        """What to do about it, as a sentence."""
        if self.repaired:
            return f"A repair was not enough. Run: python -m ingestion {self.source} --full-refresh"
        return (
            f"Run: python -m ingestion reconcile {self.source} --repair "
            "(or trigger reconcile_sources with repair)"
        )

    @property
    def is_equal(self) -> bool:
        """Whether source and warehouse agree now."""
        return not (self.remaining if self.repaired else self.differences)

    def __str__(self) -> str:
        compared = (
            f"{self.source}: {self.rows:,} rows in {self.buckets:,} buckets compared up to "
            f"{self.watermark}"
        )
        if not self.differences:
            return f"{compared}: source and warehouse are equal."
        lines = [
            f"{compared}: {self.rows_that_differ:,} rows in {len(self.differences):,} buckets "
            "differ.",
            *(f"  {one}" for one in self.differences[:BUCKETS_SHOWN]),
        ]
        if len(self.differences) > BUCKETS_SHOWN:
            lines.append(f"  and {len(self.differences) - BUCKETS_SHOWN:,} more buckets.")
        if self.repaired:
            lines.append(
                f"  Repaired: {self.rows_reloaded:,} rows read again, {self.rows_marked:,} marked "
                "as deleted."
            )
        if self.repaired_day:
            lines.append(
                f"  The marts follow when {self.repaired_day} is built again (DAG rebuild_day)."
            )
        if self.remaining:
            lines.append(
                f"  {len(self.remaining):,} buckets still differ. Load {self.source} with "
                "--full-refresh."
            )
        return "\n".join(lines)


def _some(keys: tuple[Any, ...], shown: int = 5) -> str:
    return ", ".join(map(_shown, keys[:shown])) + (", ..." if len(keys) > shown else "")


def _shown(key: Any) -> str:
    return " / ".join(map(str, key)) if isinstance(key, tuple) else str(key)
