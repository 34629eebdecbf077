"""What a reconciliation found, and the words for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Fingerprint:
    """A bucket of rows on one side: equal rows give equal fingerprints. ``newest`` is the newest version, UTC."""

    count: int = 0
    key_sum: int = 0
    newest: datetime | None = None
    content: int = 0

    def __str__(self) -> str:
        return f"{self.count:,} rows, key sum {self.key_sum:,}, newest {self.newest or 'none'}"


@dataclass(frozen=True)
class Difference:
    """A bucket of keys in ``[low, high)`` in which the two sides differ.

    Attributes:
        missing: rows of the source that the warehouse lacks.
        changed: rows with other content or another version than in the source.
        deleted: rows of the warehouse that the source no longer has.
        ahead: those of ``changed`` whose version is newer in the warehouse than in the source.
    """

    table: str
    low: int
    high: int
    source: Fingerprint
    warehouse: Fingerprint
    missing: tuple[int, ...] = ()
    changed: tuple[int, ...] = ()
    deleted: tuple[int, ...] = ()
    ahead: tuple[int, ...] = ()

    def __str__(self) -> str:
        kinds = (("missing", self.missing), ("changed", self.changed), ("deleted in the source", self.deleted))
        rows = "; ".join(f"{len(keys):,} {kind} ({_some(keys)})" for kind, keys in kinds if keys)
        return (
            f"{self.table}, keys {self.low} to {self.high - 1}: {rows}\n"
            f"    source    {self.source}\n"
            f"    warehouse {self.warehouse}"
        )


@dataclass(frozen=True)
class Report:
    """The reconciliation of one source.

    Attributes:
        watermark: what the source changed after it is not due yet and counts as no difference.
        compared_at: when the source was asked, UTC without a zone.
        rows: rows of the source that were compared.
        rows_reloaded: rows a repair read again; ``rows_marked`` those it marked as deleted.
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
    remaining: tuple[Difference, ...] = ()

    @property
    def is_equal(self) -> bool:
        """Whether source and warehouse agree now."""
        return not (self.remaining if self.repaired else self.differences)

    def __str__(self) -> str:
        compared = f"{self.source}: {self.rows:,} rows in {self.buckets:,} buckets compared up to {self.watermark}"
        if not self.differences:
            return f"{compared}: source and warehouse are equal."
        found = sum(len(bucket.missing) + len(bucket.changed) + len(bucket.deleted) for bucket in self.differences)
        lines = [
            f"{compared}: {found:,} rows in {len(self.differences):,} buckets differ.",
            *(f"  {one}" for one in self.differences),
        ]
        if self.repaired:
            lines.append(f"  Repaired: {self.rows_reloaded:,} rows read again, {self.rows_marked:,} marked as deleted.")
        if self.remaining:
            lines.append(f"  {len(self.remaining):,} buckets still differ. Load {self.source} with --full-refresh.")
        return "\n".join(lines)


def _some(keys: tuple[int, ...], shown: int = 5) -> str:
    return ", ".join(str(key) for key in keys[:shown]) + (", ..." if len(keys) > shown else "")
