"""Compares a PostgreSQL table with its raw table by ranges of keys; repairs on request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import psycopg2
from psycopg2 import sql

from ingestion.postgres import fingerprint
from ingestion.postgres.aside import RowsAside
from ingestion.postgres.connection import explain
from ingestion.postgres.settings import PostgresSettings
from ingestion.postgres.snapshot import Snapshot, open_snapshot
from ingestion.postgres.window import in_window
from ingestion.reconcile.comparison import (
    BUCKET_KEYS,
    RawRow,
    Rows,
    Shape,
    SourceRow,
    differences,
    mark,
)
from ingestion.reconcile.loads import NeverLoadedError, last_day
from ingestion.reconcile.report import Difference, Report
from pipeline.contracts import METADATA_COLUMNS, Column, Source
from pipeline.days import upper_bound
from pipeline.errors import PermanentError
from pipeline.records import Window
from pipeline.settings import settings
from warehouse import Warehouse


def reconcile(source: Source, warehouse: Warehouse, repair: bool) -> Report:
    """Compare one source with the configured settings."""
    return reconcile_table(source, settings(PostgresSettings), warehouse, repair=repair)


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
    report = _compare(source, settings, warehouse, repair)
    if not report.repaired:
        return report
    return replace(report, remaining=_compare(source, settings, warehouse, False).differences)


@dataclass(frozen=True)
class _Side:
    """The source's side of a comparison."""

    snapshot: Snapshot
    compared: tuple[Column, ...]
    watermark: datetime
    aside: RowsAside

    def buckets(self) -> Rows:
        table = self.snapshot.table
        return self._ask(fingerprint.buckets(table, self.compared, self.watermark))

    def rows(self, buckets: Sequence[int]) -> Rows:
        return self._ask(fingerprint.rows(self.snapshot.table, self.compared, buckets))

    def is_pending(self, row: SourceRow, known: RawRow | None) -> bool:
        """Whether the next load brings the row, or says again why not.

        It came, or changed, after the watermark, or is set aside.
        """
        if str(row.key) in self.aside.keys:
            return True
        if known is None:
            moments = [moment for moment in (row.version, row.origin) if moment is not None]
            return bool(moments) and min(moments) > self.watermark
        if row.version is None or row.version <= self.watermark:
            return False
        return known.version is None or known.version < row.version

    def _ask(self, query: sql.Composable) -> list[tuple[Any, ...]]:
        try:
            with self.snapshot.connection.cursor() as cursor:
                cursor.execute(query)
                return cursor.fetchall()
        except psycopg2.Error as error:
            name = self.snapshot.table.contract.name
            raise explain(error, self.snapshot.settings, name) from error


def _compare(
    source: Source, settings: PostgresSettings, warehouse: Warehouse, repair: bool
) -> Report:
    (table,) = source.tables
    watermark, known = warehouse.watermark(source), warehouse.raw_columns(table)
    if watermark is None or not known:
        raise NeverLoadedError(source)
    if len(table.key) != 1 or table.column(table.key[0]).type.name not in ("integer", "bigint"):
        raise PermanentError(
            f"{source.name} cannot be compared in buckets: its key is no single integer."
        )
    comparable = set(known) - {column.name for column in METADATA_COLUMNS}
    # Before the snapshot, which may not have the rows that are loaded after it.
    asked_at = datetime.now(UTC).replace(tzinfo=None)
    with open_snapshot(settings, table, known) as snapshot:
        compared = tuple(
            column
            for column in (*table.columns, *snapshot.table.gained)
            if column.name in comparable
        )
        side = _Side(snapshot, compared, watermark, RowsAside(warehouse, source, snapshot.table))
        shape = Shape(table, bucket_of=table.key[0], compared=compared)
        buckets, rows, found = differences(shape, side, warehouse, asked_at, side.is_pending)
        report = Report(source.name, watermark, asked_at, buckets, rows, tuple(found))
        if not repair or not found:
            return report
        return _repaired(source, report, snapshot, warehouse)


def _repaired(source: Source, report: Report, snapshot: Snapshot, warehouse: Warehouse) -> Report:
    table = snapshot.table
    known = warehouse.raw_columns(table.contract)
    if new := [column.name for column in table.gained if column.name not in known]:
        raise PermanentError(
            f"The source table {source.name} has gained {', '.join(new)}. Load a day of it first, "
            "then repair."
        )
    found, asked_at, day = report.differences, report.compared_at, last_day(source, warehouse)
    marked = mark(warehouse, source.tables, found, "deleted", asked_at)
    mark(warehouse, source.tables, found, "ahead", asked_at)
    return replace(
        report,
        repaired=True,
        rows_reloaded=_reload(source, report, snapshot, warehouse),
        rows_marked=marked,
        repaired_day=day,
    )


def _reload(source: Source, report: Report, snapshot: Snapshot, warehouse: Warehouse) -> int:
    """Load the buckets again that lack rows or have others; returns the rows read."""
    table, day = snapshot.table, last_day(source, warehouse)
    buckets = [_bucket(one) for one in report.differences if one.missing or one.changed]
    if not buckets:
        return 0
    end = upper_bound(day)
    condition = sql.SQL("({}) and ({})").format(
        in_window(table.contract, table.by_name, Window(None, max(end, report.watermark))),
        fingerprint.in_buckets(table, buckets),
    )
    with warehouse.begin_load(source, day, Window(None, end)) as load:
        reloaded = RowsAside(warehouse, source, table).stage(load, snapshot, [condition])
        load.commit(None)
    return reloaded


def _bucket(difference: Difference) -> int:
    return int(difference.low) // BUCKET_KEYS
