"""Loads one day of one source, whole or in parts: the one way in for the DAGs and the shell."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from ingestion.csv_uploads.settings import CsvSettings
from ingestion.postgres.settings import PostgresSettings
from ingestion.stripe_api.settings import StripeSettings
from pipeline.contracts import Source
from pipeline.errors import MissingInputError
from pipeline.settings import settings
from pipeline.sources import SOURCES, source
from warehouse import open_warehouse

if TYPE_CHECKING:
    from ingestion.postgres.load import PostgresExtractor
    from pipeline.records import LoadRecord
    from warehouse import Warehouse

logger = logging.getLogger(__name__)


def load(source_name: str, day: date, *, full_refresh: bool = False) -> LoadRecord:
    """Load one day of one source into the configured warehouse and return the committed load
    record.

    ``full_refresh`` reads the whole source and swaps it in. Any ``PipelineError`` means that
    nothing was written; ``MissingInputError`` for a source that is not declared.
    """
    known = {candidate.name for candidate in SOURCES}
    if source_name not in known:
        raise MissingInputError(
            f"There is no source called {source_name!r}. Known sources: {', '.join(sorted(known))}."
        )
    record = _load(source(source_name), day, open_warehouse(), full_refresh)
    logger.info("%s", summary(record))
    return record


def plan_parts(source_name: str, day: date) -> list[dict[str, Any]]:
    """The parts of one load of a PostgreSQL source, as plain JSON: each for ``load_part``, all of
    them for ``commit_parts``.
    """
    return [
        part.as_dict()
        for part in _extractor(open_warehouse()).plan_parts(source(source_name).tables[0], day)
    ]


def load_part(part: dict[str, Any]) -> int:
    """Read and stage one part, in whatever process; nothing is visible yet. Returns its rows."""
    from ingestion.postgres.parts import Part

    return _extractor(open_warehouse()).extract_part(Part.from_dict(part))


def commit_parts(parts: Sequence[dict[str, Any]]) -> LoadRecord:
    """Commit all parts of a plan as one load, all or nothing. Doing it again returns the same
    record.
    """
    from ingestion.postgres.parts import Part

    record = _extractor(open_warehouse()).commit_parts([Part.from_dict(part) for part in parts])
    logger.info("%s", summary(record))
    return record


def _extractor(warehouse: Warehouse) -> PostgresExtractor:
    from ingestion.postgres.load import PostgresExtractor

    return PostgresExtractor(settings(PostgresSettings), warehouse)


def _load(source: Source, day: date, warehouse: Warehouse, full_refresh: bool) -> LoadRecord:
    # Connectors are imported here, so that a load needs the libraries of its own source only.
    if source.kind == "postgres":
        return _extractor(warehouse).extract_table(source.tables[0], day, full_refresh=full_refresh)
    if source.kind == "stripe":
        from ingestion.stripe_api.load import StripeConnector

        return StripeConnector(settings(StripeSettings), warehouse).load_charges(
            day, full_refresh=full_refresh
        )
    from ingestion.csv_uploads.load import CsvLoader

    return CsvLoader(settings(CsvSettings), warehouse).run(day, full_refresh=full_refresh)


def summary(record: LoadRecord) -> str:
    """One line about a load, for a log or a terminal."""
    inserted, updated, unchanged = (
        sum(getattr(table, count) for table in record.tables)
        for count in ("inserted", "updated", "unchanged")
    )
    rejected = f", {record.rows_rejected:,} rejected" if record.rows_rejected else ""
    return (
        f"{record.source} {record.day}: {record.rows_extracted:,} rows read ({inserted:,} new, "
        f"{updated:,} changed, "
        f"{unchanged:,} unchanged{rejected}) in {record.seconds:.1f} s, load {record.load_id}"
    )
