"""From the text of a CSV field to a typed value; what reads in two ways is refused, not guessed.

- **date**: ``2026-11-22``, ``2026/11/22``, ``2026-11-22 00:00:00``, ``2026-11-22T00:00:00+01:00``
    (the day as it is written), ``22.11.2026``, ``11/22/2026``, ``22/11/2026``, ``22-Nov-2026``,
    ``Nov 22, 2026``, ``22 November 2026``. Refused: ``03/04/2026`` (March or April?), ``22.11.26``,
    ``2026-11-22 14:30``, ``46348``, years before 2015, where the calendar of the marts begins.
- **decimal**: ``1234.5``, ``"1,234.50"``, ``"1,234,567"``, ``$12.50``. Refused: ``"1,234"``
    (thousands or decimals?), ``"12,50"``, ``€12``, ``1.234`` (not rounded), ``1e5``, ``(12.50)``,
    ``5%``, ``NaN``. In a file separated by semicolons a comma is the decimal point: ``12,50``,
    ``1.234,50``; ``1.234`` and ``1,234`` are refused there as well.
- **bigint**: ``1200``, ``"1,200"``, ``1200.0``. Refused: ``1200.5``, ``1e5``. In a file separated
    by semicolons ``1.200`` as well.
- **string**: any text, without the blanks around it, in Unicode form NFC. Refused: longer than the
  column; a campaign's id that a spreadsheet has rounded (``1.20212E+17``); a channel or campaign
  called ``Total``.

An empty field is null, and so are ``--`` and ``—``, as ad platforms write it. Money is never
negative, except revenue: refunds may outweigh what was sold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache, partial

from ingestion.csv_uploads.series import MONTHS
from ingestion.csv_uploads.spelling import NAMES, cleaned
from pipeline.contracts import Column

Value = date | Decimal | int | str | None

MAY_BE_NEGATIVE = frozenset({"revenue_attributed"})
EARLIEST_YEAR = 2015
NOTHING = frozenset({"", "--", "—"})
TOTALS = frozenset({"total", "totals", "grand total", "subtotal"})
LARGEST_BIGINT = 2**63 - 1
SAFE_DIGITS = 18  # any number of so many digits is a bigint

_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\$?(?P<whole>\d{1,3}(?:,\d{3})+|\d*)(?:\.(?P<fraction>\d*))?", re.ASCII
)
_YEAR_FIRST = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})"
    r"(?:[T ]00:00(?::00(?:\.0+)?)?(?:Z| ?UTC| ?[-+]\d{2}:?\d{2})?)?",
    re.ASCII,
)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/])(\d{1,2})\2(\d{4})", re.ASCII)
_DAY_MONTH_YEAR = re.compile(
    r"(\d{1,2})[- ]([a-z]{3,9})\.?[-, ] ?(\d{4})", re.ASCII | re.IGNORECASE
)
_MONTH_DAY_YEAR = re.compile(r"([a-z]{3,9})\.? (\d{1,2}),? (\d{4})", re.ASCII | re.IGNORECASE)
_ROUNDED_ID = re.compile(r"\d(?:[.,]\d+)?E\+?\d+", re.ASCII | re.IGNORECASE)
# 12,50 and 1.234,50, where a comma is the decimal point.
_DECIMAL_COMMA = re.compile(r"([-+]?\$?)(\d{1,3}(?:\.\d{3})+|\d+),(\d+)", re.ASCII)
_POINTS = re.compile(r"\d{1,3}(?:\.\d{3})+", re.ASCII)


class ValueRefusedError(ValueError):
    """A field cannot be read with certainty.

    The text says why, as the end of a sentence that begins with the column. It never says what the
    field holds.
    """


def reader_for(column: Column, *, decimal_comma: bool = False) -> Callable[[str], Value]:
    """The function that reads a field of that column; it raises ``ValueRefusedError``.

    Args:
        decimal_comma: numbers are written as in ``1.234,50``.
    """
    kind = column.type
    negative = column.name in MAY_BE_NEGATIVE
    if kind.name == "date":
        read: Callable[[str], Value] = read_date
    elif kind.name == "decimal" and kind.precision is not None and kind.scale is not None:
        read = partial(read_decimal, precision=kind.precision, scale=kind.scale, negative=negative)
    elif kind.name == "bigint":
        read = partial(read_count, negative=negative)
    elif kind.name == "string" and column.name == "campaign_id":
        read = partial(read_id, length=kind.length)
    elif kind.name == "string" and column.name in NAMES:
        read = partial(read_name, length=kind.length)
    elif kind.name == "string":
        read = partial(read_text, length=kind.length)
    else:
        raise NotImplementedError(
            f"No CSV table has a column of type {kind} yet (column {column.name})."
        )
    nullable = column.nullable
    is_localized = decimal_comma and kind.name in ("decimal", "bigint")
    whole = kind.name == "bigint"

    def read_or_null(field: str) -> Value:
        field = field.strip()
        if field in NOTHING:
            value = None
        else:
            value = read(_with_a_point(field, whole=whole) if is_localized else field)
        if value is None and not nullable:
            raise ValueRefusedError("is empty")
        return value

    return read_or_null


@lru_cache(maxsize=10_000)  # a file repeats the same few days thousands of times
def read_date(field: str) -> date:
    """A day. ``03/04/2026`` has two readings and is refused; ``11/22/2026`` has one."""
    if match := _YEAR_FIRST.fullmatch(field):
        return _date(field, match[1], match[3], match[4])
    if match := _DOTTED.fullmatch(field):  # written with dots, the day comes first everywhere
        return _date(field, match[3], match[2], match[1])
    if match := _YEAR_LAST.fullmatch(field):
        first, second = int(match[1]), int(match[3])
        if first <= 12 and second <= 12 and first != second:
            raise ValueRefusedError(
                "can be read in two ways (month first or day first); write it as YYYY-MM-DD"
            )
        month, day = (second, first) if first > 12 else (first, second)
        return _date(field, match[4], month, day)
    if match := _DAY_MONTH_YEAR.fullmatch(field):
        return _date(field, match[3], _month(field, match[2]), match[1])
    if match := _MONTH_DAY_YEAR.fullmatch(field):
        return _date(field, match[3], _month(field, match[1]), match[2])
    raise ValueRefusedError("is not a date; write it as YYYY-MM-DD")


def _month(field: str, word: str) -> int:
    for number, month in enumerate(MONTHS, start=1):
        if word.lower() in (month, month[:3]) or (number == 9 and word.lower() == "sept"):
            return number
    raise ValueRefusedError("is not a date; write it as YYYY-MM-DD")


def _date(field: str, year: str | int, month: str | int, day: str | int) -> date:
    try:
        value = date(int(year), int(month), int(day))
    except ValueError:
        raise ValueRefusedError("is not in the calendar") from None
    if value.year < EARLIEST_YEAR:
        raise ValueRefusedError(f"lies before {EARLIEST_YEAR}")
    return value


def read_decimal(field: str, *, precision: int, scale: int, negative: bool) -> Decimal:
    """An exact amount with ``scale`` decimals; never rounded."""
    sign, whole, fraction = _number(field, negative)
    if "," in whole and "." not in field and whole.count(",") == 1:
        raise ValueRefusedError(
            "can be read in two ways (thousands or decimals); write it without the comma"
        )
    if len(fraction) > scale:
        raise ValueRefusedError(f"has more than {scale} decimals")
    digits = whole.replace(",", "").lstrip("0")
    if len(digits) > precision - scale:
        raise ValueRefusedError(f"is too large for decimal({precision},{scale})")
    return Decimal(f"{sign}{digits or '0'}.{fraction.ljust(scale, '0')}")


def read_count(field: str, *, negative: bool) -> int:
    """A whole number; ``1200.0``, as spreadsheets write it, is one."""
    if field.isdigit() and field.isascii() and len(field) <= SAFE_DIGITS:
        return int(field)
    sign, whole, fraction = _number(field, negative)
    if fraction:
        raise ValueRefusedError("is not a whole number")
    value = (
        int(f"{sign}{whole.replace(',', '') or '0'}") if len(whole) <= 30 else LARGEST_BIGINT + 1
    )
    if abs(value) > LARGEST_BIGINT:
        raise ValueRefusedError("is too large")
    return value


def _number(field: str, negative: bool) -> tuple[str, str, str]:
    """Sign, whole part (with its commas) and decimals (without the zeros at their end)."""
    match = _NUMBER.fullmatch(field)
    if match is None or not (match["whole"] or match["fraction"]):
        raise ValueRefusedError("is not a number")
    fraction = (match["fraction"] or "").rstrip("0")
    if match["sign"] == "-" and not negative and (match["whole"].strip("0,") or fraction):
        raise ValueRefusedError("is negative")
    return match["sign"], match["whole"], fraction


def _with_a_point(field: str, *, whole: bool) -> str:
    """A number with decimal comma as one with decimal point, without thousands."""
    if match := _DECIMAL_COMMA.fullmatch(field):
        sign, before, fraction = match.groups()
        if "." not in before and len(before) <= 3 and len(fraction) == 3:
            raise ValueRefusedError("can be read in two ways (thousands or decimals)")
        return f"{sign}{before.replace('.', '')}.{fraction}"
    if _POINTS.fullmatch(field) and field.count(".") == 1 and not whole:
        raise ValueRefusedError("can be read in two ways (thousands or decimals)")
    return field.replace(".", "") if _POINTS.fullmatch(field) else field


def read_text(field: str, *, length: int | None) -> str:
    """Text in one form: NFC, line ends inside it as ``\\n``."""
    field = unicodedata.normalize("NFC", field).replace("\r\n", "\n")
    if length is not None and len(field) > length:
        raise ValueRefusedError(f"is longer than {length} characters")
    return field


def read_name(field: str, *, length: int | None) -> str | None:
    """A channel or campaign as it can be shown (see ``spelling``); None if nothing can be seen."""
    name = cleaned(field.replace("\r\n", "\n"))
    if name.casefold() in TOTALS:
        raise ValueRefusedError("is a sum over others")
    return read_text(name, length=length) or None


def read_id(field: str, *, length: int | None) -> str | None:
    """A campaign's id; one in scientific notation has lost its last digits."""
    identity = cleaned(field)
    if _ROUNDED_ID.fullmatch(identity):
        raise ValueRefusedError("was rounded by a spreadsheet")
    return read_text(identity, length=length) or None
