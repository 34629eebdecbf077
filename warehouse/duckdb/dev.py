"""A copy of the warehouse's files for a person, in ``dev`` below ``WAREHOUSE_DUCKDB_DIR``.

dbt opens only the copies, so it can neither write what the pipeline builds nor stop a load,
whatever it runs and however long. The pipeline's writers wait while a file is copied, and no
longer.

    dev/ecommerce_raw.duckdb          copied again whenever the pipeline has loaded something
    dev/ecommerce_staging.duckdb      copied once: from then on it is what the person has built
    dev/ecommerce_analytics.duckdb    the same
"""

from __future__ import annotations

import shutil
from pathlib import Path

from pipeline.errors import MissingInputError
from warehouse.duckdb.lock import warehouse_lock
from warehouse.session import ANALYTICS, RAW, STAGING
from warehouse.settings import WarehouseSettings


def copy_files(warehouse: WarehouseSettings, *, fresh: bool) -> None:
    """Bring the copies up to date; ``fresh`` replaces all of them.

    Raises:
        MissingInputError: the pipeline has not built anything yet.
        WarehouseUnavailableError: the pipeline kept its files locked for the whole waiting time.
    """
    folder = warehouse.duckdb_dir / "dev"
    names = [f"{database.lower()}.duckdb" for database in (RAW, STAGING, ANALYTICS)]
    files = [(warehouse.duckdb_dir / name, folder / name) for name in names]
    for theirs, _ in files:
        if not theirs.exists():
            raise MissingInputError(
                f"There is no {theirs} yet: run `make demo`, or a day of the pipeline, first."
            )
    needed = [
        (theirs, own)
        for theirs, own in files
        if fresh or not own.exists() or (own.name == names[0] and _version(own) != _version(theirs))
    ]
    if needed:
        folder.mkdir(exist_ok=True)
        with warehouse_lock(warehouse, shared=True):
            for theirs, own in needed:
                _copy(theirs, own)


def _version(file: Path) -> tuple[int, int]:
    return file.stat().st_mtime_ns, file.stat().st_size


def _copy(theirs: Path, own: Path) -> None:
    """A file and its log of changes, which is there when the last writer was killed."""
    unfinished, log = own.with_suffix(".unfinished"), own.with_suffix(".duckdb.wal")
    log.unlink(missing_ok=True)
    if theirs.with_suffix(".duckdb.wal").exists():
        shutil.copy2(theirs.with_suffix(".duckdb.wal"), log)
    shutil.copy2(theirs, unfinished)  # with its time, by which the next command knows it
    unfinished.replace(own)
