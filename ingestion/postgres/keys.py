"""Compares the keys of a source table with those of its raw table, in each load.

It finds rows that are gone from the source, and rows that were born old, which no window brings.

Both sides count and add up their keys by buckets of 10,000, and where these differ by buckets of
100; only where those differ are the keys themselves looked at, some at a time, so that memory is
flat. On an ordinary day the newest buckets differ, and those with a deletion. A count and a sum are
not proof: rows that went and came so that both stay the same are found by the weekly
reconciliation.
"""

# ruff: noqa: S608 - names come from the contract and are quoted

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2 import sql

from ingestion.postgres import fingerprint
from ingestion.postgres.connection import explain
from ingestion.postgres.snapshot import Snapshot
from ingestion.postgres.window import in_window
from ingestion.reconcile.comparison import BUCKET_KEYS
from ingestion.reconcile.dialect import dialect
from pipeline.contracts import RawTable
from pipeline.errors import PermanentError
from pipeline.records import Window
from warehouse import Warehouse
from warehouse.arrow import arrow_type

FINE_KEYS = 100
BUCKETS_AT_ONCE = 100
FINE_AT_ONCE = 1_000  # whose keys are compared in memory
# If more buckets differ than this, those that only hold rows of later days are told apart first.
MANY_BUCKETS = 50
KEYS_AT_ONCE = 10_000  # named in one query

# Number of keys and their sum, by the lowest key of the bucket.
Sums = dict[int, tuple[int, int]]


class RowsGoneError(PermanentError):
    """More rows are gone from a source table than ``POSTGRES_MAX_GONE`` allows."""


@dataclass
class KeyDifferences:
    """What the keys of the two sides say.

    Attributes:
        held: rows of the raw table that are not marked as deleted.
        gone: keys of those that the source no longer has.
        unseen: keys of rows that a load must have brought, and none has.
    """

    held: int = 0
    gone: array[int] = field(default_factory=lambda: array("q"))
    unseen: array[int] = field(default_factory=lambda: array("q"))

    def gone_batches(self, table: RawTable) -> Iterator[pa.RecordBatch]:
        (name,) = table.key
        for keys in _portions(self.gone, KEYS_AT_ONCE):
            yield pa.record_batch([pa.array(keys, arrow_type(table.column(name).type))], [name])

    def refuse_too_many(self, source: str, share: float) -> None:
        """``RowsGoneError`` if more than this share is gone. A single row never is too many."""
        if len(self.gone) > max(share * self.held, 1 if share else 0):
            raise RowsGoneError(
                f"{len(self.gone):,} of {self.held:,} {source.replace('_', ' ')} are gone from the "
                f"source, more than POSTGRES_MAX_GONE allows ({share:.0%}). Nothing was loaded. "
                f"If they were deleted on purpose, accept it with: python -m ingestion reconcile "
                f"{source} --repair, then load the day again. If not, restore the table."
            )


def can_be_compared(table: RawTable) -> bool:
    return len(table.key) == 1 and table.column(table.key[0]).type.name in ("integer", "bigint")


def key_differences(
    snapshot: Snapshot, warehouse: Warehouse, window: Window, read: sql.Composable
) -> KeyDifferences:
    """Compare all keys of the source with all of the raw table.

    Args:
        window: that of the load: rows after its end need not be there yet.
        read: the condition for the rows that the load reads anyway.
    """
    comparison = _Comparison(snapshot, warehouse, window, read)
    found = KeyDifferences()
    there = comparison.raw_sums()
    found.held = sum(count for count, _ in there.values())
    if not found.held:
        return found
    everywhere = sql.SQL("true")
    unequal = _unequal(comparison.source_sums(everywhere), there)
    if len(unequal) > MANY_BUCKETS:
        due = fingerprint.due(snapshot.table, window.end)
        unequal = sorted(set(unequal) & set(_unequal(comparison.source_sums(due), there)))
    for buckets in _portions(unequal, BUCKETS_AT_ONCE):
        for fine in _portions(comparison.unequal_within(buckets), FINE_AT_ONCE):
            gone, unseen = comparison.keys(fine)
            found.gone.extend(gone)
            found.unseen.extend(unseen)
    return found


def having_keys(snapshot: Snapshot, keys: Sequence[int]) -> Iterator[sql.Composable]:
    """Conditions that together are met by the rows with these keys."""
    key = snapshot.table.by_name[snapshot.table.contract.key[0]].identifier
    for some in _portions(keys, KEYS_AT_ONCE):
        yield sql.SQL("{} = any ({})").format(key, sql.Literal(list(some)))


def _unequal(here: Sums, there: Sums) -> list[int]:
    return sorted(low for low in here.keys() | there.keys() if here.get(low) != there.get(low))


