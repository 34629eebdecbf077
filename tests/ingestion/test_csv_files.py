"""A file of the inbox is the unit: it speaks for its days and channels, and is judged by itself."""

from __future__ import annotations

import gzip
import logging
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingestion.csv_uploads.series import series_of, table_of
from ingestion.csv_uploads.spelling import folded
from pipeline.errors import AwaitedInputError, TooManyRejectsError
from pipeline.sources import source
from tests.builders.csv_inbox import PERFORMANCE, SPEND, Inbox

if TYPE_CHECKING:
    from warehouse import Warehouse
    from warehouse.duckdb.warehouse import DuckDBWarehouse


@pytest.fixture
def inbox(tmp_path: Path, warehouse: DuckDBWarehouse) -> Inbox:
    return Inbox(tmp_path / "inbox", warehouse)


def spend(*rows: str) -> str:
    """Rows of January: ``17 google Brand 2.50``."""
    lines = [row.rsplit(" ", 1) for row in rows]
    parsed = [(*before.split(" ", 2), amount) for before, amount in lines]
    return f"{SPEND}\n" + "".join(
        f"2026-01-{day},{channel},{name},{amount},10,1\n" for day, channel, name, amount in parsed
    )


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("marketing_spend.csv", "marketing_spend"),
        ("Marketing Spend 2026-11-21.CSV", "marketing_spend"),
        ("marketing-spend_20261121_063000.csv.gz", "marketing_spend"),
        ("Copy of marketing_spend_nov_2026 (2).csv", "marketing_spend"),
        ("marketing_spend_2026-w47_v2_corrected.csv", "marketing_spend"),
        ("marketing_spend_google_2026-11.csv", "marketing_spend_google"),
        ("marketing_spend_account_1234567.csv", "marketing_spend_account_1234567"),
        ("campaign_performance_Q4.csv", "campaign_performance"),
        ("marketing_spend_TEMPLATE.csv", None),
        ("marketing_spending.csv", None),
        ("budget_marketing_spend.csv", None),
    ],
)
def test_a_name_tells_table_and_series(name: str, series: str | None) -> None:
    table = table_of(name, source("marketing").tables)
    assert (series_of(name) if table else None) == series


def test_names_that_look_the_same_are_the_same() -> None:
    brand = folded("campaign_name", "Brand Q4")
    for name in ("brand\u00a0q4", "BRAND  Q4", "Bra\u200bnd \u200eQ4", "\uff22rand Q4"):
        assert folded("campaign_name", name) == brand
    assert folded("channel", "Google Ads") == folded("channel", "google-ads")
    assert folded("campaign_name", "Brand-Q4") != brand


