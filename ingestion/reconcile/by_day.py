"""Compares a source that comes as batches with its raw table, day by day, then row by row where
days differ.

The source's rows are held on disk as fingerprints while it is read, so that memory is flat; both
sides compute them with the same SQL.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, what else is inserted is made here

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.reconcile.dialect import DUCKDB, Dialect, dialect
from ingestion.reconcile.fingerprint import content_of
from ingestion.reconcile.report import Difference, Fingerprint
from pipeline.contracts import Column, RawTable
from warehouse import Warehouse
from warehouse.arrow import arrow_type

DAYS_AT_ONCE = 10  # whose rows are compared in memory
DAY = timedelta(days=1)
_CONFIG: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "128MB", "threads": 1}

Key = tuple[Any, ...]
Pending = Callable[[Key, Any, Any], bool]


@dataclass(frozen=True)
class Shape:
    """How the rows of one table are compared.

    Attributes:
        day_of: the column, a timestamp or date, that puts a row into its day.
        compared: the columns that make a row different.
        further: JSON columns and paths in them whose texts do so as well.
        origin: the column that is handed to ``Pending`` with the key and the version.
        due: SQL condition for the rows of the raw table that the source must have.
    """

    table: RawTable
    day_of: str
    compared: tuple[Column, ...]
    further: tuple[tuple[str, tuple[str, ...]], ...] = ()
    origin: str = ""
    due: str = "true"

    def key(self, sql: Dialect) -> str:
        return ", ".join(sql.quoted(name) for name in self.table.key)

    def row(self, sql: Dialect) -> str:
        """Select list: the key's columns, day, its hash, version, origin, content."""
        origin = sql.quoted(self.origin) if self.origin else "null"
        further = [sql.json_text(column, path) for column, path in self.further]
        id_text = ", ".join(f"{sql.quoted(name)}::varchar" for name in self.table.key)
        return (
            f"{self.key(sql)}, coalesce({sql.quoted(self.day_of)}::date, date '1970-01-01') as "
            "day, "
            f"{sql.hash(f'concat_ws(chr(1), {id_text})')} as id, {sql.quoted(self.table.version)} "
            "as version, "
            f"{origin} as origin, {content_of(self.compared, sql, further)} as content"
        )


class SourceRows:
    """The rows of a source's table as fingerprints in a file of a temporary folder: ``add`` all
    batches, then compare.
    """

    def __init__(self, shape: Shape, folder: Path) -> None:
        self._shape = shape
        self._connection = duckdb.connect(
            str(folder / f"{shape.table.name}-fingerprints.duckdb"), config=_CONFIG
        )
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

    def days(self) -> dict[date, Fingerprint]:
        if not self._exists:
            return {}
        return _fingerprints(
            self._connection.execute(f"{_BY_DAY} from source group by 1").fetchall()
        )

    def rows(self, days: Sequence[date]) -> list[tuple[Any, ...]]:
        """Key columns, day, version, origin, content of the rows of some days."""
        if not self._exists:
            return []
        sql = f"select {self._shape.key(DUCKDB)}, day, version, origin, content from source where day in ({_dates(days)})"
        return self._connection.execute(sql).fetchall()


def differences(
    shape: Shape, source: SourceRows, warehouse: Warehouse, asked_at: datetime, is_pending: Pending
) -> tuple[int, int, list[Difference]]:
    """Days and rows compared, and the days that differ.

    Args:
        asked_at: when the source was asked, UTC without a zone: rows that the warehouse has got
            since may not be in it.
        is_pending: whether the next load will bring the row of that key, origin and version, so
            that it is no difference.
    """
    sql = dialect(warehouse.dialect)
    here = source.days()
    there = _fingerprints(
        warehouse.query(
            f"{_BY_DAY} from (select {shape.row(sql)} from {sql.address(shape.table)} "
            f"where _deleted_at is null and ({shape.due})) fingerprinted group by 1"
        )
    )
    unequal = sorted(day for day in here.keys() | there.keys() if here.get(day) != there.get(day))
    found = [
        difference
        for start in range(0, len(unequal), DAYS_AT_ONCE)
        for difference in _of_days(
            shape,
            unequal[start : start + DAYS_AT_ONCE],
            source,
            warehouse,
            asked_at,
            is_pending,
            here,
            there,
        )
    ]
    return len(here.keys() | there.keys()), sum(day.count for day in here.values()), found


def key_batch(table: RawTable, keys: Sequence[Any]) -> pa.RecordBatch:
    """Keys as they stand in differences, for ``mark_deleted``."""
    columns = zip(*(key if isinstance(key, tuple) else (key,) for key in keys), strict=True)
    arrays = [
        pa.array(values, arrow_type(table.column(name).type))
        for name, values in zip(table.key, columns, strict=True)
    ]
    return pa.record_batch(arrays, names=list(table.key))


_BY_DAY = "select day, count(*), sum(id), sum(content)"


def _fingerprints(rows: Iterable[tuple[Any, ...]]) -> dict[date, Fingerprint]:
    return {
        day: Fingerprint(int(count), int(ids), None, int(content))
        for day, count, ids, content in rows
    }


def _of_days(
    shape: Shape,
    days: Sequence[date],
    source: SourceRows,
    warehouse: Warehouse,
    asked_at: datetime,
    is_pending: Pending,
    here: dict[date, Fingerprint],
    there: dict[date, Fingerprint],
) -> Iterator[Difference]:
    sql = dialect(warehouse.dialect)
    width = len(shape.table.key)
    found: dict[date, tuple[list[Any], list[Any], list[Any], list[Any]]] = {
        day: ([], [], [], []) for day in days
    }
    raw: dict[Key, tuple[Any, ...]] = {}
    twice: set[Key] = set()
    rows: list[tuple[Any, ...]] = warehouse.query(
        f"select {shape.key(sql)}, day, version, content, _loaded_at, _deleted_at is not null "
        f"from (select {shape.row(sql)}, _loaded_at, _deleted_at from {sql.address(shape.table)} "
        f"where {shape.due}) fingerprinted where day in ({_dates(days)})"
    )
    for row in rows:
        key = row[:width]
        if key in raw:
            twice.add(key)
        raw[key] = row[width:]
    met = set()
    for row in source.rows(days):
        key, (day, version, origin, content) = row[:width], row[width:]
        missing, changed, _, ahead = found[day]
        met.add(key)
        _, known_version, known_content, loaded_at, is_marked = raw.get(
            key, (None, None, None, None, True)
        )
        if is_pending(key, origin, version) or (loaded_at and loaded_at > asked_at):
            continue
        if is_marked:
            missing.append(_plain(key))
        elif key in twice or content != known_content:
            changed.append(_plain(key))
            if known_version is None or known_version > version:
                ahead.append(_plain(key))
    for key, (day, _, _, loaded_at, is_marked) in raw.items():
        if key not in met and not is_marked and loaded_at <= asked_at:
            found[day][2].append(_plain(key))
    for day, kinds in found.items():
        if any(kinds):
            keys = [tuple(sorted(kind)) for kind in kinds]
            fingerprints = here.get(day, Fingerprint()), there.get(day, Fingerprint())
            yield Difference(shape.table.name, day, day + DAY, *fingerprints, *keys)


def _plain(key: Key) -> Any:
    return key[0] if len(key) == 1 else key


def _dates(days: Sequence[date]) -> str:
    return ", ".join(f"date '{day}'" for day in days)
