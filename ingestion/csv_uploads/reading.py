"""From the bytes of one CSV file to its records, each with the physical line it starts on.

DuckDB's `read_csv(store_rejects=true)` was tried first: behind a quote that is never closed it
swallows good rows up to the next quote (four of thirty in a small example), and it counts records,
not lines. Here a broken record costs itself only: reading starts again on the very next line.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, TextIO

from pipeline.errors import ContractError

Encoding = Literal["utf-8-sig", "cp1252", "utf-16"]
Delimiter = Literal[",", ";", "\t", "|"]

MAX_LINE_CHARACTERS = 100_000  # a longer one is no row; memory stays flat whatever is in the inbox
MAX_RECORD_LINES = 100  # a quoted field with more line breaks is a quote that was never closed
CHUNK_BYTES = 1 << 20

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_UTF_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)  # begins as UTF-16 does
# How `surrogateescape` shows a byte that could not be decoded.
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
_DECODED = re.compile("[^\x00-\x7f\udc80-\udcff]")
_DAMAGED = re.compile("[\x00\ufffd\udc80-\udcff]")


@dataclass(frozen=True)
class Record:
    """One record: first physical line (from 1), raw text, values; ``problem``: why it is no row."""

    line: int
    text: str
    values: list[str]
    problem: str | None = None


@dataclass(frozen=True)
class Line:
    """A physical line, from 1. ``overlong``: its end is cut off."""

    number: int
    text: str
    overlong: bool = False


def encoding_of(path: Path, name: str) -> Encoding:
    """``utf-8-sig``, ``utf-16`` after its mark, or ``cp1252`` for bytes that are never UTF-8.

    ``utf-8-sig`` skips a byte order mark.

    A file with both is UTF-8 with damaged rows, which are rejected one by one. UTF-32 raises
    ``ContractError``.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    decoded = undecoded = False
    with path.open("rb") as file:
        begin = file.read(4)
        if begin.startswith(_UTF_32):
            raise ContractError(f"{name} is encoded as UTF-32. Export it as UTF-8.")
        if begin.startswith(_UTF_16):
            return "utf-16"
        file.seek(len(codecs.BOM_UTF8) if _starts_with_bom(path) else 0)
        while chunk := file.read(CHUNK_BYTES):
            text = decoder.decode(chunk)
            if not text.isascii():
                decoded = decoded or _DECODED.search(text) is not None
                undecoded = undecoded or _NOT_UTF_8.search(text) is not None
        undecoded = undecoded or bool(decoder.decode(b"", final=True))
    return "cp1252" if undecoded and not decoded and not _starts_with_bom(path) else "utf-8-sig"


def _starts_with_bom(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8


def read_lines(path: Path, encoding: Encoding) -> Iterator[Line]:
    """The physical lines of a file."""
    with _opened(path, encoding) as file:
        yield from _PhysicalLines(file)


def read_records(
    path: Path, encoding: Encoding, delimiter: Delimiter, width: int, after_line: int
) -> Iterator[Record]:
    """The records of a file that begin after a line, in order and in flat memory.

    Blank lines and rows of delimiters only are skipped.

    Args:
        width: how many values a record has; empty ones beyond it are none.
        after_line: that of the header.
    """
    with _opened(path, encoding) as file:
        lines = _PhysicalLines(file)
        for line in lines:
            if line.number <= after_line:
                continue
            record = _record(line, lines, delimiter, width)
            if not record.problem and not any(value.strip() for value in record.values):
                continue
            if not record.problem and len(record.values) != width:
                found = f"{len(record.values)} value{'s' if len(record.values) != 1 else ''}"
                problem = f"has {found} where the header has {width}"
                record = Record(record.line, record.text, record.values, problem)
            yield record


def _opened(path: Path, encoding: Encoding) -> TextIO:
    errors = "replace" if encoding == "utf-16" else "surrogateescape"
    return path.open(encoding=encoding, errors=errors, newline="")


def _record(line: Line, lines: _PhysicalLines, delimiter: Delimiter, width: int) -> Record:
    if line.overlong:
        return Record(
            line.number, line.text, [], f"is longer than {MAX_LINE_CHARACTERS:,} characters"
        )
    taken = [line]
    if '"' in line.text:
        values, problem = _parse(_taking(taken, lines), delimiter)
        broken = (
            problem
            or any(part.overlong for part in taken)
            or _swallowed_a_row(taken[1:], delimiter, width)
        )
        if len(taken) > 1 and broken:
            lines.put_back(taken[1:])
            del taken[1:]
            values, problem = [], "opens a quote that is never closed"
    else:
        values, problem = line.text.rstrip("\r\n").split(delimiter), None
    while len(values) > width and not values[-1].strip():
        values.pop()
    text = "".join(part.text for part in taken).rstrip("\r\n")
    if not problem and _DAMAGED.search(text):
        return Record(line.number, text, [], _damage(text))
    return Record(line.number, text, values, problem)


def _taking(taken: list[Line], lines: _PhysicalLines) -> Iterator[str]:
    yield taken[0].text
    for line in islice(lines, MAX_RECORD_LINES - 1):
        taken.append(line)
        yield line.text


def _parse(lines: Iterable[str], delimiter: Delimiter) -> tuple[list[str], str | None]:
    try:
        return next(csv.reader(lines, delimiter=delimiter, strict=True)), None
    except csv.Error:
        return [], "has a broken quote"


def _swallowed_a_row(continuation: list[Line], delimiter: Delimiter, width: int) -> bool:
    """Two stray quotes make the rows between them look like one field.

    A continuation that is a whole row by itself gives them away.
    """
    return any(len(_parse([line.text], delimiter)[0]) == width for line in continuation)


def _damage(text: str) -> str:
    if "\x00" in text:
        return "contains a NUL character"
    if "\ufffd" in text:
        return "contains the replacement character U+FFFD: it was damaged before it was exported"
    return "contains bytes that are not valid in the encoding of the rest of the file"


def printable(text: str) -> str:
    """Raw text as it can be stored and shown: bytes that could not be decoded, and NULs, as
    ``\\xe9``.
    """
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return text.replace("\x00", "\\x00")


class _PhysicalLines:
    """Lines as an editor counts them (``\\n``, ``\\r\\n`` or ``\\r``), that can be put back."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._number = 0
        self._returned: deque[Line] = deque()

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        if self._returned:
            return self._returned.popleft()
        text = self._file.readline(MAX_LINE_CHARACTERS)
        if not text:
            raise StopIteration
        self._number += 1
        overlong = len(text) == MAX_LINE_CHARACTERS and text[-1] not in "\r\n"
        rest = text
        while len(rest) == MAX_LINE_CHARACTERS and rest[-1] not in "\r\n":
            rest = self._file.readline(MAX_LINE_CHARACTERS)
        return Line(self._number, text, overlong)

    def put_back(self, lines: list[Line]) -> None:
        self._returned.extendleft(reversed(lines))
