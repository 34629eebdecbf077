"""Reconciliation of the CSV inbox: what a load passes over is found by date, and repaired."""

from __future__ import annotations

import os
import time
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingestion.csv_uploads.load import CsvLoader
from ingestion.csv_uploads.reconcile import reconcile_inbox
from ingestion.csv_uploads.settings import CsvSettings
from ingestion.reconcile import NeverLoadedError, Report
from pipeline.errors import MissingInputError, TooManyRejectsError
from pipeline.sources import source

if TYPE_CHECKING:
    from warehouse.duckdb.warehouse import DuckDBWarehouse

DAY = date(2026, 1, 20)
MARKETING = source("marketing")
SPEND = "date,channel,campaign_name,spend,impressions,clicks\n"
PERFORMANCE = "date,campaign_id,campaign_name,channel,conversions,revenue_attributed\n"
JANUARY = (
    f"{SPEND}2026-01-05,google,Brand,1.50,10,1\n"
    "2026-01-06,google,Brand,2.50,20,\n2026-01-06,meta,Ümlaut,3.50,30,3\n"
)
LONG_AGO, LATER = 1_700_000_000, 1_700_000_500
BRAND = (date(2026, 1, 6), "google", "Brand")
META = (date(2026, 1, 6), "meta", "Ümlaut")


class Inbox:
    """A folder that was loaded for ``DAY``, and its reconciliation."""

    def __init__(self, folder: Path, warehouse: DuckDBWarehouse) -> None:
        self.folder = folder
        self.warehouse = warehouse
        self.folder.mkdir()

    @property
    def settings(self) -> CsvSettings:
        return CsvSettings(_env_file=None, inbox=str(self.folder), max_reject_ratio=0.5)

    def write(self, name: str, content: str, modified: float = LONG_AGO) -> None:
        path = self.folder / name
        path.write_text(content)
        os.utime(path, (modified, modified))

    def load(self, day: date = DAY) -> None:
        CsvLoader(self.settings, self.warehouse).run(day)

    def reconcile(self, *, repair: bool = False) -> Report:
        return reconcile_inbox(MARKETING, self.settings, self.warehouse, repair=repair)

    def spoil(self, statement: str) -> None:
        """Change the warehouse by hand."""
        with self.warehouse.session("change rows", writes=True) as connection:
            connection.execute(statement)

    def spend(self) -> dict[tuple[Any, ...], float]:
        rows = self.warehouse.query(
            "select date, channel, campaign_name, spend from csv_uploads.raw_marketing_spend where "
            "_deleted_at is null"
        )
        return {row[:3]: float(str(row[3])) for row in rows}

    def repaired(self, expected: dict[tuple[Any, ...], float]) -> Report:
        """Repair, and check that exactly these rows of spend are there after it."""
        report = self.reconcile(repair=True)
        assert report.repaired and report.is_equal, str(report)
        assert self.reconcile().is_equal
        assert self.spend() == expected
        return report


FIFTH = (date(2026, 1, 5), "google", "Brand")
ALL = {FIFTH: 1.5, BRAND: 2.5, META: 3.5}


@pytest.fixture
def inbox(tmp_path: Path, warehouse: DuckDBWarehouse) -> Inbox:
    inbox = Inbox(tmp_path / "inbox", warehouse)
    inbox.write("marketing_spend.csv", JANUARY)
    inbox.write(
        "campaign_performance.csv",
        f"{PERFORMANCE}2026-01-01,c-1,Brand,google,3,120.50\n2026-01-25,c-1,,,,\n",
    )
    inbox.load()
    return inbox


def keys(report: Report, kind: str) -> list[tuple[Any, ...]]:
    return [key for difference in report.differences for key in getattr(difference, kind)]


def test_equal_sides_have_no_difference(inbox: Inbox) -> None:
    report = inbox.reconcile()
    assert report.is_equal, str(report)
    assert (report.rows, report.buckets, report.watermark) == (
        4,
        3,
        datetime(2026, 1, 20, 6),
    )  # what is dated later waits


def test_a_row_changed_in_a_file_whose_time_did_not_move_is_found_and_repaired(
    inbox: Inbox,
) -> None:
    inbox.write("marketing_spend.csv", JANUARY.replace("2.50", "9.00"))
    found = inbox.reconcile()
    assert keys(found, "changed") == [BRAND]
    assert "marketing_spend, day 2026-01-06: 1 changed (2026-01-06 / google / Brand)" in str(found)
    assert inbox.repaired({**ALL, BRAND: 9.0}).rows_reloaded == 1


