"""An inbox of marketing files, its loads into a warehouse, and what has come of them."""

from __future__ import annotations

import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.csv_uploads.load import CsvLoader
from ingestion.csv_uploads.settings import CsvSettings
from pipeline.records import LoadRecord
from pipeline.sources import source

if TYPE_CHECKING:
    from warehouse import Warehouse

MARKETING = source("marketing")
DAY = date(2026, 1, 20)
SPEND = "date,channel,campaign_name,spend,impressions,clicks"
PERFORMANCE = "date,campaign_id,campaign_name,channel,conversions,revenue_attributed"
GOOD_PERFORMANCE = f"{PERFORMANCE}\n2026-01-01,c-1,Brand,google,3,120.50\n"


class Inbox:
    """A folder with a good campaign_performance.csv, for tests that look at spend."""

    def __init__(self, folder: Path, warehouse: Warehouse) -> None:
        self.folder = folder
        self.warehouse = warehouse
        self.folder.mkdir()
        self.write("campaign_performance.csv", GOOD_PERFORMANCE)

    def write(self, name: str, content: str | bytes, modified: int = 1_700_000_000) -> None:
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (modified, modified))

    def load(
        self,
        day: date = DAY,
        *,
        full_refresh: bool = False,
        ratio: float = 0.1,
        inbox: str | None = None,
        go_without: bool = False,
    ) -> LoadRecord:
        settings = CsvSettings(
            _env_file=None, inbox=inbox or str(self.folder), max_reject_ratio=ratio
        )
        return CsvLoader(settings, self.warehouse).run(
            day, full_refresh=full_refresh, go_without=go_without
        )

    def spend(self) -> list[tuple[object, ...]]:
        return self.warehouse.query(
            "select date, channel, campaign_name, spend, impressions, clicks from "
            "csv_uploads.raw_marketing_spend order by all"
        )

    def loaded(self) -> list[str]:
        """Day of the month, channel, campaign and spend of the rows that count."""
        rows = self.warehouse.query(
            "select date, channel, campaign_name, spend from csv_uploads.raw_marketing_spend "
            "where _deleted_at is null order by 1, 2, 3"
        )
        return [f"{row[0]:%d} {row[1]} {row[2]} {float(str(row[3])):g}" for row in rows]

    def states(self) -> dict[str, str]:
        """What the ledger says last of each file."""
        return {record.name: record.state for record in self.warehouse.file_records(MARKETING)}

    def amounts(self) -> dict[str, Decimal]:
        """Spend by campaign, of the rows that are not marked as deleted."""
        rows = self.warehouse.query(
            "select campaign_name, spend from csv_uploads.raw_marketing_spend "
            "where _deleted_at is null"
        )
        return {str(name): Decimal(str(spend)) for name, spend in rows}

    def rejects(self) -> list[tuple[object, ...]]:
        return self.warehouse.query(
            "select file, line, column_name, reason, text from loads.rejected_rows order by file, "
            "line"
        )

    def is_not_loaded(self) -> bool:
        """No day is loaded, though some files may be."""
        return self.warehouse.query("select count(*) from loads.load_records") == [(0,)]

    def is_untouched(self) -> bool:
        """Nothing was ever written: no raw table, no load record, no reject."""
        tables = [self.warehouse.raw_columns(table) for table in MARKETING.tables]
        records = self.warehouse.query("select count(*) from loads.load_records")
        return not any(tables) and records == [(0,)] and not self.rejects()
