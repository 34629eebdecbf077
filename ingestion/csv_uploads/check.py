"""Checks the CSV inbox: whether there are files of each table."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ingestion.csv_uploads.arrivals import require_a_file_of_each_table
from ingestion.csv_uploads.inbox import Inbox
from ingestion.csv_uploads.series import table_of
from ingestion.csv_uploads.settings import CsvSettings
from pipeline.checks import Finding, tried
from pipeline.contracts import RawTable
from pipeline.settings import settings
from pipeline.sources import SOURCES


def check() -> Iterator[Finding]:
    """One finding for each table that is loaded from files."""
    for source in SOURCES:
        if source.kind == "csv":
            for table in source.tables:
                yield tried("csv", f"{table.name}*.csv", partial(_files, table))


def _files(table: RawTable) -> str:
    inbox = Inbox(settings(CsvSettings).inbox)
    listing = inbox.listing()
    require_a_file_of_each_table(inbox, listing, (table,))
    found = [file for file in listing.files if table_of(file.name, (table,))]
    newest = max(file.modified_at for file in found)
    return f"{len(found)} file{'' if len(found) == 1 else 's'}, the newest of {newest:%Y-%m-%d}."
