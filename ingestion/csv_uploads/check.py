"""Checks the CSV inbox: whether there are files of each table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ingestion.csv_uploads.inbox import Inbox
from ingestion.csv_uploads.settings import CsvSettings
from pipeline.checks import Finding, tried
from pipeline.settings import settings
from pipeline.sources import SOURCES


def check() -> Iterator[Finding]:
    """One finding for each table that is loaded from files."""
    for source in SOURCES:
        if source.kind == "csv":
            for table in source.tables:
                pattern = f"{table.name}*.csv"
                yield tried("csv", pattern, partial(_files, pattern))


def _files(pattern: str) -> str:
    found = Inbox(settings(CsvSettings).inbox).files(pattern)
    newest = max(file.modified_at for file in found)
    return f"{len(found)} file{'' if len(found) == 1 else 's'}, the newest of {newest:%Y-%m-%d}."
