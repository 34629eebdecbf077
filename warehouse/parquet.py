"""Writes record batches into a part's Parquet files as they come, checked against the table's
contract; memory is flat.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contracts import Column, RawTable
from pipeline.errors import ContractError, WarehouseUnavailableError
from warehouse.arrow import arrow_type
from warehouse.staging import utc_now, write_text

if TYPE_CHECKING:
    from warehouse.duckdb.beside import TableBeside

ROW_GROUP_ROWS = (
    122_880  # DuckDB's own row group: each is read, compressed and written by one thread
)
COLUMN_CHUNK_BYTES = (
    4 * 2**20
)  # less rows where one is wide, such as Stripe's payloads: DuckDB reads a chunk whole, per thread
FILE_ROW_GROUPS = 4


def write_part(
    table: RawTable,
    columns: tuple[Column, ...],
    batches: Iterable[pa.RecordBatch],
    folder: Path,
    beside: TableBeside | None = None,
) -> int:
    """Write one part and return its rows; an earlier part in the same folder is replaced when all
    rows are there.

    One thread encodes while the caller's fetches the next rows; two row groups at most are in
    memory. ``beside`` is given each file that is complete before the last one, as long as no key
    has come twice.

    Raises:
        ContractError: the batches do not have the declared columns and types, or a null where none
            may be.
        WarehouseUnavailableError: the disk is full or cannot be written.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.{secrets.token_hex(3)}")
    schema = pa.schema([pa.field(column.name, arrow_type(column.type)) for column in columns])
    keys = _DistinctIntegers(table)

    def complete(file: Path) -> None:
        if beside and keys.range():
            beside.add(file)

    writer = _PartWriter(unfinished, schema, complete)
    try:
        with disk_errors(table, folder):
            unfinished.mkdir(parents=True)
        with (
            beside or nullcontext(),
            ThreadPoolExecutor(1, thread_name_prefix="parquet") as encoder,
        ):
            encoding: Future[None] | None = None
            for rows in row_groups(checked(table, columns, schema, batches)):
                keys.add(rows)
                if encoding:
                    with disk_errors(table, folder):
                        encoding.result()
                encoding = encoder.submit(writer.write, rows)
            with disk_errors(table, folder):
                if encoding:
                    encoding.result()
                writer.close()
        said = {
            "rows": writer.rows,
            "size": writer.size,
            "files": writer.files,
            "digest": writer.digest.hexdigest(),
            "finished_at": utc_now().isoformat(),
            "key_range": keys.range(),
        }
        with disk_errors(table, folder):
            write_text(unfinished / "part.json", json.dumps(said))
            _put_in_place(unfinished, folder)
    finally:
        writer.abandon()
        shutil.rmtree(unfinished, ignore_errors=True)
    return writer.rows


@contextmanager
def disk_errors(table: RawTable, folder: Path) -> Iterator[None]:
    """Only around what writes: an error of the source that feeds the batches is none of the
    warehouse's.
    """
    try:
        yield
    except OSError as error:
        reason = (
            "there is no space left on the disk"
            if error.errno == errno.ENOSPC
            else (error.strerror or str(error))
        )
        raise WarehouseUnavailableError(
            f"Rows of {table.name} cannot be staged in {folder.parent}: {reason}."
        ) from error


def _put_in_place(unfinished: Path, folder: Path) -> None:
    while True:
        try:
            unfinished.rename(folder)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        shutil.rmtree(folder, ignore_errors=True)