def test_a_file_replaced_by_an_older_one_is_found_and_repaired(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", JANUARY.replace("2.50", "9.00"), modified=LONG_AGO - 1_000)
    inbox.load()
    assert inbox.spend() == ALL  # a load never replaces a row by one of an older file
    assert keys(inbox.reconcile(), "changed") == [BRAND]
    inbox.repaired({**ALL, BRAND: 9.0})


def test_a_row_that_no_file_has_any_more_is_marked_and_one_that_comes_back_is_not(
    inbox: Inbox,
) -> None:
    without = JANUARY.replace("2026-01-06,meta,Ümlaut,3.50,30,3\n", "")
    inbox.write("marketing_spend.csv", without, modified=LATER)
    inbox.load()
    assert inbox.spend() == {FIFTH: 1.5, BRAND: 2.5}
    inbox.write("marketing_spend.csv", JANUARY, modified=LATER + 1)
    assert keys(inbox.reconcile(), "missing") == [META]
    inbox.repaired(ALL)


def test_a_file_removed_while_older_dates_are_still_there_is_found(inbox: Inbox) -> None:
    inbox.write("marketing_spend_07.csv", f"{SPEND}2026-01-07,google,Brand,4,,\n")
    inbox.load()
    (inbox.folder / "marketing_spend_07.csv").unlink()
    assert keys(inbox.reconcile(), "deleted") == [(date(2026, 1, 7), "google", "Brand")]
    inbox.repaired(ALL)


def test_archived_files_take_no_rows_away(inbox: Inbox) -> None:
    inbox.write("marketing_spend_07.csv", f"{SPEND}2026-01-07,google,Brand,4,,\n")
    inbox.load()
    (inbox.folder / "marketing_spend.csv").unlink()
    assert inbox.reconcile().is_equal, str(inbox.reconcile())


@pytest.mark.parametrize(
    "spoiled",
    [
        "update csv_uploads.raw_marketing_spend set spend = 0 where channel = 'meta'",
        "update csv_uploads.raw_marketing_spend set clicks = null where channel = 'meta'",
        "update csv_uploads.raw_marketing_spend set spend = 7, _file_modified_at = '2099-01-01' "
        "where channel = 'meta'",
        "update csv_uploads.raw_marketing_spend set spend = 7, _file_modified_at = '2001-01-01' "
        "where channel = 'meta'",
        "update csv_uploads.raw_marketing_spend set date = '2026-01-09' where channel = 'meta'",
        "update csv_uploads.raw_marketing_spend set _deleted_at = '2026-01-09' where channel = "
        "'meta'",
        "delete from csv_uploads.raw_marketing_spend where channel = 'meta'",
    ],
)
def test_a_row_altered_in_the_warehouse_is_found_and_repaired(inbox: Inbox, spoiled: str) -> None:
    inbox.spoil(spoiled)
    found = inbox.reconcile()
    assert keys(found, "changed") + keys(found, "missing") == [META]
    inbox.repaired(ALL)


def test_the_other_table_is_compared_as_well(inbox: Inbox) -> None:
    inbox.spoil("update csv_uploads.raw_campaign_performance set conversions = 4")
    assert keys(inbox.reconcile(), "changed") == [(date(2026, 1, 1), "c-1")]
    inbox.repaired(ALL)


def test_a_file_modified_after_the_last_load_is_not_due(inbox: Inbox) -> None:
    inbox.write(
        "marketing_spend.csv",
        JANUARY.replace("2.50", "9.00") + "2026-01-07,google,Brand,4,,\n",
        time.time() + 60,
    )
    assert inbox.reconcile().is_equal, str(inbox.reconcile())
    assert inbox.spend() == ALL


def test_a_column_that_the_files_gained_is_compared_once_it_is_loaded(inbox: Inbox) -> None:
    wider = (
        "\n".join(
            f"{line},{note}"
            for line, note in zip(JANUARY.split(), ["note", "a", "b", "c"], strict=True)
        )
        + "\n"
    )
    inbox.write("marketing_spend.csv", wider, LATER)
    assert inbox.reconcile().is_equal
    inbox.load()
    inbox.spoil("update csv_uploads.raw_marketing_spend set note = 'z' where channel = 'meta'")
    assert keys(inbox.reconcile(), "changed") == [META]
    inbox.repaired(ALL)


def test_a_repair_leaves_other_rows_and_the_watermark_alone(inbox: Inbox) -> None:
    stamps = "select channel || date, _load_id, _loaded_at from csv_uploads.raw_marketing_spend"
    before = {row[0]: row[1:] for row in inbox.warehouse.query(stamps)}
    inbox.spoil("update csv_uploads.raw_marketing_spend set spend = 0 where channel = 'meta'")
    assert inbox.repaired(ALL).repaired_day == DAY
    after = {row[0]: row[1:] for row in inbox.warehouse.query(stamps)}
    assert {key for key in before if before[key] != after[key]} == {"meta2026-01-06"}
    assert inbox.warehouse.watermark(MARKETING) == datetime(2026, 1, 20, 6)


def test_an_inbox_that_cannot_be_read_takes_nothing_away(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}a,b,c,d,e,f\n")
    with pytest.raises(TooManyRejectsError):
        inbox.reconcile(repair=True)
    (inbox.folder / "marketing_spend.csv").unlink()
    with pytest.raises(MissingInputError, match="There is no marketing_spend"):
        inbox.reconcile(repair=True)
    assert inbox.spend() == ALL


def test_an_inbox_never_loaded_is_told(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    with pytest.raises(NeverLoadedError, match="marketing was never loaded"):
        Inbox(tmp_path / "other", warehouse).reconcile()
