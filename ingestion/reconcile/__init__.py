"""Compares a source with its raw tables, says what differs, and repairs it on request."""

from __future__ import annotations

from ingestion.reconcile.loads import NeverLoadedError
from ingestion.reconcile.report import Difference, Fingerprint, Report
from ingestion.registry import reconcile_of
from pipeline.sources import source
from warehouse import open_warehouse

__all__ = ["Difference", "Fingerprint", "NeverLoadedError", "Report", "reconcile"]


def reconcile(source_name: str, repair: bool = False) -> Report:
    """Compare one source with what was loaded of it; with ``repair``, make the warehouse equal.

    A row that was changed behind the watermark, altered or lost in the warehouse is read again. A
    row that is gone from the source gets its ``_deleted_at``. What changed after the last load's
    watermark is not due and no difference.

    Raises:
        NeverLoadedError: there is nothing to compare.
        MissingInputError: no such source.
        PipelineError: source or warehouse could not be read.
    """
    chosen = source(source_name)
    return reconcile_of(chosen.kind)(chosen, open_warehouse(), repair)