def checked(
    table: RawTable,
    columns: tuple[Column, ...],
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """The batches with their columns in the declared order; ``ContractError`` names table and
    column.
    """
    required = [
        column.name for column in columns if not column.nullable or column.name in table.key
    ]
    for batch in batches:
        got = batch.schema.names
        for name in schema.names:
            if name not in got:
                raise ContractError(
                    f"Rows for table {table.name} lack the column {name}. Nothing was loaded."
                )
        for name in got:
            if name not in schema.names:
                raise ContractError(
                    f"Rows for table {table.name} have a column {name} nobody announced. Nothing "
                    "was loaded."
                )
        for field in schema:
            if (is_type := batch.column(field.name).type) != field.type:
                raise ContractError(
                    f"Column {field.name} of table {table.name} is {is_type} instead of "
                    f"{field.type}. Nothing was loaded."
                )
        for name in required:
            if batch.column(name).null_count:
                raise ContractError(
                    f"Column {name} of table {table.name} has a row without a value. Nothing was "
                    "loaded."
                )
        yield pa.RecordBatch.from_arrays(
            [batch.column(name) for name in schema.names], schema=schema
        )


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in portions of ``ROW_GROUP_ROWS`` rows, or less where a column comes to
    ``COLUMN_CHUNK_BYTES`` before.
    """
    held: list[pa.RecordBatch] = []
    rows, sizes = 0, list[int]()  # the latter in bytes, of each column
    for batch in batches:
        while batch.num_rows:
            taken = batch.slice(0, ROW_GROUP_ROWS - rows)
            batch = batch.slice(taken.num_rows)
            held.append(taken)
            rows += taken.num_rows
            sizes = [
                sum(of_column)
                for of_column in zip_longest(
                    (column.nbytes for column in taken.columns), sizes, fillvalue=0
                )
            ]
            if rows == ROW_GROUP_ROWS or max(sizes) >= COLUMN_CHUNK_BYTES:
                yield pa.Table.from_batches(held)
                held, rows, sizes = [], 0, []
    if held:
        yield pa.Table.from_batches(held)


class _PartWriter:
    """The Parquet files of one part, a new one every few row groups, and the digest over all of
    them.
    """

    def __init__(self, folder: Path, schema: pa.Schema, complete: Callable[[Path], None]) -> None:
        self.folder = folder
        self.schema = schema
        self.complete = complete  # called with each file, but for the last one
        self.files: list[str] = []
        self.rows = 0
        self.size = 0
        self.digest = hashlib.sha256()
        self._groups = 0
        self._sink: BinaryIO | None = None
        self._writer: Any = None
        self._repetitive: list[str] | None = None

    def write(self, rows: pa.Table) -> None:
        if self._repetitive is None:
            self._repetitive = _repetitive_columns(rows)
        if self._writer is None:
            self.files.append(f"{len(self.files):05d}.parquet")
            self._sink = (self.folder / self.files[-1]).open("wb", buffering=0)
            self._writer = pq.ParquetWriter(
                _Hashing(self._sink, self.digest),  # type: ignore[arg-type]
                self.schema,
                # they are read once, a moment later: compressing costs more than writing
                compression="none",
                use_dictionary=self._repetitive,  # type: ignore[arg-type]
                write_statistics=False,
            )
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self.rows += rows.num_rows
        self.size += rows.nbytes
        self._groups += 1
        if self._groups % FILE_ROW_GROUPS == 0:
            self.close()
            self.complete(self.folder / self.files[-1])

    def close(self) -> None:
        """End the current file."""
        if self._writer is not None:
            self._writer.close()
        self.abandon()

    def abandon(self) -> None:
        if self._sink is not None:
            self._sink.close()
        self._writer = self._sink = None


class _Hashing:
    """A file that hashes what it is given on the way."""

    def __init__(self, sink: BinaryIO, digest: Any) -> None:
        self._sink, self._digest = sink, digest
        self.closed = False

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return self._sink.write(data)

    def flush(self) -> None:
        self._sink.flush()

    def tell(self) -> int:
        return self._sink.tell()

    def close(self) -> None:
        self.closed = True

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


def _repetitive_columns(rows: pa.Table) -> list[str]:
    """Text columns in which a dictionary pays, judged by the first rows."""
    sample = rows.slice(0, 10_000)
    return [
        field.name
        for field in rows.schema
        if pa.types.is_string(field.type)
        and pc.count_distinct(sample.column(field.name)).as_py() * 3 < sample.num_rows
    ]


class _DistinctIntegers:
    """Watches whether the keys of a part, integers of one column, are all distinct: then nobody has
    to sort them out later.

    One bit-like byte per key in pages; gives up beyond ``LIMIT`` pages.
    """

    PAGE_BITS = 16
    LIMIT = 512  # pages of 64 KiB

    def __init__(self, table: RawTable) -> None:
        self._name = table.key[0]
        self._distinct = len(table.key) == 1 and table.column(self._name).type.name in (
            "integer",
            "bigint",
        )
        self._pages: dict[int, Any] = {}
        self._low: int | None = None
        self._high: int | None = None

    def add(self, rows: pa.Table) -> None:
        if not self._distinct:
            return
        # Not ``to_numpy``, which imports pandas: a quarter of a second, and 50 MB.
        keys = np.sort(
            np.concatenate([np.from_dlpack(chunk) for chunk in rows.column(self._name).chunks])
        )
        if bool((keys[1:] == keys[:-1]).any()):
            self._distinct = False
            return
        low, high = int(keys[0]), int(keys[-1])
        if self._high is None or self._low is None:
            self._low, self._high = low, high
        numbers = keys >> self.PAGE_BITS
        starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(keys)], strict=True):
            page = self._pages.get(int(numbers[start]))
            if page is None:
                if len(self._pages) == self.LIMIT:
                    self._distinct = False
                    return
                page = self._pages[int(numbers[start])] = np.zeros(1 << self.PAGE_BITS, dtype=bool)
            slots = keys[start:end] & ((1 << self.PAGE_BITS) - 1)
            if bool(page[slots].any()):
                self._distinct = False
                return
            page[slots] = True
        self._low, self._high = min(low, self._low), max(high, self._high)

    def range(self) -> tuple[int, int] | None:
        if not self._distinct or self._low is None or self._high is None:
            return None
        return self._low, self._high
