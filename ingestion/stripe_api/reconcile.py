"""Compares Stripe's objects with their raw tables by day of creation; repairs on request."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa

from ingestion.reconcile.comparison import (
    DAY,
    Pending,
    Shape,
    StreamedRows,
    differences,
    mark,
)
from ingestion.reconcile.loads import NeverLoadedError, last_day
from ingestion.reconcile.report import Difference, Report
from ingestion.stripe_api.changes import Touched, touched_since
from ingestion.stripe_api.client import StripeApi
from ingestion.stripe_api.contract import SetAside
from ingestion.stripe_api.identity import check_identity
from ingestion.stripe_api.load import EVENTS_KEPT, LISTS, StripeConnector, epoch
from ingestion.stripe_api.settings import StripeSettings
from pipeline.contracts import RawTable, Source
from pipeline.days import upper_bound
from pipeline.errors import PermanentError
from pipeline.records import Window
from pipeline.settings import settings
from pipeline.sources import CHARGES, DISPUTES, REFUNDS
from warehouse import Warehouse

SECOND = timedelta(seconds=1)
DATE_IS_OLD = timedelta(minutes=1)  # the Date of an answer that is on its way, at most

# The payload as a whole is not compared: Stripe adds fields to old objects whenever it likes, and
# some, such as receipt_url, differ each time they are asked for. What staging reads from it is.
_ID = ("payload", ("id",))
_FROM_PAYLOAD = {
    CHARGES.name: (
        _ID,
        ("payload", ("payment_method_details", "type")),
        ("payload", ("payment_method_details", "card", "brand")),
    ),
    REFUNDS.name: (_ID, ("payload", ("balance_transaction",))),
    DISPUTES.name: (_ID,),
}


@dataclass(frozen=True)
class _Span:
    """Objects created in ``(after, until]``, UTC without a zone; ``after`` None: all before."""

    after: datetime | None
    until: datetime


def reconcile(source: Source, warehouse: Warehouse, repair: bool) -> Report:
    """Compare one source with the configured settings."""
    return reconcile_charges(source, settings(StripeSettings), warehouse, repair=repair)


def reconcile_charges(
    source: Source, settings: StripeSettings, warehouse: Warehouse, *, repair: bool = False
) -> Report:
    """Compare what was created in the last ``STRIPE_RECONCILE_DAYS`` up to the last load's cursor.

    What events have touched since that cursor is the next load's business and no difference.
    ``repair`` lists the days that differ again, and marks as deleted what that listing does not
    have either.

    Raises:
        NeverLoadedError: there is nothing to compare.
        PermanentError: the last load is older than Stripe's events.
        OtherAccountError: the key opens another account or mode than the one that is loaded.
        PipelineError: Stripe or the warehouse could not be read.
    """
    cursor = warehouse.watermark(source)
    if cursor is None or not all(warehouse.raw_columns(table) for table in source.tables):
        raise NeverLoadedError(source)
    after = cursor - timedelta(days=settings.reconcile_days) if settings.reconcile_days else None
    with closing(StripeApi(settings)) as api:
        if cursor < api.now() - EVENTS_KEPT:
            raise PermanentError(
                f"{source.name} was loaded up to {cursor} only, and Stripe's events do not reach "
                "back to it, so it cannot be said what is due. Load a day first, then reconcile."
            )
        check_identity(api, settings, warehouse)
        comparison = _Comparison(source, settings, warehouse, api, cursor)
        report = comparison.compare(_Span(after, cursor))
        if not repair or not report.differences:
            return report
        repaired = comparison.repair(report)
        again = comparison.compare(_around(report.differences, after, cursor))
        return replace(repaired, remaining=again.differences)


@dataclass(frozen=True)
class _Comparison:
    source: Source
    settings: StripeSettings
    warehouse: Warehouse
    api: StripeApi
    cursor: datetime

    @property
    def connector(self) -> StripeConnector:
        return StripeConnector(self.settings, self.warehouse)

    def compare(self, span: _Span) -> Report:
        asked_at, aside = datetime.now(UTC).replace(tzinfo=None), SetAside()
        with tempfile.TemporaryDirectory(prefix="reconcile-") as folder:
            listed = [self._listed(table, path, span, Path(folder), aside) for table, path in LISTS]
            try:
                # After the listing: what changed while it was read is not due either.
                touched = self._touched_since_cursor()
                buckets, rows = 0, 0
                found: list[Difference] = []
                for shape, source_rows in listed:
                    pending = _pending(shape.table, touched)
                    days, count, of_table = differences(
                        shape, source_rows, self.warehouse, asked_at, pending
                    )
                    buckets, rows = buckets + days, rows + count
                    found += _but_for(aside, of_table, shape.table)
            finally:
                for _, source_rows in listed:
                    source_rows.close()
        return Report(self.source.name, self.cursor, asked_at, buckets, rows, tuple(found))

    def repair(self, report: Report) -> Report:
        """Load the days that differ again, then mark what is gone."""
        found, asked_at, tables = report.differences, report.compared_at, self.source.tables
        mark(self.warehouse, tables, found, "ahead", asked_at)
        day = last_day(self.source, self.warehouse)
        seen: dict[str, set[str]] = {table.name: set() for table in tables}
        reloaded, aside = 0, SetAside()
        with self.warehouse.begin_load(self.source, day, Window(None, upper_bound(day))) as load:
            for table, path in LISTS:
                for span in _spans(found, table, self.cursor):
                    batches = self.connector.listed(
                        self.api, table, path, span.after, span.until, aside
                    )
                    reloaded += load.stage(table, _noting(batches, table, seen[table.name]))
            self.connector.set_aside(load, aside)
            load.commit(None)
        gone = [
            replace(one, deleted=tuple(key for key in one.deleted if key not in seen[one.table]))
            for one in found
        ]
        marked = mark(self.warehouse, tables, gone, "deleted", asked_at)
        return replace(
            report, repaired=True, rows_reloaded=reloaded, rows_marked=marked, repaired_day=day
        )

    def _listed(
        self, table: RawTable, path: str, span: _Span, folder: Path, aside: SetAside
    ) -> tuple[Shape, StreamedRows]:
        shape = Shape(
            table,
            bucket_of="created_at",
            compared=tuple(
                column for column in table.columns if column.name not in ("payload", table.version)
            ),
            further=_FROM_PAYLOAD[table.name],
            origin="charge_id",
            due=_created_in(span),
        )
        rows = StreamedRows(shape, folder)
        rows.add(self.connector.listed(self.api, table, path, span.after, span.until, aside))
        return shape, rows

    def _touched_since_cursor(self) -> Touched:
        until = epoch(self.api.now() + DATE_IS_OLD)
        threads = self.settings.parallel_windows
        return touched_since(
            self.api, epoch(self.cursor), until, listed_after=until, threads=threads
        )


def _pending(table: RawTable, touched: Touched) -> Pending:
    charges = {
        CHARGES.name: touched.charges,
        REFUNDS.name: touched.with_refunds,
        DISPUTES.name: touched.with_disputes,
    }[table.name]
    return lambda row, _: row.origin in charges or row.key in touched.loose_refunds


def _but_for(aside: SetAside, found: Iterable[Difference], table: RawTable) -> Iterator[Difference]:
    """The differences without objects that were set aside: they make no row, but are not gone."""
    unfit = {reject.key for reject in aside.of(table)}
    for one in found:
        kept = replace(one, deleted=tuple(key for key in one.deleted if key not in unfit))
        if kept.missing or kept.changed or kept.deleted or kept.ahead:
            yield kept


def _created_in(span: _Span) -> str:
    until = f"created_at <= timestamp '{span.until}'"
    return (
        f"({until} and created_at > timestamp '{span.after}') or created_at is null"
        if span.after
        else f"{until} or created_at is null"
    )


def _spans(found: Sequence[Difference], table: RawTable, cursor: datetime) -> Iterator[_Span]:
    """The days of a table that differ, those in a row as one."""
    days: list[date] = sorted(one.low for one in found if one.table == table.name)
    while days:
        first = last = days.pop(0)
        while days and days[0] == last + DAY:
            last = days.pop(0)
        yield _Span(_midnight(first) - SECOND, min(_midnight(last + DAY) - SECOND, cursor))


def _around(found: Sequence[Difference], after: datetime | None, cursor: datetime) -> _Span:
    """One span with all days that differ."""
    first = _midnight(min(difference.low for difference in found)) - SECOND
    last = _midnight(max(difference.high for difference in found)) - SECOND
    return _Span(max(first, after) if after else first, min(last, cursor))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _noting(
    batches: Iterator[pa.RecordBatch], table: RawTable, seen: set[str]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        seen.update(map(str, batch.column(table.key[0]).to_pylist()))
        yield batch