class _Comparison:
    """The questions to both sides."""

    def __init__(
        self, snapshot: Snapshot, warehouse: Warehouse, window: Window, read: sql.Composable
    ) -> None:
        self._snapshot, self._warehouse = snapshot, warehouse
        self._window, self._read = window, read
        self._contract = snapshot.table.contract
        self._key = snapshot.table.by_name[self._contract.key[0]].identifier
        self._sql = dialect(warehouse.dialect)
        self._raw_key = self._sql.quoted(self._contract.key[0])
        self._raw = f"{self._sql.address(self._contract)} where _deleted_at is null"

    def source_sums(self, condition: sql.Composable, size: int = BUCKET_KEYS) -> Sums:
        """Without a condition an index on the key is enough to answer."""
        return _sums(
            self._ask(
                sql.SQL("select {low}, count(*), sum({key}) from {table} where {met} group by 1"),
                low=sql.SQL(_low("{}", size)).format(*[self._key] * 2),
                met=condition,
            )
        )

    def raw_sums(self, condition: str = "true", size: int = BUCKET_KEYS) -> Sums:
        key = self._raw_key
        return _sums(
            self._warehouse.query(
                f"select {_low(key, size)}, count(*), sum({key}) from {self._raw} "
                f"and {condition} group by 1"
            )
        )

    def unequal_within(self, buckets: Sequence[int]) -> list[int]:
        """The lowest keys of the smaller buckets in these that differ."""
        return _unequal(
            self.source_sums(self._in_source(buckets, BUCKET_KEYS), FINE_KEYS),
            self.raw_sums(self._in_raw(buckets, BUCKET_KEYS), FINE_KEYS),
        )

    def _in_source(self, buckets: Sequence[int], size: int) -> sql.Composable:
        """Ranges, for the key's index."""
        ranges: list[list[int]] = []
        for low in buckets:
            if ranges and ranges[-1][1] == low:
                ranges[-1][1] = low + size
            else:
                ranges.append([low, low + size])
        within = sql.SQL("{key} >= {low} and {key} < {high}")
        return sql.SQL("({})").format(
            sql.SQL(" or ").join(
                within.format(key=self._key, low=sql.Literal(low), high=sql.Literal(high))
                for low, high in ranges
            )
        )

    def _in_raw(self, buckets: Sequence[int], size: int) -> str:
        """A list, which costs the same for each row however long it is."""
        lows = ", ".join(map(str, buckets))
        return (
            f"{self._raw_key} between {buckets[0]} and {buckets[-1] + size - 1} "
            f"and {_low(self._raw_key, size)} in ({lows})"
        )

    def keys(self, buckets: Sequence[int]) -> tuple[list[int], list[int]]:
        """Keys of some of the smaller buckets: those that are gone, and those never seen."""
        part_of = self._contract.part_of
        owner = self._sql.quoted(part_of.key[0]) if part_of else "null"
        owners: dict[int, int | None] = dict(
            self._warehouse.query(
                f"select {self._raw_key}, {owner} from {self._raw} "
                f"and {self._in_raw(buckets, FINE_KEYS)}"
            )
        )
        in_source: dict[int, bool | None] = dict(
            self._ask(
                sql.SQL(
                    "select {key}, ({due}) and ({read}) is not true from {table} where {buckets}"
                ),
                due=fingerprint.due(self._snapshot.table, self._window.end),
                read=self._read,
                buckets=self._in_source(buckets, FINE_KEYS),
            )
        )
        gone = sorted(owners.keys() - in_source.keys())
        unseen = sorted(key for key, is_due in in_source.items() if is_due and key not in owners)
        if part_of and gone:
            later = self._touched_later(owners[key] for key in gone)
            gone = [key for key in gone if owners[key] not in later]
        return gone, unseen

    def _touched_later(self, owners: Iterable[int | None]) -> set[int]:
        """Of the rows that lines belong to, those that were touched after the day's end.

        What went of their lines goes with the load that brings them, so that an order is never seen
        without.
        """
        parent = self._snapshot.parent
        assert parent is not None
        key = parent.by_name[parent.contract.key[0]]
        version = parent.by_name[parent.contract.version]
        wanted = sorted({owner for owner in owners if owner is not None})
        found: set[int] = set()
        for some in _portions(wanted, KEYS_AT_ONCE):
            rows = self._ask(
                sql.SQL(
                    "select {key} from {parent} where {key} = any ({some}) "
                    "and not {until_then} and ({read}) is not true"
                ),
                key=key.identifier,
                parent=parent.address,
                some=sql.Literal(list(some)),
                until_then=version.up_to(self._window.end),
                read=in_window(parent.contract, parent.by_name, self._window),
            )
            found.update(row[0] for row in rows)
        return found

    def _ask(self, query: sql.SQL, **named: sql.Composable) -> list[tuple[Any, ...]]:
        known = {"key": self._key, "table": self._snapshot.table.address, **named}
        try:
            with self._snapshot.connection.cursor() as cursor:
                cursor.execute(query.format(**known))
                return cursor.fetchall()
        except psycopg2.Error as error:
            raise explain(error, self._snapshot.settings, self._contract.name) from error


def _portions(keys: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _low(key: str, size: int) -> str:
    """SQL, the same on all engines: the lowest key of the bucket that a key is in."""
    return f"{key} - mod(mod({key}, {size}) + {size}, {size})"


def _sums(rows: Iterable[tuple[Any, ...]]) -> Sums:
    return {int(low): (int(count), int(total)) for low, count, total in rows if low is not None}
