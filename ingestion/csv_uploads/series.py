"""What the name of a file says: to which table it belongs, and to which series.

``marketing_spend_2026-11-21.csv``, ``Marketing Spend (2).csv``, ``Copy of marketing-spend.csv.gz``
are files of the table ``marketing_spend`` and of one series: its files replace each other.
``marketing_spend_google_2026-11.csv`` is of that table too, and of a series of its own.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from pipeline.contracts import RawTable

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
_DATE_WORDS = frozenset((*MONTHS, *(month[:3] for month in MONTHS), "sept"))
_COPY_WORDS = frozenset({"copy", "of", "final", "new", "old", "corrected", "correction"})
_BEFORE_A_NUMBER = frozenset({"q", "w", "kw", "week", "v", "t"})
_NO_EXPORT = frozenset({"template", "example"})
_WORD = re.compile(r"[^\W\d_]+|\d+")


def table_of(name: str, tables: tuple[RawTable, ...]) -> RawTable | None:
    """The table a file belongs to: its name begins with that of the table.

    None for any other file, and for templates and examples.
    """
    words = series_of(name).split("_")
    if _NO_EXPORT & set(words):
        return None
    for table in tables:
        begin = table.name.split("_")
        if words[: len(begin)] == begin:
            return table
    return None


def is_correction(name: str) -> bool:
    """Whether its name says that it is to be believed against a later export."""
    return bool({"corrected", "correction"} & set(_words(name)))


@lru_cache(maxsize=10_000)
def series_of(name: str) -> str:
    """The name without date, counter, mark of a copy and ending, in lower case, joined by ``_``."""
    kept: list[str] = []
    dated = False  # whether the word before was part of a date
    words = _words(name)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word.isdigit():
            dated = _is_of_a_date(word) or (dated and len(word) <= 6)
        else:
            dated = word in _DATE_WORDS or (word in _BEFORE_A_NUMBER and following.isdigit())
        if not dated and word not in _COPY_WORDS:
            kept.append(word)
    return "_".join(kept)


def _words(name: str) -> list[str]:
    name = unicodedata.normalize("NFKC", name).lower().removesuffix(".gz").removesuffix(".csv")
    return _WORD.findall(name)


def _is_of_a_date(number: str) -> bool:
    """A day, month, counter, year, ``202611`` or ``20261121``; an account's number is none."""
    return len(number) <= 2 or (number.startswith("20") and len(number) in (4, 6, 8))
