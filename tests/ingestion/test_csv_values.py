"""A field becomes the one value it can mean, exactly, or is refused with a reason."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.csv_uploads.values import ValueRefusedError, reader_for
from pipeline.contracts import BIGINT, DATE, Column, decimal, string

read_day = reader_for(Column("date", DATE, nullable=False))
read_spend = reader_for(Column("spend", decimal(12, 2), nullable=False))
read_revenue = reader_for(Column("revenue_attributed", decimal(14, 2)))
read_clicks = reader_for(Column("clicks", BIGINT))
read_name = reader_for(Column("campaign_name", string(10), nullable=False))

DAYS = st.dates(min_value=date(2015, 1, 1), max_value=date(2199, 12, 31))
AMOUNTS = st.decimals(min_value=0, max_value=Decimal("9999999999.99"), places=2)


@given(DAYS)
def test_a_date_is_read_from_every_form_with_one_meaning(day: date) -> None:
    y, m, d = day.year, day.month, day.day
    for text in (
        day.isoformat(),
        f"{y}/{m}/{d}",
        f"{day} 00:00:00",
        f"{day}T00:00",
        f" {d}.{m}.{y} ",
        f"{d:02d}.{m:02d}.{y}",
        f"{day}T00:00:00+01:00",
        f"{day} 00:00:00 UTC",
        f"{day:%d-%b-%Y}",
        f"{day:%b %d, %Y}",
        f"{day:%d %B %Y}",
    ):
        assert read_day(text) == day


@given(DAYS)
def test_a_date_with_two_meanings_is_refused_and_one_with_one_is_read(day: date) -> None:
    for text in (f"{day:%m/%d/%Y}", f"{day:%d/%m/%Y}", f"{day:%m-%d-%Y}"):
        if day.day <= 12 and day.day != day.month:
            with pytest.raises(ValueRefusedError, match="two ways"):
                read_day(text)
        else:
            assert read_day(text) == day


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(
            (text, "is not a date")
            for text in (
                "22.11.26",
                "11/22/26",
                "46348",
                "Now 22, 2026",
                "22-Nov-26",
                "2026-11-22T14:30:00+01:00",
                "2026-11-22 14:30",
                "２０２６-11-22",
            )
        ),
        *((text, "is not a date") for text in ("2026-11/22", "today", "2026-11", "11.22.2026x")),
        *(
            (text, "is not in the calendar")
            for text in ("2026-02-30", "31.11.2026", "13/32/2026", "11.22.2026", "2026-00-01")
        ),
        *((text, "lies before 2015") for text in ("1926-11-22", "0026-11-22", "2002-11-22")),
        *((text, "is empty") for text in ("", "  ", "\u00a0")),
    ],
)
def test_anything_else_is_no_date(text: str, reason: str) -> None:
    with pytest.raises(ValueRefusedError, match=reason):
        read_day(text)


@given(AMOUNTS)
def test_an_amount_is_read_exactly_from_every_form_with_one_meaning(amount: Decimal) -> None:
    for text in (
        f"{amount:.2f}",
        f"{amount:,.2f}",
        f"${amount:,.2f}",
        f"+{amount:.2f}",
        f"{amount:.2f}00",
        f" {amount:.2f} ",
    ):
        read = read_spend(text)
        assert read == amount
        assert isinstance(read, Decimal)
        assert read.as_tuple().exponent == -2


@given(AMOUNTS)
def test_spend_below_zero_is_refused_and_revenue_below_zero_is_not(amount: Decimal) -> None:
    assert read_revenue(f"-{amount:.2f}") == -amount
    if amount:
        with pytest.raises(ValueRefusedError, match="is negative"):
            read_spend(f"-{amount:.2f}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1,234", "two ways"),
        ("$1,234", "two ways"),
        ("1.234", "more than 2 decimals"),
        ("0.001", "more than 2 decimals"),
        ("10000000000", "too large"),
        ("99,999,999,999.00", "too large"),
        *(
            (text, "is not a number")
            for text in (
                "12,50",
                "1,23.50",
                "1,2345.00",
                "1.234,50",
                "€5",
                "5 €",
                "USD 5",
                "1e5",
                "NaN",
                "inf",
            )
        ),
        *(
            (text, "is not a number")
            for text in (
                "(5.00)",
                "--5",
                "5-",
                ".",
                "$",
                "-",
                "1 000",
                "٣",
                "1_000",
                "0x10",
                "#REF!",
                "NULL",
            )
        ),
        ("", "is empty"),
    ],
)
def test_anything_else_is_no_amount(text: str, reason: str) -> None:
    with pytest.raises(ValueRefusedError, match=reason):
        read_spend(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", "5"),
        ("5.", "5"),
        (".5", "0.5"),
        ("007.10", "7.1"),
        ("1,234,567", "1234567"),
        ("-0", "0"),
    ],
)
def test_unusual_but_clear_amounts_are_read(text: str, value: str) -> None:
    assert read_spend(text) == Decimal(value)


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_count_is_read_from_every_form_with_one_meaning(count: int) -> None:
    for text in (f"{count}", f"{count:,}", f"{count}.0", f"0{count}"):
        assert read_clicks(text) == count


@pytest.mark.parametrize("text", ["1.5", "1e3", "-1", "x", str(2**63), "9" * 5000, "1,00"])
def test_anything_else_is_no_count(text: str) -> None:
    with pytest.raises(ValueRefusedError):
        read_clicks(text)


def test_an_empty_field_is_null_where_the_table_allows_it() -> None:
    assert read_clicks(" ") is None
    with pytest.raises(ValueRefusedError, match="is empty"):
        read_name(" ")


def test_one_name_has_one_form() -> None:
    assert read_name(" Cafe\u0301 ") == read_name("Café")
    assert read_name("a\r\nb") == read_name("a\nb")
    assert read_name("x" * 10) == "x" * 10
    with pytest.raises(ValueRefusedError, match="longer than 10 characters"):
        read_name("x" * 11)


@given(st.text())
def test_any_text_is_read_or_refused_and_never_breaks_a_load(text: str) -> None:
    for read in (read_day, read_spend, read_revenue, read_clicks, read_name):
        try:
            read(text)
        except ValueRefusedError as refusal:
            assert len(str(refusal)) < 800
