"""A day of the CSV inbox into a real DuckDB: bad rows set aside, good ones loaded, once."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest

from ingestion.csv_uploads.inbox import Inbox as CsvInbox
from pipeline.errors import (
    ContractError,
    MissingInputError,
    SettingsError,
    SourceUnavailableError,
    TooManyRejectsError,
    WarehouseUnavailableError,
)
from pipeline.sources import source
from tests.builders.csv_inbox import DAY, GOOD_PERFORMANCE, PERFORMANCE, SPEND, Inbox

if TYPE_CHECKING:
    from warehouse.duckdb.warehouse import DuckDBWarehouse


@pytest.fixture
def inbox(tmp_path: Path, warehouse: DuckDBWarehouse) -> Inbox:
    return Inbox(tmp_path / "inbox", warehouse)


def rows(count: int, start: int = 1) -> str:
    """Good rows of January 1st, campaigns c-<start>..."""
    return "".join(
        f"2026-01-01,google,c-{number},1.50,10,1\n" for number in range(start, start + count)
    )


def test_a_day_is_loaded_with_exact_money(inbox: Inbox) -> None:
    inbox.write(
        "marketing_spend.csv",
        f"{SPEND}\n2026-01-01,google,Brand,0.10,1000,50\n2026-01-02,meta,Brand,9999999999.99,,\n",
    )
    record = inbox.load()
    assert inbox.spend() == [
        (date(2026, 1, 1), "google", "Brand", Decimal("0.10"), 1000, 50),
        (date(2026, 1, 2), "meta", "Brand", Decimal("9999999999.99"), None, None),
    ]
    assert [(table.table, table.inserted) for table in record.tables] == [
        ("marketing_spend", 2),
        ("campaign_performance", 1),
    ]
    assert record.watermark == datetime(2026, 1, 20, 6)
    assert inbox.warehouse.load_records(DAY) == (record,)


def test_every_defect_in_one_file_is_rejected_on_its_line_and_every_good_row_loads(
    inbox: Inbox,
) -> None:
    """One of each: the expected outcome stands beside the line."""
    lines: list[
        tuple[str | bytes, str | None, str]
    ] = [  # raw line(s), column of the reject, words of its reason ("" = good)
        ("2026-01-01,google,plain,1.50,10,1", None, ""),
        ('2026-01-02,google,"two\r\nlines",1.50,10,1', None, ""),
        ('2026-01-02,google,grouped,"1,234.50","1,000",1', None, ""),
        ("13.01.2026,google,dotted,1.50,10,1", None, ""),
        ("01/15/2026,google,month first,1.50,10,1", None, ""),
        ("15/01/2026,google,day first,1.50,10,1", None, ""),
        ("2026-01-03,google,dollars,$2.50,10,1", None, ""),
        ("", None, ""),
        (",,,,,", None, ""),
        ("03/04/2026,google,ambiguous,1.50,10,1", "date", "two ways"),
        ("2026-02-30,google,no such day,1.50,10,1", "date", "calendar"),
        (",google,no date,1.50,10,1", "date", "is empty"),
        ("2026-01-04,,no channel,1.50,10,1", "channel", "is empty"),
        ("2026-01-04,google,no spend,,10,1", "spend", "is empty"),
        ("2026-01-04,google,negative,-1.50,10,1", "spend", "negative"),
        ("2026-01-04,google,word,free,10,1", "spend", "not a number"),
        ('2026-01-04,google,decimal comma,"1,50",10,1', "spend", "not a number"),
        ('2026-01-04,google,one group,"1,234",10,1', "spend", "two ways"),
        ("2026-01-04,google,euros,€2.50,10,1", "spend", "not a number"),
        ("2026-01-04,google,rounded,1.505,10,1", "spend", "more than 2 decimals"),
        ("2026-01-04,google,huge,12345678901.00,10,1", "spend", "too large"),
        ("2026-01-04,google,half an impression,1.50,10.5,1", "impressions", "whole number"),
        ("2026-01-04,google,scientific,1.50,10,1e3", "clicks", "not a number"),
        ("2026-01-04,google,two at once,x,10,y", "spend", "clicks"),
        (f"2026-01-04,google,{'x' * 256},1.50,10,1", "campaign_name", "longer than 255"),
        ("2026-01-05,google,ragged,1.50,10,1,extra", None, "7 values"),
        ("2026-01-05,google", None, "2 values"),
        ('2026-01-05,google,"unclosed,1.50,10,1', None, "never closed"),
        ('2026-01-05,google,"closed"early,1.50,10,1', None, "broken quote"),
        ("2026-01-05,google,nul\x00,1.50,10,1", None, "NUL"),
        ("2026-01-05,google,Café,1.50,10,1".encode("latin-1"), None, "not valid"),
        (
            "2026-01-06,google,twice,1.50,10,1",
            None,
            "same (date, channel, campaign_name) as line 35",
        ),
        (
            "2026-01-06,google,twice,2.50,10,1",
            None,
            "same (date, channel, campaign_name) as line 34",
        ),
        ("2026-01-07,google,repeated,1.50,10,1", None, "as line 37"),
        ("2026-01-07,google,repeated,1.50,10,1", None, "as line 36"),
        ("2026-01-08,google,Crème,1.50,10,1", None, ""),
    ]
    content, expected, line = b"\xef\xbb\xbf" + SPEND.encode() + b"\r\n", [], 2
    for text, column, reason in lines:
        raw = text.encode() if isinstance(text, str) else text
        content += raw + b"\r\n"
        if reason:
            expected.append((line, column, reason))
        line += 1 + raw.count(b"\n")
    inbox.write("marketing_spend.csv", content)
    record = inbox.load(ratio=0.9)

    found = inbox.rejects()
    assert [(at, column) for _, at, column, _, _ in found] == [
        (at, column) for at, column, _ in expected
    ]
    for (file, _, _, reason, text), (_, _, words) in zip(found, expected, strict=True):
        assert file == "marketing_spend.csv"
        assert words in str(reason)
        assert text
    assert record.rows_rejected == len(expected)
    assert [reject.line for reject in record.rejects] == [at for at, _, _ in expected[:5]]
    assert set(inbox.amounts()) == {
        *(
            "plain",
            "two\nlines",
            "grouped",
            "dotted",
            "month first",
            "day first",
            "dollars",
            "Crème",
        ),
    }
    assert inbox.amounts()["grouped"] == Decimal("1234.50")


def test_over_the_threshold_nothing_loads_and_the_first_rejects_are_in_the_error(
    inbox: Inbox,
) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(8)}" + "bad\n2026-01-01,google,c-9,x,1,1\n")
    with pytest.raises(TooManyRejectsError) as error:
        inbox.load()
    assert "2 of 10 rows of marketing_spend.csv are bad" in str(error.value)
    assert "marketing_spend.csv line 10: has 1 value where the header has 6" in str(error.value)
    assert "line 11: spend is not a number" in str(error.value)
    assert [(reject.line, reject.column) for reject in error.value.rejects] == [
        (10, None),
        (11, "spend"),
    ]
    assert not inbox.spend()
    assert inbox.is_not_loaded()


def test_at_the_threshold_the_good_rows_load_and_the_bad_ones_are_said(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(9)}bad\n")
    assert inbox.load().rows_rejected == 1
    assert len(inbox.spend()) == 9
    assert "1 rows were set aside" in caplog.text
    assert "marketing_spend.csv line 11: has 1 value where the header has 6" in caplog.text


def test_a_file_without_one_good_row_stops_the_load_however_large_the_others_are(
    inbox: Inbox,
) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(500)}")
    inbox.write("marketing_spend_new.csv", f"{SPEND}\n03/04/2026,google,a,1,1,1\n")
    with pytest.raises(
        TooManyRejectsError, match=r"1 of 1 rows of marketing_spend_new\.csv are bad"
    ):
        inbox.load()
    assert len(inbox.spend()) == 500
    assert inbox.is_not_loaded()


def test_a_bad_file_of_one_table_stops_the_day_and_not_the_other_table(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(3)}")
    inbox.write("campaign_performance.csv", f"{PERFORMANCE}\nbad\n")
    with pytest.raises(TooManyRejectsError):
        inbox.load()
    assert len(inbox.spend()) == 3
    assert inbox.is_not_loaded()


def test_the_same_file_again_changes_nothing(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(3)}")
    inbox.load()
    everything = "select * from csv_uploads.raw_marketing_spend order by all"
    before = inbox.warehouse.query(everything)
    for _ in range(2):
        record = inbox.load()
        assert inbox.warehouse.query(everything) == before
        assert record.tables[0].extracted == 0  # nothing is read again


def test_the_same_content_with_a_new_time_or_name_is_not_read_again(inbox: Inbox) -> None:
    content = f"{SPEND}\n{rows(3)}"
    inbox.write("marketing_spend.csv", content)
    inbox.load()
    rows_and_loads = "select * from csv_uploads.raw_marketing_spend order by all"
    before = inbox.warehouse.query(rows_and_loads)
    inbox.write("marketing_spend.csv", content, modified=1_800_000_000)
    inbox.write("marketing_spend_copy.csv", content, modified=1_900_000_000)
    record = inbox.load(date(2026, 1, 21))
    assert inbox.warehouse.query(rows_and_loads) == before
    assert record.tables[0].extracted == 0


def test_a_corrected_file_upserts_the_rows_it_corrects(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(3)}")
    inbox.load()
    inbox.write(
        "marketing_spend.csv",
        f"{SPEND}\n{rows(2)}2026-01-01,google,c-3,99.00,10,1\n",
        modified=1_800_000_000,
    )
    record = inbox.load()
    assert (record.tables[0].inserted, record.tables[0].updated, record.tables[0].unchanged) == (
        0,
        1,
        2,
    )
    assert inbox.amounts()["c-3"] == Decimal("99.00")


def test_of_two_files_with_one_key_the_newer_counts_and_among_equals_the_last_name(
    inbox: Inbox,
) -> None:
    row = "2026-01-01,google,{},{},10,1\n"
    inbox.write(
        "marketing_spend_2026-01-01.csv",
        SPEND + "\n" + row.format("older", 1) + row.format("gone", 1),
        modified=1_700_000_001,
    )
    inbox.write(
        "marketing_spend_2026-01-02.csv",
        SPEND + "\n" + row.format("older", 2),
        modified=1_700_000_002,
    )
    inbox.write(
        "marketing_spend_2026-01-03.csv",
        SPEND + "\n" + row.format("older", 3),
        modified=1_700_000_002,
    )
    inbox.load()
    assert inbox.amounts() == {"older": Decimal(3)}


def test_rows_dated_after_the_day_wait_for_their_day(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.write(
        "marketing_spend.csv",
        f"{SPEND}\n2026-01-20,google,today,1,1,1\n2026-01-21,google,tomorrow,1,1,1\n",
    )
    with caplog.at_level(logging.INFO):
        record = inbox.load()
    assert set(inbox.amounts()) == {"today"}
    assert record.rows_rejected == 0
    assert "1 dated after 2026-01-20 and waiting" in caplog.text
    inbox.load(date(2026, 1, 21))
    assert set(inbox.amounts()) == {"today", "tomorrow"}


def test_days_in_any_order_give_the_same_table(inbox: Inbox) -> None:
    inbox.write(
        "marketing_spend.csv",
        f"{SPEND}\n" + "".join(f"2026-01-{day},google,c-{day},1,1,1\n" for day in range(18, 23)),
    )
    inbox.load(date(2026, 1, 22))
    complete = inbox.spend()
    for day in (20, 18, 21, 22, 20):
        inbox.load(date(2026, 1, day))
        assert inbox.spend() == complete
    assert inbox.warehouse.watermark(source("marketing")) == datetime(2026, 1, 22, 6)


def test_a_full_refresh_removes_what_is_in_no_file_but_keeps_later_days(inbox: Inbox) -> None:
    later = "2026-01-22,google,later,1,1,1\n"
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(2)}{later}")
    inbox.load(date(2026, 1, 22))
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(1)}{later}", modified=1_800_000_000)
    inbox.load(date(2026, 1, 22))
    assert set(inbox.amounts()) == {"c-1", "later"}
    (inbox.folder / "marketing_spend.csv").unlink()
    inbox.write("marketing_spend_22.csv", f"{SPEND}\n{later}")
    inbox.load(date(2026, 1, 22))
    assert set(inbox.amounts()) == {"c-1", "later"}  # archived files take nothing away
    inbox.load(DAY, full_refresh=True)
    assert set(inbox.amounts()) == {"later"}


def test_columns_in_another_order_and_spelling_are_the_same_columns(inbox: Inbox) -> None:
    inbox.write(
        "marketing_spend.csv",
        '"Clicks", Campaign Name,SPEND,date,channel,impressions\n'
        "1,Brand,2.50,2026-01-01,google,10\n",
    )
    inbox.load()
    assert inbox.spend() == [(date(2026, 1, 1), "google", "Brand", Decimal("2.50"), 10, 1)]


def test_a_new_column_is_added_as_text_and_stays_when_a_later_file_lacks_it(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.write("marketing_spend_a.csv", f"{SPEND},region\n2026-01-01,google,with,1,1,1,EMEA\n")
    inbox.write("marketing_spend_b.csv", f"{SPEND}\n2026-01-01,meta,without,1,1,1\n")
    inbox.load()
    query = "select campaign_name, region from csv_uploads.raw_marketing_spend order by all"
    assert inbox.warehouse.query(query) == [("with", "EMEA"), ("without", None)]
    assert "gained the column region" in caplog.text
    (inbox.folder / "marketing_spend_a.csv").unlink()
    inbox.load()
    assert inbox.warehouse.query(query) == [("with", "EMEA"), ("without", None)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            "date,channel,campaign_name,impressions,clicks\n",
            "marketing_spend.csv lacks the column spend.",
        ),
        (SPEND + ",spend\n", "has the column spend twice"),
        (SPEND + "".join(f",c{number}" for number in range(600)), "has 606 columns, more than 500"),
        ("", "marketing_spend.csv is empty: not even a header"),
        ("\n\n", "not even a header"),
        ((SPEND + "\n").encode("utf-32"), "UTF-32"),
        (b"PK\x03\x04\x00\x00" + bytes(range(256)), "marketing_spend.csv lacks the columns date"),
        ('"date,channel\n', "marketing_spend.csv lacks the columns date"),
        ("root:hunter2:0\n", "marketing_spend.csv lacks the columns date"),
    ],
)
def test_a_header_that_breaks_the_contract_stops_the_load_and_names_file_and_column(
    inbox: Inbox, content: str | bytes, words: str
) -> None:
    inbox.write("marketing_spend.csv", content)
    with pytest.raises(ContractError, match=words.replace(".csv", r"\.csv")) as error:
        inbox.load()
    assert "hunter2" not in str(error.value)
    assert not inbox.spend()
    assert inbox.is_not_loaded()


def test_a_header_without_rows_is_a_day_without_campaigns(inbox: Inbox) -> None:
    inbox.write("marketing_spend.csv", SPEND)
    record = inbox.load()
    assert (record.tables[0].extracted, record.rows_rejected) == (0, 0)


def test_a_windows_file_is_read_right_and_said_so(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n2026-01-01,google,Été,1,1,1\n".encode("cp1252"))
    inbox.load()
    assert set(inbox.amounts()) == {"Été"}
    assert "marketing_spend.csv is not UTF-8" in caplog.text


def test_a_missing_file_is_an_error_that_says_where_and_what_is_there_instead(inbox: Inbox) -> None:
    inbox.write("spend.xlsx", "x")
    with pytest.raises(MissingInputError) as error:
        inbox.load()
    text = str(error.value)
    assert f"There is no marketing_spend*.csv in the CSV inbox {inbox.folder}" in text
    assert "there is campaign_performance.csv, spend.xlsx" in text
    assert inbox.is_untouched()


def test_an_empty_and_an_absent_inbox_are_told_apart(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingInputError, match="it is empty"):
        inbox.load(inbox=str(tmp_path / "empty"))
    with pytest.raises(MissingInputError, match=r"does not exist\. Create it, or set CSV_INBOX"):
        inbox.load(inbox=str(tmp_path / "absent"))


def test_upper_case_names_are_files_too_and_temporary_ones_are_not(inbox: Inbox) -> None:
    inbox.write("Marketing_Spend_JAN.CSV", f"{SPEND}\n{rows(2)}")
    inbox.write("marketing_spend.csv.part", "half a file")
    assert inbox.load().tables[0].inserted == 2


def test_links_pipes_and_folders_are_no_files_and_links_and_pipes_are_named(
    inbox: Inbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "passwords").write_text("hunter2")
    (inbox.folder / "marketing_spend_link.csv").symlink_to(tmp_path / "passwords")
    (inbox.folder / "marketing_spend_gone.csv").symlink_to(tmp_path / "nothing")
    os.mkfifo(inbox.folder / "marketing_spend_pipe.csv")
    (inbox.folder / "marketing_spend_folder.csv").mkdir()
    with pytest.raises(MissingInputError, match="marketing_spend_link"):
        inbox.load()
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(2)}")
    assert inbox.load().tables[0].inserted == 2
    for name in ("link", "gone", "pipe"):
        assert f"marketing_spend_{name}.csv in the CSV inbox belongs to no table" in caplog.text
    assert "folder" not in caplog.text and "hunter2" not in caplog.text


@pytest.mark.parametrize("becomes", ["link", "pipe"])
def test_a_file_that_becomes_a_link_or_a_pipe_after_it_was_listed_is_not_opened(
    inbox: Inbox, tmp_path: Path, becomes: str
) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(2)}")
    reading = CsvInbox(str(inbox.folder))
    file = reading.listing().files[1]
    path = inbox.folder / file.name
    path.unlink()
    if becomes == "link":
        path.symlink_to(inbox.folder / "campaign_performance.csv")
    else:
        os.mkfifo(path)
    with pytest.raises(ContractError, match="Remove it"):
        reading.copy(file, tmp_path / "copy")


@contextmanager
def memory_inbox(files: Mapping[str, str]) -> Iterator[str]:
    memory = fsspec.filesystem("memory")
    folder = f"/inbox-{uuid.uuid4().hex}"
    for name, content in files.items():
        memory.pipe(f"{folder}/{name}", content.encode())
    try:
        yield f"memory:/{folder}"
    finally:
        memory.rm(folder, recursive=True)


def test_an_inbox_at_an_fsspec_address_is_read_like_a_folder(inbox: Inbox) -> None:
    with memory_inbox(
        {"marketing_spend.csv": f"{SPEND}\n{rows(3)}", "campaign_performance.csv": GOOD_PERFORMANCE}
    ) as address:
        assert inbox.load(inbox=address).tables[0].inserted == 3
    with (
        memory_inbox({"campaign_performance.csv": GOOD_PERFORMANCE}) as address,
        pytest.raises(MissingInputError, match="memory://"),
    ):
        inbox.load(date(2026, 1, 21), inbox=address)


def test_an_unknown_address_is_a_setting_to_correct_and_its_password_stays_secret(
    inbox: Inbox,
) -> None:
    with pytest.raises(SettingsError) as error:
        inbox.load(inbox="nosuch://user:hunter2@host/inbox?signature=hunter3")
    assert "CSV_INBOX=nosuch://***@host/inbox" in str(error.value)
    assert "hunter" not in str(error.value)


def test_an_inbox_that_does_not_answer_is_worth_another_try_and_its_password_stays_secret(
    inbox: Inbox,
) -> None:
    with pytest.raises(SourceUnavailableError) as error:
        inbox.load(inbox="ftp://user:hunter2@127.0.0.1:1/inbox")
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="the system has no device that is always full"
)
def test_a_full_disk_is_not_blamed_on_the_inbox(inbox: Inbox) -> None:
    reading = CsvInbox(str(inbox.folder))
    (file,) = reading.listing().files
    with pytest.raises(WarehouseUnavailableError, match="no space left"):
        reading.copy(file, Path("/dev/full"))


def test_a_file_that_grows_while_it_is_read_is_not_loaded_in_half(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    inbox.write("marketing_spend.csv", f"{SPEND}\n{rows(3)}")

    def copied_while_somebody_writes(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
        yield from chunks
        if name == "marketing_spend.csv":
            with (inbox.folder / name).open("a") as file:
                file.write(rows(1, 9))

    monkeypatch.setattr("ingestion.csv_uploads.inbox._as_it_is", copied_while_somebody_writes)
    with pytest.raises(SourceUnavailableError, match="was changed while it was read"):
        inbox.load()
    monkeypatch.undo()
    assert inbox.is_untouched()
    assert inbox.load().tables[0].inserted == 4
