"""From the text of a CSV field to a typed value; what can be read in two ways is refused, never
guessed.

- **date**: ``2026-11-22``, ``2026/11/22``, ``2026-11-22 00:00:00``, ``22.11.2026``, ``11/22/2026``,
    ``22/11/2026``. Refused: ``03/04/2026`` (March or April?), ``22.11.26``, ``2026-11-22 14:30``,
    ``46348``, years before 2000.
- **decimal**: ``1234.5``, ``"1,234.50"``, ``"1,234,567"``, ``$12.50``. Refused: ``"1,234"``
    (thousands or decimals?), ``"12,50"``, ``€12``, ``1.234`` (not rounded), ``1e5``, ``(12.50)``,
    ``NaN``.
- **bigint**: ``1200``, ``"1,200"``, ``1200.0``. Refused: ``1200.5``, ``1e5``.
- **string**: any text, without the blanks around it, in Unicode form NFC. Refused: longer than the
  column.

An empty field is null. Money is never negative, except revenue: refunds may outweigh what was sold.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from functools import lru_cache, partial

from pipeline.contracts import Column

Value = date | Decimal | int | str | None

MAY_BE_NEGATIVE = frozenset({"revenue_attributed"})
EARLIEST_YEAR = 2000
LARGEST_BIGINT = 2**63 - 1
SAFE_DIGITS = 18  # any number of so many digits is a bigint

_NUMBER = re.compile(
    r"(?P<sign>[-+]?)\$?(?P<whole>\d{1,3}(?:,\d{3})+|\d*)(?:\.(?P<fraction>\d*))?", re.ASCII
)
_YEAR_FIRST = re.compile(
    r"(\d{4})([-/])(\d{1,2})\2(\d{1,2})(?:[T ]00:00(?::00(?:\.0+)?)?Z?)?", re.ASCII
)
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})", re.ASCII)
_YEAR_LAST = re.compile(r"(\d{1,2})([-/])(\d{1,2})\2(\d{4})", re.ASCII)


class ValueRefusedError(ValueError):
    """A field cannot be read with certainty; the text says why, as the end of a sentence that
    begins with the column.
    """


def reader_for(column: Column) -> Callable[[str], Value]:
    """The function that reads a field of that column; it raises ``ValueRefusedError``."""
    kind = column.type
    negative = column.name in MAY_BE_NEGATIVE
    if kind.name == "date":
        read: Callable[[str], Value] = read_date
    elif kind.name == "decimal" and kind.precision is not None and kind.scale is not None:
        read = partial(read_decimal, precision=kind.precision, scale=kind.scale, negative=negative)
    elif kind.name == "bigint":
        read = partial(read_count, negative=negative)
    elif kind.name == "string":
        read = partial(read_text, length=kind.length)
    else:
        raise NotImplementedError(
            f"No CSV table has a column of type {kind} yet (column {column.name})."
        )
    nullable = column.nullable

    def read_or_null(field: str) -> Value:
        field = field.strip()
        if field:
            return read(field)
        if nullable:
            return None
        raise ValueRefusedError("is empty")

    return read_or_null


@lru_cache(maxsize=10_000)  # a file repeats the same few days thousands of times
def read_date(field: str) -> date:
    """A day. ``03/04/2026`` has two readings and is refused; ``11/22/2026`` and ``05/05/2026`` have
    one.
    """
    if match := _YEAR_FIRST.fullmatch(field):
        return _date(field, match[1], match[3], match[4])
    if match := _DOTTED.fullmatch(field):  # written with dots, the day comes first everywhere
        return _date(field, match[3], match[2], match[1])
    if match := _YEAR_LAST.fullmatch(field):
        first, second = int(match[1]), int(match[3])
        if first <= 12 and second <= 12 and first != second:
            raise ValueRefusedError(
                f"{_quoted(field)} can be read in two ways (month first or day first); write it as "
                "YYYY-MM-DD"
            )
        month, day = (second, first) if first > 12 else (first, second)
        return _date(field, match[4], month, day)
    raise ValueRefusedError(f"{_quoted(field)} is not a date; write it as YYYY-MM-DD")


def _date(field: str, year: str | int, month: str | int, day: str | int) -> date:
    try:
        value = date(int(year), int(month), int(day))
    except ValueError:
        raise ValueRefusedError(f"{_quoted(field)} is not in the calendar") from None
    if value.year < EARLIEST_YEAR:
        raise ValueRefusedError(f"{_quoted(field)} lies before {EARLIEST_YEAR}")
    return value


def read_decimal(field: str, *, precision: int, scale: int, negative: bool) -> Decimal:
    """An exact amount with ``scale`` decimals; never rounded."""
    sign, whole, fraction = _number(field, negative)
    if "," in whole and "." not in field and whole.count(",") == 1:
        raise ValueRefusedError(
            f"{_quoted(field)} can be read in two ways (thousands or decimals); write it without "
            "the comma"
        )
    if len(fraction) > scale:
        raise ValueRefusedError(f"{_quoted(field)} has more than {scale} decimals")
    digits = whole.replace(",", "").lstrip("0")
    if len(digits) > precision - scale:
        raise ValueRefusedError(f"{_quoted(field)} is too large for decimal({precision},{scale})")
    return Decimal(f"{sign}{digits or '0'}.{fraction.ljust(scale, '0')}")


def read_count(field: str, *, negative: bool) -> int:
    """A whole number; ``1200.0``, as spreadsheets write it, is one."""
    if field.isdigit() and field.isascii() and len(field) <= SAFE_DIGITS:
        return int(field)
    sign, whole, fraction = _number(field, negative)
    if fraction:
        raise ValueRefusedError(f"{_quoted(field)} is not a whole number")
    value = (
        int(f"{sign}{whole.replace(',', '') or '0'}") if len(whole) <= 30 else LARGEST_BIGINT + 1
    )
    if abs(value) > LARGEST_BIGINT:
        raise ValueRefusedError(f"{_quoted(field)} is too large")
    return value


def _number(field: str, negative: bool) -> tuple[str, str, str]:
    """Sign, whole part (with its commas) and decimals (without the zeros at their end)."""
    match = _NUMBER.fullmatch(field)
    if match is None or not (match["whole"] or match["fraction"]):
        raise ValueRefusedError(f"{_quoted(field)} is not a number")
    fraction = (match["fraction"] or "").rstrip("0")
    if match["sign"] == "-" and not negative and (match["whole"].strip("0,") or fraction):
        raise ValueRefusedError(f"{_quoted(field)} is negative")
    return match["sign"], match["whole"], fraction


def read_text(field: str, *, length: int | None) -> str:
    """Text in one form, so that one name is one key: NFC, line ends inside it as ``\\n``."""
    field = unicodedata.normalize("NFC", field).replace("\r\n", "\n")
    if length is not None and len(field) > length:
        raise ValueRefusedError(f"{_quoted(field)} is longer than {length} characters")
    return field


def _quoted(field: str) -> str:
    return repr(field if len(field) <= 60 else f"{field[:60]}…")
