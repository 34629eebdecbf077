"""Writes record batches to Parquet files as they come, checked against the contract of their table.

Memory is flat: one thread encodes a row group while the caller's fetches the next.
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts import Column, RawTable
from pipeline.errors import ContractError, WarehouseUnavailableError
from warehouse.arrow import arrow_type
from warehouse.staging import Files

# DuckDB's own row group: each is read, compressed and written by one thread.
ROW_GROUP_ROWS = 122_880
# Fewer rows where one is wide, such as Stripe's payloads: a reader takes a chunk whole.
COLUMN_CHUNK_BYTES = 4 * 2**20


class PartWriter:
    """The Parquet files of one part. Each is handed on as soon as it is complete.

    Attributes:
        names: of the files.
        rows: how many there are in them.
    """

    def __init__(self, files: Files, folder: Path, schema: pa.Schema) -> None:
        self.names: list[str] = []
        self.rows = 0
        self._files, self._folder, self._schema = files, folder, schema
        self._digest = hashlib.sha256()
        self._writer: Any = None

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def write(self, rows: pa.Table) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.names.append(f"{len(self.names):05d}.parquet")
            self._writer = pq.ParquetWriter(
                self._folder / self.names[-1],
                self._schema,
                compression=self._files.compression,
                write_statistics=False,
            )
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self.rows += rows.num_rows
        if self._path.stat().st_size >= self._files.file_bytes:
            self.end_file()

    @property
    def _path(self) -> Path:
        return self._folder / self.names[-1]

    def end_file(self) -> None:
        if self._writer is not None:
            self.abandon()
            with self._path.open("rb") as content:
                self._digest.update(hashlib.file_digest(content, "sha256").digest())
            self._files.keep(self._path)

    def abandon(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()


def write_part(
    table: RawTable,
    columns: tuple[Column, ...],
    batches: Iterable[pa.RecordBatch],
    files: Files,
    folder: Path,
) -> PartWriter:
    """Write the batches to files of a folder, and return what was written.

    Raises:
        ContractError: the batches do not have the declared columns and types, or a null where none
            may be.
        WarehouseUnavailableError: the disk is full or cannot be written.
    """
    schema = pa.schema([pa.field(column.name, arrow_type(column.type)) for column in columns])
    writer = PartWriter(files, folder, schema)
    encoding: Future[None] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="parquet") as encoder:
        try:
            for rows in row_groups(checked(table, columns, schema, batches)):
                if encoding:
                    with disk_errors(table, folder):
                        encoding.result()
                encoding = encoder.submit(writer.write, rows)
            with disk_errors(table, folder):
                if encoding:
                    encoding.result()
                writer.end_file()
        except BaseException:
            with suppress(OSError):  # the disk is full: what stopped the part says so
                encoder.submit(writer.abandon).result()
            raise
    return writer


@contextmanager
def disk_errors(table: RawTable, folder: Path) -> Iterator[None]:
    """Explain what the disk refuses. Only around what writes: the source's errors are its own."""
    try:
        yield
    except OSError as error:
        full = error.errno == errno.ENOSPC
        reason = "there is no space left on the disk" if full else error.strerror or str(error)
        raise WarehouseUnavailableError(
            f"Rows of {table.name} cannot be staged in {folder.parent}: {reason}."
        ) from error


def checked(
    table: RawTable,
    columns: tuple[Column, ...],
    schema: pa.Schema,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """The batches with their columns in the declared order.

    Raises:
        ContractError: names the table and the column that is not as declared.
    """
    required = [c.name for c in columns if not c.nullable or c.name in table.key]
    for batch in batches:
        if problem := _problem(batch, schema, required):
            raise ContractError(f"{problem.format(table=table.name)} Nothing was loaded.")
        yield pa.RecordBatch.from_arrays(
            [batch.column(name) for name in schema.names], schema=schema
        )


def _problem(batch: pa.RecordBatch, schema: pa.Schema, required: list[str]) -> str | None:
    got = batch.schema.names
    for name in schema.names:
        if name not in got:
            return f"Rows for table {{table}} lack the column {name}."
    for name in got:
        if name not in schema.names:
            return f"Rows for table {{table}} have a column {name} nobody announced."
    for field in schema:
        if (is_type := batch.column(field.name).type) != field.type:
            return f"Column {field.name} of table {{table}} is {is_type} instead of {field.type}."
    for name in required:
        if batch.column(name).null_count:
            return f"Column {name} of table {{table}} has a row without a value."
    return None


def row_groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows in groups of ``ROW_GROUP_ROWS``, or fewer at ``COLUMN_CHUNK_BYTES`` per column."""
    held: list[pa.RecordBatch] = []
    rows, sizes = 0, list[int]()  # the latter in bytes, of each column
    for batch in batches:
        while batch.num_rows:
            taken = batch.slice(0, ROW_GROUP_ROWS - rows)
            batch = batch.slice(taken.num_rows)
            held.append(taken)
            rows += taken.num_rows
            new = [column.nbytes for column in taken.columns]
            sizes = [sum(of_column) for of_column in zip_longest(new, sizes, fillvalue=0)]
            if rows == ROW_GROUP_ROWS or max(sizes) >= COLUMN_CHUNK_BYTES:
                yield pa.Table.from_batches(held)
                held, rows, sizes = [], 0, []
    if held:
        yield pa.Table.from_batches(held)
