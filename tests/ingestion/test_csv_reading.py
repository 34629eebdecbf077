"""Bytes of a CSV file become records: every good one, each bad one on its physical line."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.csv_uploads.contract import find_header
from ingestion.csv_uploads.reading import (
    MAX_LINE_CHARACTERS,
    Record,
    encoding_of,
    printable,
    read_records,
)
from pipeline.errors import ContractError
from pipeline.sources import MARKETING_SPEND
from tests.builders.chance import examples

HEADER = "date,channel,campaign_name,spend,impressions,clicks"

Read = Callable[[str | bytes], list[Record]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Records after the header."""

    def reading(content: str | bytes) -> list[Record]:
        path = tmp_path / "file.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return records(path)

    return reading


def records(path: Path) -> list[Record]:
    encoding = encoding_of(path, path.name)
    header = find_header(path, encoding, MARKETING_SPEND, path.name, {})
    return list(read_records(path, encoding, header.delimiter, len(header.names), header.line))


def row(day: int, name: str = "Brand") -> str:
    return f"2026-01-{day:02d},google,{name},1.50,10,1"


def lines_of(records: list[Record], *, bad: bool) -> list[int]:
    return [record.line for record in records if bool(record.problem) is bad]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_any_line_end_is_read_and_counted(read: Read, line_end: str) -> None:
    records = read(line_end.join([HEADER, row(1), row(2), ""]))
    assert [(record.line, record.values[0]) for record in records] == [
        (2, "2026-01-01"),
        (3, "2026-01-02"),
    ]


def test_a_file_without_a_last_line_end_is_whole(read: Read) -> None:
    assert lines_of(read(f"{HEADER}\n{row(1)}"), bad=False) == [2]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(codecs.BOM_UTF8 + f"{HEADER}\n{row(1)}\n".encode())
    assert lines_of(records(path), bad=False) == [2]


def test_blank_lines_and_rows_of_commas_are_skipped_but_counted(read: Read) -> None:
    assert lines_of(read(f"\n{HEADER}\n\n{row(1)}\n,,,,,\n  \n{row(2)}\n"), bad=False) == [4, 7]


def test_a_quoted_line_break_belongs_to_its_field_and_counts_as_a_line(read: Read) -> None:
    first, second = read(
        f"{HEADER}\n{row(1, chr(34) + 'two' + chr(10) + 'lines' + chr(34))}\n{row(2)}\n"
    )
    assert first.values[2] == "two\nlines"
    assert (first.line, second.line) == (2, 4)


def test_commas_and_doubled_quotes_inside_quotes_are_text(read: Read) -> None:
    (record,) = read("\n".join([HEADER, row(1, '"a, ""b"""')]))
    assert record.values[2] == 'a, "b"'


def test_an_unclosed_quote_costs_its_own_row_only(read: Read) -> None:
    rows = [row(day) for day in range(1, 31)]
    rows[4] = row(5, '"never closed')
    rows[8] = row(9, '"quoted, well"')
    records = read("\n".join([HEADER, *rows]))
    assert lines_of(records, bad=True) == [6]
    assert len(lines_of(records, bad=False)) == 29
    assert (
        next(record for record in records if record.problem).problem
        == "opens a quote that is never closed"
    )


def test_two_unclosed_quotes_do_not_swallow_the_rows_between_them(read: Read) -> None:
    """To any CSV parser, `"a` here and `b"` lines later are a field that hides three rows."""
    rows = [row(1), row(2, '"a'), row(3), row(4), row(5, 'b"'), row(6)]
    records = read("\n".join([HEADER, *rows]))
    assert lines_of(records, bad=True) == [3]
    assert lines_of(records, bad=False) == [2, 4, 5, 6, 7]


def test_an_unclosed_quote_on_the_last_line_is_reported_there(read: Read) -> None:
    assert lines_of(read(f"{HEADER}\n{row(1)}\n{row(2, chr(34))}"), bad=True) == [3]


def test_text_behind_a_closing_quote_is_a_broken_quote(read: Read) -> None:
    (record,) = read("\n".join([HEADER, row(1, '"a"b')]))
    assert record.problem == "has a broken quote"


