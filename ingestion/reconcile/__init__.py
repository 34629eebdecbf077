"""Compares a source with its raw tables, says what differs, and repairs it on request."""

from __future__ import annotations

from ingestion.csv_uploads.settings import CsvSettings
from ingestion.postgres.settings import PostgresSettings
from ingestion.reconcile.loads import NeverLoadedError
from ingestion.reconcile.report import Difference, Fingerprint, Report
from ingestion.stripe_api.settings import StripeSettings
from pipeline.errors import MissingInputError
from pipeline.settings import settings
from pipeline.sources import SOURCES, source
from warehouse import Warehouse, open_warehouse

__all__ = ["RECONCILABLE", "Difference", "Fingerprint", "NeverLoadedError", "Report", "reconcile"]

RECONCILABLE = tuple(candidate.name for candidate in SOURCES)


def reconcile(
    source_name: str, repair: bool = False, *, warehouse: Warehouse | None = None
) -> Report:
    """Compare one source with what was loaded of it; with ``repair``, make the warehouse equal.

    A row that was changed behind the watermark, altered or lost in the warehouse is read again. A
    row that is gone from the source gets its ``_deleted_at``. What changed after the last load's
    watermark is not due and no difference.

    Raises:
        NeverLoadedError: there is nothing to compare.
        MissingInputError: no such source.
        PipelineError: source or warehouse could not be read; see their families for whether to try
            again.
    """
    if source_name not in RECONCILABLE:
        raise MissingInputError(
            f"{source_name!r} cannot be reconciled. These sources can: {', '.join(RECONCILABLE)}."
        )
    chosen, warehouse = source(source_name), warehouse or open_warehouse()
    # Imported here, so that a reconciliation needs the libraries of its own source only.
    if chosen.kind == "postgres":
        from ingestion.reconcile.postgres import reconcile_table

        return reconcile_table(chosen, settings(PostgresSettings), warehouse, repair=repair)
    if chosen.kind == "stripe":
        from ingestion.reconcile.stripe import reconcile_charges

        return reconcile_charges(chosen, settings(StripeSettings), warehouse, repair=repair)
    from ingestion.reconcile.csv import reconcile_inbox

    return reconcile_inbox(chosen, settings(CsvSettings), warehouse, repair=repair)
