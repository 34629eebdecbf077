"""Tables as CSV for spreadsheets: exact decimals, no text that a spreadsheet runs as a formula."""

from __future__ import annotations

import pandas as pd

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def as_csv(table: pd.DataFrame) -> bytes:
    """UTF-8 with a header line.

    Text from outside that begins like a formula gets an apostrophe in front.
    """
    return table.map(_inert).to_csv(index=False).encode()


def _inert(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
