"""Opens one file of the inbox, and reads its lines: each becomes a typed row, a reject, or nothing.

Lines that are no rows are sums at the end of an export and headers that are repeated.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

from ingestion.csv_uploads.contract import (
    Header,
    Layout,
    columns_in_file,
    find_header,
    text_column,
)
from ingestion.csv_uploads.reading import Encoding, Record, encoding_of, printable, read_records
from ingestion.csv_uploads.series import series_of
from ingestion.csv_uploads.sorting import BATCH_ROWS, RowSorter
from ingestion.csv_uploads.spelling import NAMES, Spellings
from ingestion.csv_uploads.values import Value, ValueRefusedError, reader_for
from pipeline.contracts import RawTable
from pipeline.rejects import TEXT_CHARACTERS, Reject

logger = logging.getLogger(__name__)

# The first cell with text of a line that sums others up: "Total", "Total: Campaigns".
_SUM = re.compile(r"(grand |sub)?totals?(\s*[:(].*)?", re.IGNORECASE)


@dataclass(frozen=True)
class OpenedFile:
    """A file of the inbox, copied to the local disk, its header found.

    Attributes:
        modified_at: when this content was first seen written, UTC without a zone; of two files of a
            series with the same dates the later counts.
    """

    name: str
    modified_at: datetime
    copy: Path
    encoding: Encoding
    header: Header

    @property
    def series(self) -> str:
        return series_of(self.name)


def open_file(
    name: str, modified_at: datetime, copy: Path, table: RawTable, layouts: Mapping[str, Layout]
) -> OpenedFile:
    """``ContractError`` if the file cannot be one of the table."""
    encoding = encoding_of(copy, name)
    if encoding == "cp1252":
        logger.warning(
            "%s is not UTF-8: its accented letters are read as Windows-1252. Export it as UTF-8 to "
            "be sure.",
            name,
        )
    header = find_header(copy, encoding, table, name, layouts)
    if header.ignored:
        logger.warning("%s has %d columns that are ignored.", name, header.ignored)
    return OpenedFile(name, modified_at, copy, encoding, header)


def read_file(file: OpenedFile, table: RawTable, rows: RowSorter, spellings: Spellings) -> None:
    """Every record after the header becomes a row, a reject, or is left out."""
    header = file.header
    decimal_comma = header.delimiter == ";"
    fields = [
        (
            column.name,
            header.positions.get(column.name),
            reader_for(column, decimal_comma=decimal_comma),
        )
        for column in (*columns_in_file(table), *map(text_column, header.extra))
    ]
    lineage = (file.name, file.modified_at, file.series)
    names = [name for name, *_ in fields]
    channel_at = names.index("channel") if "channel" in names else None
    left_out = 0
    records = read_records(
        file.copy, file.encoding, header.delimiter, len(header.names), header.line
    )
    for batch in _batches(records):
        accepted, rejected = [], []
        for record in batch:
            values: list[Value] = []
            problems: list[tuple[str | None, str]] = []
            if record.problem:
                problems.append((None, record.problem))
            else:
                for name, position, read in fields:
                    try:
                        if position is None:
                            value: Value = header.constants.get(name)
                        else:
                            value = read(record.values[position])
                        if name in NAMES and isinstance(value, str):
                            value = spellings.of(name, value)
                        values.append(value)
                    except ValueRefusedError as refusal:
                        problems.append((name, str(refusal)))
            if problems and _is_no_row(record, header, problems):
                left_out += 1
            elif problems:
                rejected.append(_rejected(file.name, record, problems))
            else:
                breakdown = "\x1f".join(record.values[at].strip() for at in header.breakdown)
                text = record.text[:TEXT_CHARACTERS]
                channel = "" if channel_at is None else values[channel_at] or ""
                accepted.append((*values, *lineage, channel, breakdown, record.line, text))
        rows.add(accepted, header.extra)
        rows.reject(rejected)
    if left_out:
        logger.info("%s: %d lines are sums or repeated headers, and no rows.", file.name, left_out)


def _is_no_row(record: Record, header: Header, problems: Sequence[tuple[str | None, str]]) -> bool:
    """A sum, or the header again. A row that has a date is a row, whatever it is called."""
    texts = [value.strip() for value in record.values if value.strip(" -—")]
    if not texts or not {None, "date"} & {column for column, _ in problems}:
        return False
    return bool(_SUM.fullmatch(texts[0])) or tuple(record.values) == header.names


def _rejected(file: str, record: Record, problems: list[tuple[str | None, str]]) -> Reject:
    (column, reason), *others = problems
    also = "".join(f"; {name} {why}" for name, why in others)
    text = printable(record.text[:TEXT_CHARACTERS])
    return Reject(column, reason + also, text, file=file, line=record.line)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    iterator = iter(records)
    while batch := list(islice(iterator, BATCH_ROWS)):
        yield batch