def test_a_row_with_too_many_or_too_few_values_says_how_many(read: Read) -> None:
    records = read(f"{HEADER}\n{row(1)},9\n2026-01-02\n")
    assert [record.problem for record in records] == [
        "has 7 values where the header has 6",
        "has 1 value where the header has 6",
    ]
    assert records[0].text == f"{row(1)},9"


def test_a_nul_is_rejected_and_shown(read: Read) -> None:
    (record,) = read(f"{HEADER}\n{row(1, 'a' + chr(0))}\n")
    assert record.problem == "contains a NUL character"
    assert printable(record.text) == row(1, "a\\x00")


def test_text_damaged_before_the_export_is_rejected(read: Read) -> None:
    (record,) = read("\n".join([HEADER, row(1, "Caf\ufffd")]))
    assert record.problem is not None
    assert "damaged" in record.problem


def test_a_line_longer_than_any_row_is_rejected_and_reading_goes_on(read: Read) -> None:
    records = read(f"{HEADER}\n{row(1, 'x' * (3 * MAX_LINE_CHARACTERS))}\n{row(2)}\n")
    assert lines_of(records, bad=True) == [2]
    assert lines_of(records, bad=False) == [3]
    assert len(records[0].text) <= MAX_LINE_CHARACTERS


def test_an_overlong_line_inside_quotes_is_never_cut_into_a_row(read: Read) -> None:
    records = read(
        f'{HEADER}\n2026-01-01,google,"a\nb",1,1,{"1" * (2 * MAX_LINE_CHARACTERS)}\n{row(2)}\n'
    )
    assert lines_of(records, bad=False) == [4]


def test_a_windows_1252_file_is_recognised_and_decoded(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(f"{HEADER}\n{row(1, 'Été – €5')}\n".encode("cp1252"))
    assert encoding_of(path, path.name) == "cp1252"
    assert records(path)[0].values[2] == "Été – €5"


def test_a_utf_8_file_with_a_damaged_row_stays_utf_8_and_loses_that_row_only(read: Read) -> None:
    content = f"{HEADER}\n{row(1, 'Café')}\n".encode() + row(2, "Café").encode("latin-1") + b"\n"
    good, bad = read(content)
    assert good.values[2] == "Café"
    assert bad.problem is not None
    assert "not valid" in bad.problem
    assert printable(bad.text) == row(2, "Caf\\xe9")


def test_utf_16_with_tabs_is_read_and_its_damage_rejected(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    text = f"{HEADER}\n{row(1, 'Été')}\n".replace(",", "\t")
    path.write_bytes(text.encode("utf-16") + b"\x00\xd8\n\x00")
    good, bad = records(path)
    assert good.values[2] == "Été"
    assert "damaged" in str(bad.problem)


def test_utf_32_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_bytes(HEADER.encode("utf-32"))
    with pytest.raises(ContractError, match=r"file\.csv.*UTF-8"):
        encoding_of(path, "file.csv")


GOOD = st.sampled_from(
    [
        row(1),
        row(2, '"quoted"'),
        row(3, '"a, b"'),
        row(4, '"two\nlines"'),
        row(5, '"say ""hi"""'),
        row(6, "Été"),
    ]
)
BAD = st.sampled_from(
    [
        row(1) + ",9",
        "2026-01-02",
        row(3, '"open'),
        row(4, '"a"b'),
        row(5, "a\0"),
        "2026-01-06,google,\ufffd,1,1,1",
    ]
)


@settings(max_examples=examples(100, 5_000), deadline=None)
@given(
    parts=st.lists(
        st.one_of(GOOD.map(lambda t: (t, True)), BAD.map(lambda t: (t, False)), st.just(("", None)))
    ),
    end=st.booleans(),
)
def test_in_any_mixture_every_good_row_is_read_and_every_bad_one_rejected_on_its_line(
    tmp_path_factory: pytest.TempPathFactory, parts: list[tuple[str, bool | None]], end: bool
) -> None:
    path = tmp_path_factory.mktemp("mixture") / "file.csv"
    path.write_bytes(
        ("\n".join([HEADER, *(text for text, _ in parts)]) + ("\n" if end else "")).encode()
    )
    expected, line = [], 2
    for text, good in parts:
        if good is not None:
            expected.append((line, good, text))
        line += 1 + text.count("\n")
    found = records(path)
    assert [(record.line, not record.problem, record.text) for record in found] == expected
