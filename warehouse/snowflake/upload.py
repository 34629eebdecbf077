"""Writes rows into Parquet files and uploads each as soon as it is complete, several at a time;
memory and disk stay flat.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contracts import Column, RawTable
from pipeline.errors import WarehouseUnavailableError
from warehouse.arrow import arrow_type
from warehouse.parquet import ROW_GROUP_ROWS, checked, disk_errors, row_groups
from warehouse.snowflake.errors import explain, retried
from warehouse.snowflake.records import STAGE
from warehouse.snowflake.session import connect, rows
from warehouse.snowflake.settings import SnowflakeSettings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_MIB = 2**20


@dataclass(frozen=True)
class Written:
    """``files`` are their names; ``size`` is that of the rows in memory, in bytes."""

    rows: int
    size: int
    files: tuple[str, ...]
    digest: str


def write_files(
    table: RawTable,
    columns: tuple[Column, ...],
    batches: Iterable[pa.RecordBatch],
    folder: Path,
    part_mb: float,
    complete: Callable[[Path], None],
) -> Written:
    """Write batches as they come, a new file as soon as one has ``part_mb`` (MiB, compressed), and
    hand on each complete file.

    Raises:
        ContractError: the batches do not have the declared columns and types, or a null where none
            may be.
        WarehouseUnavailableError: the disk is full or cannot be written.
    """
    schema = pa.schema([pa.field(column.name, arrow_type(column.type)) for column in columns])
    files = _Files(folder, schema, int(part_mb * _MIB), complete)
    total = size = 0
    with ThreadPoolExecutor(1, thread_name_prefix="parquet") as encoder:
        encoding: Future[None] | None = None
        try:
            for portion in row_groups(checked(table, columns, schema, batches)):
                total, size = total + portion.num_rows, size + portion.nbytes
                if encoding:
                    with disk_errors(table, folder):
                        encoding.result()
                encoding = encoder.submit(files.write, portion)
            with disk_errors(table, folder):
                if encoding:
                    encoding.result()
                files.close()
        except BaseException:
            with suppress(Exception):
                if encoding:
                    encoding.exception()
                files.abandon()
            raise
    return Written(total, size, tuple(files.names), files.digest.hexdigest())


class _Files:
    def __init__(
        self, folder: Path, schema: pa.Schema, part_bytes: int, complete: Callable[[Path], None]
    ) -> None:
        self._folder, self._schema, self._part_bytes, self._complete = (
            folder,
            schema,
            part_bytes,
            complete,
        )
        self._writer: Any = None
        self._sink: Any = None
        self.names: list[str] = []
        self.digest = hashlib.sha256()

    def write(self, portion: pa.Table) -> None:
        if self._writer is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self.names.append(f"{len(self.names):05d}.parquet")
            self._sink = (self._folder / self.names[-1]).open("wb")
            self._writer = pq.ParquetWriter(
                self._sink, self._schema, compression="zstd", version="2.6"
            )
        self._writer.write_table(portion, row_group_size=ROW_GROUP_ROWS)
        if self._sink.tell() >= self._part_bytes:
            self.close()

    def close(self) -> None:
        """End the current file and hand it on."""
        if self._writer is None:
            return
        self._writer.close()
        self.abandon()
        path = self._folder / self.names[-1]
        with path.open("rb") as content:
            self.digest.update(hashlib.file_digest(content, "sha256").digest())
        self._complete(path)

    def abandon(self) -> None:
        if self._sink is not None:
            self._sink.close()
        self._writer = self._sink = None


class Uploads:
    """Uploads files of one load to the stage in the background, and deletes them here when they are
    there.

    Each upload under way has a session of its own, opened when it is first needed and used again by
    the next.
    """

    def __init__(self, settings: SnowflakeSettings, tag: str) -> None:
        self._settings, self._tag = settings, tag
        self._pool = ThreadPoolExecutor(settings.parallel_uploads, thread_name_prefix="upload")
        self._room = threading.BoundedSemaphore(
            2 * settings.parallel_uploads
        )  # bounds the disk: reading waits for uploading
        self._pending: list[Future[None]] = []
        self._idle: list[SnowflakeConnection] = []
        self.begun = False

    def submit(self, file: Path, folder: str) -> None:
        """Upload a file into a folder of the stage; raises what an earlier upload has raised."""
        self._raise_failures()
        self.begun = True
        self._room.acquire()
        self._pending.append(self._pool.submit(self._upload, file, folder))

    def finish(self) -> None:
        """Wait until every file is on the stage."""
        pending, self._pending = self._pending, []
        for upload in pending:
            upload.result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        while self._idle:
            with suppress(Exception):
                self._idle.pop().close()

    def _raise_failures(self) -> None:
        done = [upload for upload in self._pending if upload.done()]
        self._pending = [upload for upload in self._pending if not upload.done()]
        for upload in done:
            upload.result()

    def _upload(self, file: Path, folder: str) -> None:
        try:
            retried(self._settings, self._put, file, folder)
        finally:
            self._room.release()
        file.unlink()

    def _put(self, file: Path, folder: str) -> None:
        import snowflake.connector.errors

        try:
            connection = self._idle.pop()
        except IndexError:
            connection = None
        try:
            connection = connection or connect(self._settings, tag=self._tag)
            source = str(file).replace("\\", "\\\\").replace("'", "\\'")
            found = rows(
                connection,
                f"put 'file://{source}' @{STAGE}/{folder} auto_compress = false source_compression "
                "= none "
                f"overwrite = true parallel = {self._settings.parallel_uploads}",
            )
        except (snowflake.connector.errors.Error, OSError) as error:
            if connection is not None:
                with suppress(Exception):
                    connection.close()
            raise explain(error, self._settings, f"take the file {file.name} of {folder}") from None
        self._idle.append(connection)
        if [row[6] for row in found] != ["UPLOADED"]:
            raise WarehouseUnavailableError(
                f"Snowflake did not take the file {file.name} of {folder}: {found[0][6]} "
                f"{found[0][7]}"
            )
