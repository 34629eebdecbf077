"""An analyst's own place to try dbt in: target ``dev``, which never touches what the pipeline owns.

On DuckDB it is a copy of the warehouse's files in ``dev`` below ``WAREHOUSE_DUCKDB_DIR``. dbt opens
only the copies, so it can neither write what the pipeline builds nor stop a load, whatever it runs
and however long. The pipeline's writers wait while a file is copied, and no longer.

    dev/ecommerce_raw.duckdb          copied again whenever the pipeline has loaded something
    dev/ecommerce_staging.duckdb      copied once: from then on it is what the analyst has built
    dev/ecommerce_analytics.duckdb    the same

On Snowflake it is schemas of one's own, ``DEV_<user>_...``, written by a role that may only read
the others; there is nothing to copy.
"""

from __future__ import annotations

import getpass
import re
import shutil
from pathlib import Path

from pipeline.errors import MissingInputError
from transform.project import Project
from warehouse.settings import WarehouseSettings

RAW = "ecommerce_raw"
COPIED = (RAW, "ecommerce_staging", "ecommerce_analytics")


def prepare(project: Project, *, fresh: bool = False) -> dict[str, str]:
    """Bring the place up to date and return the environment that makes plain ``dbt`` use it.

    ``fresh`` throws away what was built there and starts from the pipeline's state again.

    Raises:
        MissingInputError: the pipeline has not built anything yet.
        WarehouseUnavailableError: the pipeline kept its files locked for the whole waiting time.
    """
    is_duckdb = project.warehouse.kind == "duckdb"
    if is_duckdb:
        _copy_files(project.warehouse, fresh=fresh)
    return {
        **({"WAREHOUSE_DUCKDB_DIR": str(project.warehouse.duckdb_dir)} if is_duckdb else {}),
        "DBT_PROJECT_DIR": str(project.dbt.project_dir),
        "DBT_PROFILES_DIR": str(project.dbt.profiles_dir or project.dbt.project_dir),
        "DBT_TARGET": "dev" if is_duckdb else "dev_snowflake",
        # Of its own: dbt's kept parse is of one target.
        "DBT_TARGET_PATH": str(project.dbt.target / "dev"),
        "DBT_LOG_PATH": str(project.dbt.logs / "dev"),
        "DBT_DEV_USER": re.sub(r"\W", "_", getpass.getuser()).upper(),
    }


def _copy_files(warehouse: WarehouseSettings, *, fresh: bool) -> None:
    from warehouse.duckdb.lock import warehouse_lock

    folder = warehouse.duckdb_dir / "dev"
    files = [
        (warehouse.duckdb_dir / f"{name}.duckdb", folder / f"{name}.duckdb") for name in COPIED
    ]
    for theirs, _ in files:
        if not theirs.exists():
            raise MissingInputError(
                f"There is no {theirs} yet: run `make demo`, or a day of the pipeline, first."
            )
    needed = [
        (theirs, own)
        for theirs, own in files
        if fresh or not own.exists() or (own.stem == RAW and _version(own) != _version(theirs))
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
