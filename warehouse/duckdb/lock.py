"""The lock around DuckDB's files: one process writes, or several read, each as long as it must."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import portalocker
from portalocker import AlreadyLocked, LockFlags
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random

from pipeline.errors import WarehouseUnavailableError
from warehouse.settings import WarehouseSettings

LOCK_FILE = "warehouse.lock"
_POLL = wait_random(0.005, 0.05)  # seconds; random, so that waiting processes do not move in step


@contextmanager
def warehouse_lock(settings: WarehouseSettings, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock that everybody takes who opens a DuckDB file of the warehouse.

    The lock goes with the process that holds it, however that ends. It is not re-entrant.

    Args:
        settings: says where the files are and how long to wait
            (``WAREHOUSE_LOCK_TIMEOUT_SECONDS``).
        shared: for readers, who exclude writers but not each other.

    Raises:
        WarehouseUnavailableError: somebody else held it for the whole time; the text says who.
    """
    path = settings.duckdb_dir / LOCK_FILE
    try:
        settings.duckdb_dir.mkdir(parents=True, exist_ok=True)
        file = path.open("a+")
    except OSError as error:
        raise WarehouseUnavailableError(
            f"The warehouse folder {settings.duckdb_dir} cannot be used: {error.strerror}. Check "
            "WAREHOUSE_DUCKDB_DIR."
        ) from error
    kind = LockFlags.SHARED if shared else LockFlags.EXCLUSIVE
    waiting = Retrying(
        retry=retry_if_exception_type(AlreadyLocked),
        stop=stop_after_delay(settings.lock_timeout_seconds),
        wait=_POLL,
        reraise=True,
    )
    with file:
        try:
            waiting(portalocker.lock, file, kind | LockFlags.NON_BLOCKING)
        except AlreadyLocked:
            raise WarehouseUnavailableError(
                f"The warehouse has been locked for more than "
                f"{settings.lock_timeout_seconds:g} seconds (last writer: "
                f"{path.read_text() or 'unknown'}). Wait until that process has ended, or "
                "raise WAREHOUSE_LOCK_TIMEOUT_SECONDS."
            ) from None
        if not shared:
            file.truncate(0)
            file.write(f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
            file.flush()
        yield
