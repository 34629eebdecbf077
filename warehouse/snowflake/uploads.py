"""Uploads staged files as soon as each is complete, several at a time; the disk stays flat."""

from __future__ import annotations

import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import snowflake.connector.errors

from pipeline.errors import WarehouseUnavailableError
from warehouse.base import retried
from warehouse.snowflake.errors import explain
from warehouse.snowflake.session import SnowflakeSession, connect, query_tag
from warehouse.staging import Files, safe

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

    from warehouse.snowflake.warehouse import SnowflakeWarehouse

STAGE = "LOADS.STAGED"


class Uploads(Files):
    """Each upload under way has a connection of its own, used again by the next.

    The folder here is this process's alone, also where others work on the same load; on the stage
    each load has one.
    """

    compression: Literal["none", "zstd"] = "zstd"

    def __init__(self, warehouse: SnowflakeWarehouse, load_id: str, **about: str) -> None:
        self._settings, self._warehouse, self._about = warehouse.settings, warehouse, about
        own = f"{safe(load_id)}-{secrets.token_hex(3)}"
        super().__init__(self._settings.staging_dir / own, load_id)
        self.file_bytes = self._settings.part_mb * 2**20
        at_once = self._settings.parallel_uploads
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="upload")
        # Bounds the disk: reading waits for uploading.
        self._room = threading.BoundedSemaphore(2 * at_once)
        self._pending: list[Future[None]] = []
        self._idle: list[SnowflakeConnection] = []
        self.have_begun = False

    def keep(self, file: Path) -> None:
        for upload in [upload for upload in self._pending if upload.done()]:
            self._pending.remove(upload)
            upload.result()
        if not self.have_begun:
            self._warehouse.prepare(**self._about)  # the stage
            self.have_begun = True
        self._room.acquire()
        self._pending.append(self._pool.submit(self._upload, file))

    def finish(self) -> None:
        pending, self._pending = self._pending, []
        for upload in pending:
            upload.result()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        while self._idle:
            with suppress(Exception):
                self._idle.pop().close()

    def _upload(self, file: Path) -> None:
        try:
            retried(self._settings.max_tries, lambda: self._put(file))
        finally:
            self._room.release()
        file.unlink()

    def _put(self, file: Path) -> None:
        folder = file.parent.relative_to(self.root)
        source = str(file).replace("\\", "\\\\").replace("'", "\\'")
        connection = self._idle.pop() if self._idle else None
        try:
            connection = connection or connect(self._settings, tag=query_tag(**self._about))
            ((*_, status, message),) = SnowflakeSession(connection, self._settings).rows(
                f"put 'file://{source}' @{STAGE}/{folder} auto_compress = false "
                "source_compression = none overwrite = true "
                f"parallel = {self._settings.parallel_uploads}"
            )
        except (snowflake.connector.errors.Error, OSError) as error:
            if connection is not None:
                with suppress(Exception):
                    connection.close()
            raise explain(error, self._settings, f"take the file {file.name} of {folder}") from None
        self._idle.append(connection)
        if status != "UPLOADED":
            raise WarehouseUnavailableError(
                f"Snowflake did not take the file {file.name} of {folder}: {status} {message}"
            )
