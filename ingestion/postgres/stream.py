"""Streams a query out of PostgreSQL: COPY as text in a thread, typed Arrow batches in another.

PostgreSQL's text format is a row per line and a tab between values, whatever the values hold: tabs,
newlines and backslashes in them are escaped, NULL is ``\\N``. The server writes it 1.4 times as
fast as CSV, for which it looks at each character to decide on quotes. Decimals go from text to
decimal128, never through a float.
"""

from __future__ import annotations

import io
import queue
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

if TYPE_CHECKING:
    from typing_extensions import Buffer

NULL = r"\N"
# What the server writes in place of a character,
# https://www.postgresql.org/docs/current/sql-copy.html (text format). No text of PostgreSQL holds a
# NUL: it keeps the place of a backslash until nothing is left that one could be taken for.
ESCAPES = (
    ("\\\\", "\0"),
    *(
        (f"\\{letter}", character)
        for letter, character in zip("bfnrtv", "\b\f\n\r\t\v", strict=True)
    ),
    ("\0", "\\"),
)
_ESCAPE = re.compile(rb"\\[^N]")  # any other backslash begins a NULL

# What is made of larger blocks is too large for allocators to keep: each asks the system again.
BLOCK_BYTES = 2**20
# With the one being filled and the one being parsed, 10 MB of text at most are in memory.
QUEUED_BLOCKS = 8


def copy_batches(
    connection: Connection,
    query: sql.Composable,
    schema: pa.Schema,
    without_misfits: Callable[[bytes], bytes],
    *,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[pa.RecordBatch]:
    """The rows of ``query``, with the columns of ``schema``, while the server still sends.

    Args:
        without_misfits: gives a block without the rows that the schema cannot hold. Asked where one
            has such rows.

    Raises:
        psycopg2.Error: the server broke off.
    """
    blocks = _Blocks()
    with ThreadPoolExecutor(1, thread_name_prefix="copy") as executor:
        copying = executor.submit(_copy, connection, query, blocks, block_bytes)
        try:
            while (block := blocks.next()) is not None:
                try:
                    rows = parsed(block, schema)
                except pa.ArrowInvalid:
                    if not (block := without_misfits(block)):
                        continue
                    rows = parsed(block, schema)
                yield from rows.to_batches()
            copying.result()
        except BaseException:
            # The reader gives up first: free the writer, and do not wait for rows nobody wants.
            blocks.abandon()
            _cancel(connection)
            raise


def _copy(connection: Connection, query: sql.Composable, blocks: _Blocks, block_bytes: int) -> None:
    rows = io.BufferedWriter(blocks, block_bytes)
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(sql.SQL("copy ({}) to stdout (format text)").format(query), rows)
        rows.flush()
    finally:
        blocks.end()


def _cancel(connection: Connection) -> None:
    if not connection.closed:
        try:
            connection.cancel()
        except psycopg2.Error:  # the connection is lost already
            return


class _OverError(Exception):
    """Nobody reads any more."""


class _Blocks(io.RawIOBase):
    """Hands blocks of rows from the writing to the reading thread through a bounded queue.

    A ``BufferedWriter`` in front gathers the rows: it writes out its buffer before a row that no
    longer fits, so a block always ends where a row ends. Rows number in the millions: none of them
    may cost a call into Python.
    """

    def __init__(self) -> None:
        self._queue: queue.Queue[bytes | None] = queue.Queue(QUEUED_BLOCKS)
        self._is_over = False

    def writable(self) -> bool:
        return True

    def write(self, rows: Buffer) -> int:
        if self._is_over:
            raise _OverError
        block = bytes(rows)
        self._queue.put(block)
        return len(block)

    def end(self) -> None:
        if not self._is_over:
            self._queue.put(None)
        self._is_over = True  # what a failed COPY left in the buffer in front comes to nothing

    def next(self) -> bytes | None:
        """The next block, or None after the last one."""
        return self._queue.get()

    def abandon(self) -> None:
        self._is_over = True
        # makes room for a writer that waits, once and for all: it looks at the flag before it
        # writes again
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return


def parsed(block: bytes, schema: pa.Schema) -> pa.Table:
    """The rows of a block; ``pa.ArrowInvalid`` if a type cannot hold a value, or must have one."""
    rows = pyarrow.csv.read_csv(
        pa.BufferReader(block),  # type: ignore[arg-type]
        read_options=pyarrow.csv.ReadOptions(column_names=schema.names, block_size=len(block) + 1),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter="\t", quote_char=False, ignore_empty_lines=False
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=schema,
            null_values=[NULL],
            strings_can_be_null=True,
            true_values=["t"],
            false_values=["f"],
        ),
    )
    for field in schema:
        if not field.nullable and rows.column(field.name).null_count:
            raise pa.ArrowInvalid(f"{field.name} has no value")
    has_escapes = _ESCAPE.search(block) is not None
    columns = [_unescaped(column) if has_escapes else column for column in rows.columns]
    return pa.Table.from_arrays(columns, schema=schema)


def _unescaped(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    if not pa.types.is_string(column.type) or not pc.any(pc.match_substring(column, "\\")).as_py():
        return column
    for written, meant in ESCAPES:
        column = pc.replace_substring(column, written, meant)
    return column
