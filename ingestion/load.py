"""Loads one day of one source: the one way in for the DAGs and the shell."""

from __future__ import annotations

import logging
from datetime import date

from ingestion.registry import load_of
from pipeline.records import LoadRecord
from pipeline.sources import source
from warehouse import open_warehouse

logger = logging.getLogger(__name__)


def load(source_name: str, day: date, *, full_refresh: bool = False) -> LoadRecord:
    """Load one day of one source into the configured warehouse and return the committed record.

    ``full_refresh`` reads the whole source and swaps it in. Any ``PipelineError`` means that
    nothing was written; ``MissingInputError`` for a source that is not declared.
    """
    chosen = source(source_name)
    record = load_of(chosen.kind)(chosen, day, open_warehouse(), full_refresh)
    logger.info("%s", record.summary)
    return record
