"""Compares a source with its raw table: bucket by bucket, then row by row where they differ.

A bucket is a day, or 10,000 keys. Both sides fingerprint their rows in SQL, written so that equal
rows give equal fingerprints: a row's content is the MD5 of its columns' texts, a bucket's the sum
of its rows' contents. Only buckets that differ are read row by row, some at a time, so that memory
is flat.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, what else is inserted is made here

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import duckdb
import pyarrow as pa

from ingestion.reconcile.dialect import DUCKDB, Dialect, dialect
from ingestion.reconcile.report import Difference, Fingerprint
from pipeline.contracts import Column, RawTable
from warehouse import Warehouse
from warehouse.arrow import arrow_type

BUCKET_KEYS = 10_000
BUCKETS_AT_ONCE = 10  # whose rows are compared in memory
DAY = timedelta(days=1)
_CONFIG: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "128MB", "threads": 1}

Bucket = Any  # a date, or a number of 10,000 keys
Rows = Iterable[tuple[Any, ...]]

# Of a select list as `Shape.row` gives it; the same order as the fields of `Fingerprint`.
BY_BUCKET = "select bucket, count(*), sum(id), max(newest), sum(content)"


class SourceRow(NamedTuple):
    """A row of the source. ``origin`` is the column that ``Shape.origin`` names."""

    key: Any
    version: datetime | None
    origin: Any
    content: int


class RawRow(NamedTuple):
    """A row of the raw table that is not marked as deleted."""

    version: datetime | None
    content: int
    loaded_at: datetime


Pending = Callable[[SourceRow, RawRow | None], bool]


@dataclass(frozen=True)
class Shape:
    """How the rows of one table are compared.

    Attributes:
        bucket_of: the column that puts a row into its bucket: an integer key, a timestamp or date.
        compared: the columns that make a row different.
        further: JSON columns and paths in them whose texts do so as well.
        origin: the column that a row carries for the question whether it is pending.
        due: SQL condition for the rows of the raw table that the source must have.
    """

    table: RawTable
    bucket_of: str
    compared: tuple[Column, ...]
    further: tuple[tuple[str, tuple[str, ...]], ...] = ()
    origin: str = ""
    due: str = "true"

    @property
    def by_key(self) -> bool:
        return (self.bucket_of,) == self.table.key

    @property
    def compares_version(self) -> bool:
        """Not where a version says when a row was read instead of when it changed."""
        return self.table.version in {column.name for column in self.compared}

    def key(self, sql: Dialect) -> str:
        return ", ".join(sql.quoted(name) for name in self.table.key)

    def row(self, sql: Dialect) -> str:
        """Select list: the key's columns, bucket, id, version, newest, origin, content."""
        column, version = sql.quoted(self.bucket_of), sql.quoted(self.table.version)
        if self.by_key:
            bucket, identity = f"floor({column} / {BUCKET_KEYS}.0)::bigint", column
        else:
            key_text = ", ".join(f"{sql.quoted(name)}::varchar" for name in self.table.key)
            bucket = f"coalesce({column}::date, date '1970-01-01')"
            identity = sql.hash(f"concat_ws(chr(1), {key_text})")
        newest = version if self.compares_version else "null::timestamp"
        origin = sql.quoted(self.origin) if self.origin else "null"
        return (
            f"{self.key(sql)}, {bucket} as bucket, {identity} as id, {version} as version, "
            f"{newest} as newest, {origin} as origin, {self._content(sql)} as content"
        )

    def _content(self, sql: Dialect) -> str:
        texts = [
            *map(sql.text, self.compared),
            *(sql.json_text(column, path) for column, path in self.further),
        ]
        return sql.hash(
            f"concat({', chr(1), '.join(f'coalesce({text}, chr(2))' for text in texts)})"
        )

    def bounds(self, bucket: Bucket) -> tuple[Any, Any]:
        """``[low, high)`` of a bucket: keys or days."""
        if self.by_key:
            return bucket * BUCKET_KEYS, (bucket + 1) * BUCKET_KEYS
        return bucket, bucket + DAY


class SourceSide(Protocol):
    """The rows of a source's table, as fingerprints."""

    def buckets(self) -> Rows:
        """The columns of ``BY_BUCKET``."""

    def rows(self, buckets: Sequence[Bucket]) -> Rows:
        """The key's columns, bucket, version, origin and content of the rows in some buckets."""


