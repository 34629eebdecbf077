"""Compares a PostgreSQL table with its raw table, bucket by bucket, then row by row where buckets
differ; repairs on request.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pyarrow as pa
from psycopg2 import sql

from ingestion.postgres.connection import explain
from ingestion.postgres.settings import PostgresSettings
from ingestion.postgres.snapshot import Snapshot, open_snapshot
from ingestion.postgres.window import in_window
from ingestion.reconcile.dialect import dialect
from ingestion.reconcile.fingerprint import (
    BUCKET_KEYS,
    due,
    in_ranges,
    source_buckets,
    source_rows,
    warehouse_buckets,
    warehouse_rows,
)
from ingestion.reconcile.loads import NeverLoadedError, last_day
from ingestion.reconcile.report import Difference, Fingerprint, Report
from pipeline.contracts import METADATA_COLUMNS, Column, RawTable, Source
from pipeline.days import upper_bound
from pipeline.errors import PermanentError
from pipeline.records import Window
from warehouse import Warehouse
from warehouse.arrow import arrow_type

logger = logging.getLogger(__name__)
BUCKETS_AT_ONCE = 10  # whose rows are compared in memory


@dataclass(frozen=True)
class _Sides:
    """Both sides of one comparison, and the moments that decide what counts."""

    snapshot: Snapshot
    warehouse: Warehouse
    compared: tuple[Column, ...]
    watermark: datetime
    asked_at: datetime

    @property
    def table(self) -> RawTable:
        return self.snapshot.table.contract

    def ask_source(self, query: sql.Composable) -> list[tuple[Any, ...]]:
        try:
            with self.snapshot.connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        except psycopg2.Error as error:
            raise explain(error, self.snapshot.settings, self.table.name) from error

    def ask_warehouse(self, query: str) -> list[tuple[Any, ...]]:
        return self.warehouse.query(query)


def reconcile_table(
    source: Source, settings: PostgresSettings, warehouse: Warehouse, *, repair: bool = False
) -> Report:
    """Compare the source's table with its raw table, up to the watermark of the last load.

    ``repair`` reads the buckets that differ again and marks rows as deleted that the source no
    longer has.

    Raises:
        NeverLoadedError: there is nothing to compare.
        PermanentError: its key is no single integer, or it has columns that were never loaded.
    """
    report = _compare(source, settings, warehouse, _repair if repair else None)
    if not report.repaired:
        return report
    return replace(report, remaining=_compare(source, settings, warehouse, None).differences)


def _compare(
    source: Source,
    settings: PostgresSettings,
    warehouse: Warehouse,
    repairing: Callable[[Source, _Sides, Sequence[Difference]], tuple[int, int]] | None,
) -> Report:
    (table,) = source.tables
    watermark = warehouse.watermark(source)
    known = warehouse.raw_columns(table)
    if watermark is None or not known:
        raise NeverLoadedError(source)
    if len(table.key) != 1 or table.column(table.key[0]).type.name not in ("integer", "bigint"):
        raise PermanentError(
            f"{source.name} cannot be compared in buckets: its key is no single integer."
        )
    own = {column.name for column in METADATA_COLUMNS}
    asked_at = datetime.now(UTC).replace(
        tzinfo=None
    )  # before the snapshot: rows loaded later may not be in it
    with open_snapshot(settings, table, known) as snapshot:
        compared = tuple(
            column
            for column in snapshot.table.declared
            if column.name in known and column.name not in own
        )
        sides = _Sides(snapshot, warehouse, compared, watermark, asked_at)
        here = _fingerprints(
            sides.ask_source(
                source_buckets(snapshot.table, compared, due(snapshot.table, watermark))
            )
        )
        there = _fingerprints(
            sides.ask_warehouse(warehouse_buckets(table, compared, dialect(warehouse.dialect)))
        )
        unequal = sorted(
            bucket for bucket in here.keys() | there.keys() if here.get(bucket) != there.get(bucket)
        )
        differences = tuple(
            difference
            for start in range(0, len(unequal), BUCKETS_AT_ONCE)
            for difference in _differences(
                sides, unequal[start : start + BUCKETS_AT_ONCE], here, there
            )
        )
        report = Report(
            source=source.name,
            watermark=watermark,
            compared_at=asked_at,
            buckets=len(here.keys() | there.keys()),
            rows=sum(fingerprint.count for fingerprint in here.values()),
            differences=differences,
        )
        if repairing is None or not differences:
            return report
        reloaded, marked = repairing(source, sides, differences)
        day = last_day(source, warehouse)
        return replace(
            report, repaired=True, rows_reloaded=reloaded, rows_marked=marked, repaired_day=day
        )


def _fingerprints(rows: Iterable[tuple[Any, ...]]) -> dict[int, Fingerprint]:
    return {
        int(bucket): Fingerprint(int(count), int(keys), newest, int(content))
        for bucket, count, keys, newest, content in rows
    }


def _differences(
    sides: _Sides,
    buckets: Sequence[int],
    here: dict[int, Fingerprint],
    there: dict[int, Fingerprint],
) -> Iterator[Difference]:
    """The rows that differ in some buckets, without those whose change is not due yet."""
    ranges = [_range(bucket) for bucket in buckets]
    source = {
        row[0]: row[1:]
        for row in sides.ask_source(source_rows(sides.snapshot.table, sides.compared, ranges))
    }
    raw: dict[int, tuple[Any, ...]] = {}
    twice: set[int] = set()
    for key, *values in sides.ask_warehouse(
        warehouse_rows(sides.table, sides.compared, ranges, dialect(sides.warehouse.dialect))
    ):
        if key in raw:
            twice.add(key)
        raw[key] = tuple(values)
    missing: dict[int, list[int]] = {}
    changed: dict[int, list[int]] = {}
    deleted: dict[int, list[int]] = {}
    ahead: dict[int, list[int]] = {}
    for key, (version, born, content) in source.items():
        found = raw.get(key)
        if found is None or found[3]:
            if _is_due(version, born, sides.watermark):
                missing.setdefault(key // BUCKET_KEYS, []).append(key)
        elif key in twice or (
            (version, content) != found[:2] and not _is_pending(version, found[0], sides.watermark)
        ):
            changed.setdefault(key // BUCKET_KEYS, []).append(key)
            if key in twice or (found[0] is not None and (version is None or found[0] > version)):
                ahead.setdefault(key // BUCKET_KEYS, []).append(key)
    for key, (_, _, loaded_at, is_marked) in raw.items():
        if key not in source and not is_marked and loaded_at <= sides.asked_at:
            deleted.setdefault(key // BUCKET_KEYS, []).append(key)
    for bucket in buckets:
        keys = [tuple(sorted(kind.get(bucket, ()))) for kind in (missing, changed, deleted, ahead)]
        if any(keys):
            low, high = _range(bucket)
            fingerprints = here.get(bucket, Fingerprint()), there.get(bucket, Fingerprint())
            yield Difference(sides.table.name, low, high, *fingerprints, *keys)


def _range(bucket: int) -> tuple[int, int]:
    return bucket * BUCKET_KEYS, (bucket + 1) * BUCKET_KEYS


def _is_due(version: datetime | None, born: datetime | None, watermark: datetime) -> bool:
    moments = [moment for moment in (version, born) if moment is not None]
    return not moments or min(moments) <= watermark


def _is_pending(version: datetime | None, loaded: datetime | None, watermark: datetime) -> bool:
    """Changed in the source after the watermark: the next load will bring it."""
    return version is not None and version > watermark and (loaded is None or loaded < version)


def _repair(source: Source, sides: _Sides, differences: Sequence[Difference]) -> tuple[int, int]:
    """Rows read again and rows marked as deleted."""
    table, known = sides.snapshot.table, sides.warehouse.raw_columns(sides.table)
    new = [column.name for column in table.gained if column.name not in known]
    if new:
        raise PermanentError(
            f"The source table {source.name} has gained {', '.join(new)}. Load a day of it first, "
            "then repair."
        )
    gone = [key for difference in differences for key in difference.deleted]
    marked = (
        sides.warehouse.mark_deleted(sides.table, [_keys(sides.table, gone)], sides.asked_at)
        if gone
        else 0
    )
    # No load replaces a newer version by an older one, nor an equal row. A row whose version is
    # newer in the warehouse than in the source, or that is there twice, is therefore marked first:
    # what comes after a deletion counts as new.
    ahead = [key for difference in differences for key in difference.ahead]
    if ahead:
        sides.warehouse.mark_deleted(sides.table, [_keys(sides.table, ahead)], sides.asked_at)
    ranges = [
        (difference.low, difference.high)
        for difference in differences
        if difference.missing or difference.changed
    ]
    if not ranges:
        return 0, marked
    day = last_day(source, sides.warehouse)
    window = Window(None, upper_bound(day))
    everything = Window(None, max(upper_bound(day), sides.watermark))
    condition = sql.SQL("({}) and ({})").format(
        in_window(sides.table, table.by_name, everything), in_ranges(table, ranges)
    )
    with sides.warehouse.begin_load(source, day, window) as load:
        for column in table.gained:
            load.add_column(sides.table, column)
        reloaded = load.stage(sides.table, sides.snapshot.batches(condition))
        load.commit(None)
    return reloaded, marked


def _keys(table: RawTable, keys: Sequence[int]) -> pa.RecordBatch:
    name = table.key[0]
    return pa.record_batch([pa.array(keys, arrow_type(table.column(name).type))], names=[name])
