"""Holds a file's header against its table: where each declared column is, and what is new."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.contracts import TEXT, Column, RawTable
from pipeline.errors import ContractError

LINEAGE = (
    "_file_name",
    "_file_modified_at",
)  # columns of the raw tables that the loader fills, not the file
_NAME = re.compile(r"[a-z][a-z0-9_]*", re.ASCII)
_OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


@dataclass(frozen=True)
class Header:
    """``positions``: index in the file of each column. ``extra``: names in the file that the table
    does not declare.
    """

    positions: dict[str, int]
    extra: tuple[str, ...]


def columns_in_file(table: RawTable) -> tuple[Column, ...]:
    return tuple(column for column in table.columns if column.name not in LINEAGE)


def check_header(names: list[str], table: RawTable, file: str) -> Header:
    """Order and letter case are free, ``Campaign Name`` is ``campaign_name``; ``ContractError``
    names file and column.
    """
    found = [re.sub(r"[\s-]+", "_", name.strip().lower()) for name in names]
    declared = [column.name for column in columns_in_file(table)]
    missing = [name for name in declared if name not in found]
    if missing:
        raise ContractError(
            f"{file} lacks the column{'s' if len(missing) > 1 else ''} "
            f"{', '.join(missing)}{_delimiter_hint(names)}. "
            f"Its header is {_shown(names)}; {table.name} needs {', '.join(declared)}."
        )
    extra = [name for name in found if name not in declared]
    for position, name in enumerate(found, start=1):
        if not _NAME.fullmatch(name):
            raise ContractError(
                f"{file} has a column without a usable name: number {position} of its header is "
                f"{names[position - 1]!r}."
            )
        if found.count(name) > 1:
            raise ContractError(f"{file} has the column {name} twice.")
    return Header({name: position for position, name in enumerate(found)}, tuple(extra))


def text_column(name: str) -> Column:
    """A column that the file has gained: kept as text, until somebody declares it."""
    return Column(name, TEXT)


def _delimiter_hint(names: list[str]) -> str:
    for delimiter, called in _OTHER_DELIMITERS.items():
        if len(names) == 1 and delimiter in names[0]:
            return f": it is separated by {called}; export it with commas"
    return ""


def _shown(names: list[str]) -> str:
    text = ",".join(names)
    return repr(text if len(text) <= 200 else f"{text[:200]}…")