def test_a_file_speaks_for_its_days_and_channels(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """One week of one series: what is renamed or withdrawn goes, what is not covered stays."""
    caplog.set_level(logging.INFO)
    name = "marketing_spend.csv"
    first = spend("15 google Brand 100", "16 google Brand 100", "16 google Wrong 900")
    inbox.write(name, first, 1)
    inbox.load()
    inbox.write(name, spend("15 google Brand | 2026 100", "16 google Brand | 2026 100"), 2)
    inbox.load()
    assert inbox.loaded() == ["15 google Brand | 2026 100", "16 google Brand | 2026 100"]

    # A later file of the series, of one day and channel: it takes the whole of both.
    inbox.write("marketing_spend_2026-01-16.csv", spend("16 google Shop 7", "16 meta New 3"), 3)
    inbox.load()
    kept = ["15 google Brand | 2026 100", "16 google Shop 7", "16 meta New 3"]
    assert inbox.loaded() == kept

    # Nothing is read again, whatever is copied or touched.
    caplog.clear()
    inbox.write("marketing_spend_2026-01-16.csv", spend("16 google Shop 7", "16 meta New 3"), 4)
    inbox.write("marketing_spend (1).csv", spend("16 google Shop 7", "16 meta New 3"), 5)
    assert inbox.load().tables[0].extracted == 0
    assert "marketing_spend (1).csv is a copy of marketing_spend_2026-01-16.csv" in caplog.text

    # An old copy that comes later is recognised, said once, and not believed.
    inbox.write("marketing_spend (2).csv", first, 6)
    record = inbox.load()
    assert inbox.loaded() == kept
    assert inbox.states()["marketing_spend (2).csv"] == "held"
    assert "older copy" in record.rejects[0].reason
    assert inbox.load().rows_newly_rejected == 0

    # A channel is withdrawn from a day.
    for copy in inbox.folder.glob("marketing_spend (*).csv"):
        copy.unlink()
    inbox.write("marketing_spend_2026-01-16.csv", spend("16 google Shop 7"), 7)
    inbox.load()
    assert inbox.loaded() == kept[:2]


def test_a_correction_of_last_week_changes_its_days_only(inbox: Inbox) -> None:
    for day in (15, 16, 17):
        inbox.write(f"marketing_spend_2026-01-{day}.csv", spend(f"{day} google Brand {day}"), day)
        inbox.load(date(2026, 1, day))
    loaded = "select date, _load_id from csv_uploads.raw_marketing_spend order by 1"
    before = inbox.warehouse.query(loaded)
    inbox.write("marketing_spend_2026-01-15.csv", spend("15 google Brand 99"), 20)
    record = inbox.load(date(2026, 1, 18))
    assert (record.tables[0].extracted, record.tables[0].updated) == (1, 1)
    assert inbox.loaded() == ["15 google Brand 99", "16 google Brand 16", "17 google Brand 17"]
    assert inbox.warehouse.query(loaded)[1:] == before[1:]


@pytest.mark.slow
def test_snowflake_takes_the_same_steps(tmp_path: Path, snowflake_warehouse: Warehouse) -> None:
    inbox = Inbox(tmp_path / "inbox", snowflake_warehouse)
    inbox.write("marketing_spend.csv", spend("15 google Brand 1", "16 google Wrong 9"), 1)
    inbox.load()
    inbox.write("marketing_spend_16.csv", spend("16 google Brand 2", "16 google Shop 3"), 2)
    record = inbox.load()
    assert inbox.loaded() == ["15 google Brand 1", "16 google Brand 2", "16 google Shop 3"]
    assert (record.tables[0].inserted, record.tables[0].deleted) == (2, 1)
    assert inbox.load().tables[0].extracted == 0
    assert set(inbox.states().values()) == {"loaded"}


def test_each_file_is_judged_by_itself_and_a_bad_one_stops_the_day(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", spend(*(f"{n} google c 1" for n in range(10, 20))))
    bad = "".join(f'2026-01-19,email,c-{n},"12,50",1,1\n' for n in range(9))
    inbox.write("marketing_spend_email.csv", spend("19 email good 1") + bad)
    with pytest.raises(TooManyRejectsError, match=r"9 of 10 rows of marketing_spend_email\.csv"):
        inbox.load()
    assert len(inbox.loaded()) == 10
    assert inbox.is_not_loaded()
    with pytest.raises(TooManyRejectsError):  # as long as it lies there
        inbox.load()
    inbox.write("marketing_spend_email.csv", spend("19 email good 1"), 2_000_000_000)
    assert inbox.load().rows_rejected == 0
    assert len(inbox.loaded()) == 11


def test_what_was_said_once_is_not_said_again_and_heals(inbox: Inbox) -> None:
    good = spend(*(f"{n} google c 1" for n in range(10, 20)))
    inbox.write("marketing_spend_2025.csv", f"{good}2026-01-09,google,c,free,1,1\n", 1)
    assert inbox.load().rows_newly_rejected == 1
    inbox.write("marketing_spend_2026.csv", spend("10 google c 2"), 2)
    for _ in range(2):
        assert inbox.load().rows_newly_rejected == 0
    healed = "select count(healed_at), count(*) from loads.rejected_rows"
    assert inbox.warehouse.query(healed) == [(0, 1)]
    inbox.write("marketing_spend_2025.csv", f"{good}2026-01-09,google,c,5,1,1\n", 3)
    inbox.load()
    assert inbox.warehouse.query(healed) == [(1, 1)]


def test_two_series_that_claim_a_key_are_set_aside_and_said(inbox: Inbox) -> None:
    many = [f"{n} google c 1" for n in range(10, 20)]
    inbox.write("marketing_spend_a.csv", spend(*many), 1)
    inbox.load()
    inbox.write(
        "marketing_spend_b.csv", spend("19 google c 5", *(f"{n} x y 1" for n in range(10, 20))), 2
    )
    record = inbox.load()
    assert "19 google c 1" not in inbox.loaded() and "19 google c 5" not in inbox.loaded()
    assert len(inbox.loaded()) == 19
    assert "a file of another series" in record.rejects[0].reason
    assert record.rows_newly_rejected == 2
    (inbox.folder / "marketing_spend_b.csv").unlink()
    inbox.load()
    assert "19 google c 1" in inbox.loaded()  # nobody contradicts it any more
    assert len(inbox.loaded()) == 20
    assert inbox.states()["marketing_spend_b.csv"] == "archived"


def test_one_morning_of_what_exports_look_like(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Each file is as some platform or person writes it; what counts of it stands in the end."""
    google = (
        "Campaign report\nAll time\nDay\tCampaign\tCurrency code\tCost\tImpr.\tClicks\n"
        "2026-01-17\tBrand\tUSD\t1,234.50\t1,000\t --\nTotal: Account\t\t\t1,234.50\t1,000\t\n"
    )
    inbox.write("marketing_spend_google_2026-01.csv", google.encode("utf-16"))
    meta = (
        "Campaign name,Day,Device,Impressions,Clicks (all),Amount spent (USD)\n"
        "Prospecting,2026-01-17,mobile,100,12,45.60\nProspecting,2026-01-17,desktop,50,,4.40\n"
    )
    inbox.write("marketing_spend_meta.csv", meta.encode("utf-8-sig"))
    german = SPEND.replace(",", ";") + "\r\n17.01.2026;bing;Marke;1.234,50;1.000;12\r\n\r\n\r\n"
    inbox.write("marketing_spend_bing.csv.gz", gzip.compress(german.encode()))
    names = (
        f"Our report\n{SPEND},Avg. CPC,CTR (%),\n"
        "2026-01-12,tiktok,Brand Q4,1,1, --,1,2%,\n"
        "13-Jan-2026,tik\u200btok,brand\u00a0q4,1,1,1,1,2%,\n"
        '"Jan 14, 2026",TikTok,BRAND  Q4,1,1,1,1,2%,\n'
        "2026-01-15T00:00:00+01:00,tiktok,Brand\u200e Q4,1,1,1,1,2%,\n"
        f"{SPEND},Avg. CPC,CTR (%),\nTotal: Campaigns,,,4,4,4,,,\n"
    )
    inbox.write("marketing_spend_tiktok.csv", names)
    inbox.write("marketing_spend_TEMPLATE.csv", spend("17 google example 999"))
    odd = spend(*(f"{n} email c 170" for n in range(10, 19)))
    odd += "2026-01-19,email,c,172450000,1,1\n2002-01-19,email,c,1,1,1\n2026-01-19,Total,x,9,1,1\n"
    odd += "2026-01-19,email,d,5.00,1,1\n2026-01-19,email,d,7.00,1,1\n"
    inbox.write("marketing_spend_email.csv", odd)
    inbox.write(
        "campaign_performance.csv",
        f"{PERFORMANCE}\n2026-01-17,1.20212E+17,a,TIKTOK,1,1\n2026-01-17,17,brand q4,TIKTOK,1,1\n",
    )
    record = inbox.load(ratio=0.9)

    assert [row for row in inbox.loaded() if "email" not in row] == [
        *(f"{day} tiktok Brand Q4 1" for day in (12, 13, 14, 15)),
        "17 bing Marke 1234.5",
        "17 facebook Prospecting 50",
        "17 google_ads Brand 1234.5",
    ]
    performance = (
        "select campaign_id, campaign_name, channel from csv_uploads.raw_campaign_performance"
    )
    assert inbox.warehouse.query(performance) == [("17", "Brand Q4", "tiktok")]
    assert len([row for row in inbox.loaded() if "email" in row]) == 9
    said = {reason.split(" (")[0] for *_, reason, _ in map(tuple, inbox.rejects())}
    assert said == {
        "is 1014412 times what is usual for the campaign",
        "lies before 2015",
        "is a sum over others",
        "has the same",
        "was rounded by a spreadsheet",
    }
    assert record.rows_rejected == 6
    assert "marketing_spend_TEMPLATE.csv in the CSV inbox belongs to no table" in caplog.text
    extra = inbox.warehouse.query(
        "select avg_cpc, ctr from csv_uploads.raw_marketing_spend where ctr is not null"
    )
    assert extra == [("1", "2%")] * 4


def test_the_ledger_says_of_each_file_what_came_of_it(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", spend("17 google a 1", "25 meta b 1") + "bad\n", 1)
    inbox.load(ratio=0.5)
    record = {r.name: r for r in inbox.warehouse.file_records(source("marketing"))}[
        "marketing_spend.csv"
    ]
    assert (record.state, record.rows, record.rejected) == ("loaded", 2, 1)
    assert record.dates == (date(2026, 1, 17), date(2026, 1, 25))
    assert record.channels == {"google": date(2026, 1, 17), "meta": date(2026, 1, 25)}
    assert inbox.loaded() == ["17 google a 1"]
    inbox.load(date(2026, 1, 25), ratio=0.5)  # a row that waited for its day
    assert inbox.loaded() == ["17 google a 1", "25 meta b 1"]


def test_a_table_gains_no_more_columns_than_it_has_room_for(inbox: Inbox) -> None:
    for part in ("a", "b"):
        extra = "".join(f",{part}{number}" for number in range(40))
        row = "2026-01-17,google," + part + ",1,1,1" + ",x" * 40
        inbox.write(f"marketing_spend_{part}.csv", f"{SPEND}{extra}\n{row}\n")
        inbox.load()
    columns = inbox.warehouse.raw_columns(source("marketing").table("marketing_spend"))
    assert len([name for name in columns if name[0] in "ab" and name[1:].isdigit()]) == 50


def test_a_late_series_is_named_and_the_rest_of_the_inbox_is_loaded(inbox: Inbox) -> None:
    """Seven mornings with a file of the day before; on the eighth there is none."""
    for day in range(10, 17):
        inbox.write(f"marketing_spend_2026-01-{day}.csv", spend(f"{day} google Brand 1"), day * 60)
        inbox.load(date(2026, 1, day + 1))
    with inbox.warehouse.session("set a clock back", writes=True) as session:
        session.execute(
            "update loads.load_records set committed_at = day + interval '6 hours 1 minute'"
        )
    inbox.write("marketing_spend_meta.csv", spend("17 meta Brand 1"))
    expected = (
        r"2026-01-18 waits for newer files of marketing_spend \(newest date 2026-01-16, usually "
        r"2026-01-17, written about 00:13 UTC\)"
    )
    for _ in range(2):
        with pytest.raises(AwaitedInputError, match=expected):
            inbox.load(date(2026, 1, 18))
    assert "17 meta Brand 1" in inbox.loaded()
    assert not inbox.warehouse.load_records(date(2026, 1, 18))
    inbox.write("marketing_spend_2026-01-17.csv", spend("17 google Brand 1"))
    assert inbox.load(date(2026, 1, 18)).tables[0].inserted == 1


def test_a_person_may_go_on_without_a_late_file_and_it_counts_when_it_comes(inbox: Inbox) -> None:
    with pytest.raises(AwaitedInputError, match="There is no marketing_spend"):
        inbox.load()
    assert inbox.is_untouched()
    assert inbox.load(go_without=True).tables[1].inserted == 1
    assert inbox.load().tables[0].extracted == 0  # the run that waits, once the day is loaded
    inbox.write("marketing_spend.csv", spend("17 google Brand 1"))
    assert inbox.load().tables[0].inserted == 1
