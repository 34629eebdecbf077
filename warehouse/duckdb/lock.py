"""The lock around DuckDB's files: one process writes, or several read, each only as long as it
must.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pipeline.errors import WarehouseUnavailableError
from warehouse.settings import WarehouseSettings

LOCK_FILE = "warehouse.lock"
_POLL_SECONDS = (0.005, 0.05)  # random in between, so that waiting processes do not move in step


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
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WarehouseUnavailableError(
            f"The warehouse folder {settings.duckdb_dir} cannot be used: {error.strerror}. Check "
            "WAREHOUSE_DUCKDB_DIR."
        ) from error
    try:
        _acquire(
            descriptor,
            fcntl.LOCK_SH if shared else fcntl.LOCK_EX,
            path,
            settings.lock_timeout_seconds,
        )
        if not shared:
            _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, operation: int, path: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise WarehouseUnavailableError(
                    f"The warehouse has been locked for more than {timeout:g} seconds (last "
                    f"writer: {_signature(path)}). "
                    "Wait until that process has ended, or raise WAREHOUSE_LOCK_TIMEOUT_SECONDS."
                ) from None
        time.sleep(random.uniform(*_POLL_SECONDS))  # noqa: S311


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(
        descriptor,
        f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC".encode(),
        0,
    )


def _signature(path: Path) -> str:
    try:
        return path.read_text() or "unknown"
    except OSError:
        return "unknown"
