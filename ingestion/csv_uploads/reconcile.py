"""Compares the files of the CSV inbox with their raw tables, by date; repairs on request."""

from __future__ import annotations

import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

from ingestion.csv_uploads.contract import columns_in_file, text_column
from ingestion.csv_uploads.load import CsvLoader
from ingestion.csv_uploads.settings import CsvSettings
from ingestion.csv_uploads.tables import ReadTable
from ingestion.reconcile.comparison import Shape, StreamedRows, differences, mark
from ingestion.reconcile.loads import NeverLoadedError, last_begun, last_day
from ingestion.reconcile.report import Difference, Report
from pipeline.contracts import Source
from pipeline.days import upper_bound
from pipeline.settings import settings
from warehouse import Warehouse


def reconcile(source: Source, warehouse: Warehouse, repair: bool) -> Report:
    """Compare one source with the configured settings."""
    return reconcile_inbox(source, settings(CsvSettings), warehouse, repair=repair)


def reconcile_inbox(
    source: Source, settings: CsvSettings, warehouse: Warehouse, *, repair: bool = False
) -> Report:
    """Compare the rows of all files, dated up to the last day that was loaded, with the raw tables.

    Rows of a file that was modified after the last load began are the next load's business and no
    difference. ``repair`` loads the inbox again and marks rows as deleted that no file has any
    more.

    Old files may be archived: rows dated before everything in the inbox, of files that are no
    longer there, are left alone.

    Raises:
        NeverLoadedError: there is nothing to compare.
        PipelineError: the inbox cannot be read, or holds too many bad rows to say what is gone.
    """
    if not all(warehouse.raw_columns(table) for table in source.tables):
        raise NeverLoadedError(source)
    report = _compare(source, settings, warehouse)
    if not repair or not report.differences:
        return report
    repaired = _repair(source, settings, warehouse, report)
    return replace(repaired, remaining=_compare(source, settings, warehouse).differences)


def _compare(source: Source, settings: CsvSettings, warehouse: Warehouse) -> Report:
    until, loaded_at = last_day(source, warehouse), last_begun(source, warehouse)
    asked_at = datetime.now(UTC).replace(tzinfo=None)
    buckets, rows = 0, 0
    found: list[Difference] = []
    loader = CsvLoader(settings, warehouse)
    with (
        tempfile.TemporaryDirectory(prefix="reconcile-") as name,
        loader.reading(until, until, everything=True) as reading,
    ):
        for read in reading.tables(source.tables, beside_raw=False):
            if refused := reading.refusal():
                raise refused
            shape = _shape(read, until, warehouse)
            with closing(StreamedRows(shape, Path(name))) as source_rows:
                source_rows.add(read.rows.winners(until))
                days, count, of_table = differences(
                    shape,
                    source_rows,
                    warehouse,
                    asked_at,
                    lambda row, _: row.version is not None and row.version > loaded_at,
                )
            buckets, rows = buckets + days, rows + count
            found += of_table
    return Report(source.name, upper_bound(until), asked_at, buckets, rows, tuple(found))


def _shape(read: ReadTable, until: date, warehouse: Warehouse) -> Shape:
    table, known = read.table, warehouse.raw_columns(read.table)
    extra = (text_column(name) for name in read.rows.extra if name in known)
    compared = (*columns_in_file(table), *extra)
    files = ", ".join("'" + name.replace("'", "''") + "'" for name in read.files)
    archived = f"date < date '{read.rows.earliest or date.max}' and _file_name not in ({files})"
    return Shape(
        table,
        "date",
        compared,
        due=f"date <= date '{until}' and not ({archived})",
    )


def _repair(source: Source, settings: CsvSettings, warehouse: Warehouse, report: Report) -> Report:
    """Mark what is gone, then load the last day again: equal rows are left untouched by that."""
    marked = mark(warehouse, source.tables, report.differences, "deleted", report.compared_at)
    mark(warehouse, source.tables, report.differences, "ahead", report.compared_at)
    day = last_day(source, warehouse)
    record = CsvLoader(settings, warehouse).run(day, repair=True)
    changed = sum(table.inserted + table.updated for table in record.tables)
    return replace(
        report, repaired=True, rows_reloaded=changed, rows_marked=marked, repaired_day=day
    )
