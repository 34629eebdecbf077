"""Where staged files wait: a folder per load, and the check of what goes into them.

<root>/<load>/owner.lock               held by every process that works on it; free: nobody does
<root>/<load>/<table>/<part>/*.parquet
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import portalocker
from portalocker import LockFlags

from pipeline.errors import WarehouseUnavailableError
from warehouse.manifest import KEPT

OWNER, SHARED = "owner.lock", "shared.lock"


class Files(ABC):
    """The staged files of one load, as far as this process makes them.

    Attributes:
        root: paths in the manifest are relative to it.
        compression: of the Parquet files.
        file_bytes: about the size at which a file ends and the next one begins.
        are_loaded: the load is committed, nobody needs the files any more.
    """

    compression: Literal["none", "zstd"] = "none"
    file_bytes = 16 * 2**20

    def __init__(self, root: Path, load_id: str) -> None:
        self.root, self.folder = root, root / safe(load_id)
        self.are_loaded = False

    @abstractmethod
    def keep(self, file: Path) -> None:
        """Take a file that is complete; raises what went wrong with an earlier one."""

    @abstractmethod
    def finish(self) -> None:
        """Wait until each file is where the commit looks for it."""


def safe(name: str) -> str:
    """A name for a folder or a table, however the id of a load is written."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", name)
    if plain == name:
        return plain
    return f"{plain[:60]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@contextmanager
def load_folder(folder: Path, *, shared: bool) -> Iterator[None]:
    """Hold the folder of a load, and sweep those on which no process works any more.

    The folder of a shared load stays, until somebody removes it or nobody has touched it for two
    days.
    """
    root = folder.parent
    try:
        root.mkdir(parents=True, exist_ok=True)
        with (root / ".lock").open("a") as everyone:
            portalocker.lock(everyone, LockFlags.EXCLUSIVE)
            _sweep(root, spare=folder)
            folder.mkdir(exist_ok=shared)
            held = (folder / (SHARED if shared else OWNER)).open("a")
            portalocker.lock(held, LockFlags.SHARED)
    except OSError as error:
        raise WarehouseUnavailableError(
            f"Rows cannot be staged in {root}: {error.strerror}. They need a folder there."
        ) from error
    with held:
        try:
            yield
        finally:
            if not shared:
                shutil.rmtree(folder, ignore_errors=True)


def _sweep(root: Path, spare: Path) -> None:
    for folder in root.iterdir():
        if folder == spare or not folder.is_dir():
            continue
        shared = (folder / SHARED).exists()
        newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
        if shared and time.time() - newest < KEPT.total_seconds():
            continue
        try:
            with (folder / (SHARED if shared else OWNER)).open("a") as owner:
                portalocker.lock(owner, LockFlags.EXCLUSIVE | LockFlags.NON_BLOCKING)
                shutil.rmtree(folder, ignore_errors=True)
        except portalocker.LockException:
            continue