class StreamedRows:
    """The side of a source that comes as batches: kept as fingerprints in a temporary folder.

    ``add`` all batches, then compare.
    """

    def __init__(self, shape: Shape, folder: Path) -> None:
        self._shape = shape
        file = folder / f"{shape.table.name}-fingerprints.duckdb"
        self._connection = duckdb.connect(str(file), config=_CONFIG)
        self._connection.execute("set enable_progress_bar = false")
        self._exists = False

    def close(self) -> None:
        self._connection.close()

    def add(self, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            self._connection.register("batch", pa.Table.from_batches([batch]))
            how = "insert into source" if self._exists else "create table source as"
            self._connection.execute(f"{how} select {self._shape.row(DUCKDB)} from batch")
            self._connection.unregister("batch")
            self._exists = True

    def buckets(self) -> Rows:
        return self._rows(f"{BY_BUCKET} from source group by 1")

    def rows(self, buckets: Sequence[Bucket]) -> Rows:
        return self._rows(
            f"select {self._shape.key(DUCKDB)}, bucket, version, origin, content from source "
            f"where bucket in ({_literals(buckets)})"
        )

    def _rows(self, query: str) -> Rows:
        return self._connection.execute(query).fetchall() if self._exists else []


def differences(
    shape: Shape, source: SourceSide, warehouse: Warehouse, asked_at: datetime, is_pending: Pending
) -> tuple[int, int, list[Difference]]:
    """Number of buckets and of the source's rows that were compared, and what differs.

    Args:
        asked_at: when the source was asked, UTC without a zone: it may not have the rows that the
            warehouse has got since.
        is_pending: whether the next load will bring a row of the source as it is now, so that it
            is no difference from the raw row (None: there is none).
    """
    sql = dialect(warehouse.dialect)
    here = _fingerprints(source.buckets())
    there = _fingerprints(
        warehouse.query(
            f"{BY_BUCKET} from (select {shape.row(sql)} from {sql.address(shape.table)} "
            f"where _deleted_at is null and ({shape.due})) fingerprinted group by 1"
        )
    )
    every = here.keys() | there.keys()
    unequal = sorted(bucket for bucket in every if here.get(bucket) != there.get(bucket))
    found: list[Difference] = []
    for start in range(0, len(unequal), BUCKETS_AT_ONCE):
        buckets = unequal[start : start + BUCKETS_AT_ONCE]
        rows = _compared(shape, buckets, source, warehouse, asked_at, is_pending)
        for bucket, kinds in rows:
            sides = here.get(bucket, Fingerprint()), there.get(bucket, Fingerprint())
            found.append(Difference(shape.table.name, *shape.bounds(bucket), *sides, *kinds))
    return len(every), sum(fingerprint.count for fingerprint in here.values()), found


def mark(
    warehouse: Warehouse,
    tables: Iterable[RawTable],
    found: Sequence[Difference],
    kind: str,
    asked_at: datetime,
) -> int:
    """Mark the raw rows of one kind, ``deleted`` or ``ahead``, as deleted; returns their number.

    Those that are ahead, or there twice, would be replaced by no load; but what comes after a
    deletion is new.
    """
    marked = 0
    for table in tables:
        keys = [key for one in found if one.table == table.name for key in getattr(one, kind)]
        if keys:
            marked += warehouse.mark_deleted(table, [_key_batch(table, keys)], asked_at)
    return marked


def _key_batch(table: RawTable, keys: Sequence[Any]) -> pa.RecordBatch:
    columns = zip(*(key if isinstance(key, tuple) else (key,) for key in keys), strict=True)
    arrays = [
        pa.array(values, arrow_type(table.column(name).type))
        for name, values in zip(table.key, columns, strict=True)
    ]
    return pa.record_batch(arrays, names=list(table.key))


def _fingerprints(rows: Rows) -> dict[Bucket, Fingerprint]:
    return {
        bucket if isinstance(bucket, date) else int(bucket): Fingerprint(
            int(count), int(ids), newest, int(content)
        )
        for bucket, count, ids, newest, content in rows
    }


def _compared(
    shape: Shape,
    buckets: Sequence[Bucket],
    source: SourceSide,
    warehouse: Warehouse,
    asked_at: datetime,
    is_pending: Pending,
) -> Iterator[tuple[Bucket, list[tuple[Any, ...]]]]:
    """By bucket, the keys that are missing, changed, deleted and ahead."""
    raw, twice = _raw_rows(shape, buckets, warehouse)
    found: dict[Bucket, dict[str, list[Any]]] = {
        bucket: {kind: [] for kind in ("missing", "changed", "deleted", "ahead")}
        for bucket in buckets
    }
    met = set()
    width = len(shape.table.key)
    for values in source.rows(buckets):
        row, bucket = SourceRow(_key(values[:width]), *values[width + 1 :]), values[width]
        met.add(row.key)
        known = raw[row.key][1] if row.key in raw else None
        if known is not None and known.loaded_at > asked_at:
            continue
        if row.key not in twice and (
            (known is not None and known.content == row.content) or is_pending(row, known)
        ):
            continue
        kinds = found[bucket]
        kinds["missing" if known is None else "changed"].append(row.key)
        if row.key in twice or (known is not None and _is_ahead(known.version, row.version)):
            kinds["ahead"].append(row.key)
    for key, (bucket, known) in raw.items():
        if key not in met and known.loaded_at <= asked_at:
            found[bucket]["deleted"].append(key)
    for bucket, kinds in found.items():
        if any(kinds.values()):
            yield bucket, [tuple(sorted(keys)) for keys in kinds.values()]


def _raw_rows(
    shape: Shape, buckets: Sequence[Bucket], warehouse: Warehouse
) -> tuple[dict[Any, tuple[Bucket, RawRow]], set[Any]]:
    """The rows that are not marked as deleted, by key, and the keys that come more than once."""
    sql = dialect(warehouse.dialect)
    rows: Rows = warehouse.query(
        f"select {shape.key(sql)}, bucket, version, content, _loaded_at "
        f"from (select {shape.row(sql)}, _loaded_at from {sql.address(shape.table)} "
        f"where _deleted_at is null and ({shape.due})) fingerprinted "
        f"where bucket in ({_literals(buckets)})"
    )
    found: dict[Any, tuple[Bucket, RawRow]] = {}
    twice = set()
    width = len(shape.table.key)
    for values in rows:
        key = _key(values[:width])
        if key in found:
            twice.add(key)
        found[key] = values[width], RawRow(*values[width + 1 :])
    return found, twice


def _is_ahead(loaded: datetime | None, version: datetime | None) -> bool:
    return loaded is not None and (version is None or loaded > version)


def _key(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else values


def _literals(buckets: Sequence[Bucket]) -> str:
    return ", ".join(f"date '{one}'" if isinstance(one, date) else str(one) for one in buckets)
