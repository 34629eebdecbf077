"""Compares a source with its raw tables, says what differs, and repairs it on request."""

from __future__ import annotations

from ingestion.errors import MissingInputError
from ingestion.reconcile.report import Difference, Fingerprint, Report
from ingestion.settings import PostgresSettings, settings
from ingestion.sources import SOURCES, source
from ingestion.warehouse import Warehouse, open_warehouse

__all__ = ["RECONCILABLE", "Difference", "Fingerprint", "Report", "reconcile"]

RECONCILABLE = tuple(candidate.name for candidate in SOURCES if candidate.kind == "postgres")


def reconcile(source_name: str, repair: bool = False, *, warehouse: Warehouse | None = None) -> Report:
    """Compare one source with what was loaded of it; with ``repair``, make the warehouse equal.

    A row that was changed behind the watermark, altered or lost in the warehouse is read again. A row that is gone from
    the source gets its ``_deleted_at``. What changed after the last load's watermark is not due and no difference.

    Raises:
        MissingInputError: no such source, one that cannot be compared, or one that was never loaded.
        IngestionError: source or warehouse could not be read; see their families for whether to try again.
    """
    if source_name not in RECONCILABLE:
        raise MissingInputError(f"{source_name!r} cannot be reconciled. These sources can: {', '.join(RECONCILABLE)}.")
    from ingestion.reconcile.postgres import reconcile_table

    return reconcile_table(source(source_name), settings(PostgresSettings), warehouse or open_warehouse(), repair=repair)
