"""Finds a file's header and holds it against its table: declared columns, and what else is there.

The header is the first line that has all declared columns, under our names or those of a layout;
the lines before it are a preamble. Errors name columns that are missing, never what a file says.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from ingestion.csv_uploads.reading import Delimiter, Encoding, read_lines
from pipeline.contracts import TEXT, Column, RawTable
from pipeline.errors import ContractError

LINEAGE = (
    "_file_name",
    "_file_modified_at",
)  # columns of the raw tables that the loader fills, not the file
DELIMITERS: tuple[Delimiter, ...] = (",", ";", "\t", "|")
MAX_PREAMBLE_LINES = 20
MAX_COLUMNS = 500
MAX_EXTRA_COLUMNS = 50  # kept in the raw table; the rest is ignored
MAX_NAME_CHARACTERS = 60

# Where a file has one of these, a day of a campaign has several rows, which are summed.
BREAKDOWNS = frozenset(
    {
        *("ad", "ad_name", "ad_id", "ad_group", "ad_group_id", "ad_set", "ad_set_name"),
        *("ad_set_id", "device", "device_platform", "impression_device", "platform", "placement"),
        *("network", "keyword", "search_keyword", "country", "region", "city", "age", "gender"),
        *("hour", "hour_of_day", "audience", "creative", "landing_page"),
    }
)

Layout = Mapping[str, str]  # of each column its header, or "=TEXT" for one that all rows share

# What the ad platforms call our columns in files downloaded by hand, in English:
# https://support.google.com/google-ads/answer/2454037, https://www.facebook.com/business/help/447834205249495
LAYOUTS: dict[str, Layout] = {
    "google_ads": {
        "date": "Day",
        "channel": "=google_ads",
        "campaign_id": "Campaign ID",
        "campaign_name": "Campaign",
        "spend": "Cost",
        "impressions": "Impr.",
        "clicks": "Clicks",
        "conversions": "Conversions",
        "revenue_attributed": "Conv. value",
    },
    "meta": {
        "date": "Day",
        "channel": "=facebook",
        "campaign_id": "Campaign ID",
        "campaign_name": "Campaign name",
        "spend": "Amount spent (USD)",
        "impressions": "Impressions",
        "clicks": "Clicks (all)",
        "conversions": "Purchases",
        "revenue_attributed": "Purchases conversion value",
    },
}


@dataclass(frozen=True)
class Header:
    """The header of one file.

    Attributes:
        line: the physical line it stands on, from 1.
        names: as they stand there, without empty ones at the end.
        positions: index in a row of each declared and extra column.
        constants: value of each declared column that all rows share.
        extra: names of columns that the table does not declare, cleaned.
        ignored: how many further columns are left out.
        breakdown: indexes of the columns that divide a campaign's day.
    """

    line: int
    delimiter: Delimiter
    names: tuple[str, ...]
    positions: dict[str, int]
    constants: dict[str, str]
    extra: tuple[str, ...]
    ignored: int
    breakdown: tuple[int, ...]


def columns_in_file(table: RawTable) -> tuple[Column, ...]:
    return tuple(column for column in table.columns if column.name not in LINEAGE)


def text_column(name: str) -> Column:
    """A column that the file has gained: kept as text, until somebody declares it."""
    return Column(name, TEXT)


def find_header(
    path: Path, encoding: Encoding, table: RawTable, file: str, layouts: Mapping[str, Layout]
) -> Header:
    """The header among the first lines of a file.

    Raises:
        ContractError: none of them has all declared columns; names those that the closest lacks.
    """
    fewest = [column.name for column in columns_in_file(table)]
    number = 0
    for number, names, delimiter in _candidates(path, encoding):
        for layout in ({}, *layouts.values()):
            positions, constants, missing = _resolved(names, table, layout)
            if not missing:
                _refuse_what_is_ambiguous(names, table, layout, file)
                return _header(number, delimiter, names, table, positions, constants)
            if positions:
                fewest = min(fewest, missing, key=len)
    if not number:
        raise ContractError(f"{file} is empty: not even a header. Export it again, or remove it.")
    declared = ", ".join(column.name for column in columns_in_file(table))
    raise ContractError(
        f"{file} lacks the column{'s' if len(fewest) > 1 else ''} {', '.join(fewest)}. "
        f"{table.name} needs {declared}, in a header among the first {MAX_PREAMBLE_LINES} lines; "
        "names of your own can be mapped with CSV_LAYOUTS."
    )


def _candidates(path: Path, encoding: Encoding) -> Iterator[tuple[int, list[str], Delimiter]]:
    """The lines that may be the header, split by each delimiter they have."""
    lines = (line for line in read_lines(path, encoding) if line.text.strip(" \t\r\n,;|\ufeff"))
    for line in islice(lines, MAX_PREAMBLE_LINES):
        if line.overlong or "\x00" in line.text:
            yield line.number, [], ","
            continue
        for delimiter in DELIMITERS:
            if delimiter in line.text or delimiter == ",":
                yield line.number, _split(line.text, delimiter), delimiter


def _split(line: str, delimiter: Delimiter) -> list[str]:
    try:
        names = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        return []
    while names and not names[-1].strip():
        names.pop()
    return names


def _resolved(
    names: list[str], table: RawTable, layout: Layout
) -> tuple[dict[str, int], dict[str, str], list[str]]:
    """Positions, constants, and the columns that the line lacks under these names.

    A constant is taken only where every other column has the name that the layout gives it: our own
    names alone do not tell whose export it is.
    """
    at = {_plain(name): position for position, name in reversed(list(enumerate(names)))}
    positions: dict[str, int] = {}
    constants: dict[str, str] = {}
    missing = []
    by_layout = True
    for column in columns_in_file(table):
        given = layout.get(column.name, "")
        constant = given.removeprefix("=") if given.startswith("=") else None
        if given and constant is None and _plain(given) in at:
            positions[column.name] = at[_plain(given)]
        elif column.name in at:
            positions[column.name] = at[column.name]
            by_layout = by_layout and constant is not None
        elif constant is not None:
            constants[column.name] = constant
        else:
            missing.append(column.name)
    if constants and not by_layout:
        missing += constants
    return positions, constants, missing


def _refuse_what_is_ambiguous(names: list[str], table: RawTable, layout: Layout, file: str) -> None:
    if len(names) > MAX_COLUMNS:
        raise ContractError(f"{file} has {len(names):,} columns, more than {MAX_COLUMNS}.")
    plain = [_plain(name) for name in names]
    for column in columns_in_file(table):
        if plain.count(_plain(layout.get(column.name, column.name))) > 1:
            raise ContractError(f"{file} has the column {column.name} twice.")


def _header(
    line: int,
    delimiter: Delimiter,
    names: list[str],
    table: RawTable,
    positions: dict[str, int],
    constants: dict[str, str],
) -> Header:
    taken = {*table.column_names, *positions}
    extra: dict[str, int] = {}
    ignored = 0
    for position, name in enumerate(names):
        if position in positions.values():
            continue
        plain = _plain(name)[:MAX_NAME_CHARACTERS].strip("_")
        if len(extra) < MAX_EXTRA_COLUMNS and re.match("[a-z]", plain) and plain not in taken:
            extra[plain] = position
            taken.add(plain)
        else:
            ignored += 1
    breakdown = [at for name, at in extra.items() if name in BREAKDOWNS]
    return Header(
        line,
        delimiter,
        tuple(names),
        positions | extra,
        constants,
        tuple(extra),
        ignored,
        tuple(breakdown),
    )


def _plain(name: str) -> str:
    """``Campaign Name``, ``campaign-name`` and ``Impr.`` as ``campaign_name`` and ``impr``."""
    name = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[^a-z0-9]+", "_", _without_marks(name)).strip("_")


def _without_marks(letters: Iterable[str]) -> str:
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
