"""Runs dbt inside this process, on a parsed project that is kept as long as no file of it changes.

Starting dbt costs more than the day's SQL: importing it, then parsing the project. A process that
runs dbt twice, or was forked from one that preloaded it (``transform.preload``), pays neither
again. dbt's own partial-parse file in the target folder makes parsing cheap for all the others.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pipeline.errors import WarehouseUnavailableError
from pipeline.settings import settings as configured
from transform.errors import ProjectError
from transform.events import event_manager
from transform.settings import TransformSettings
from transform.thread_locks import use_thread_locks
from warehouse.settings import WarehouseSettings

logger = logging.getLogger(__name__)

# A change of one of these can change what the project compiles to, so it counts as a change of the
# project.
_ENVIRONMENT = ("DBT_", "WAREHOUSE_", "SNOWFLAKE_")
_RULES = ("models", "macros", "snapshots", "seeds")
VACUUM_WEEKDAY = 6  # Sunday
_NOT_PROJECT = {"target", "logs", "dbt_packages", "__pycache__", ".user.yml"}

atexit.register(
    gc.unfreeze
)  # of what parse() freezes: else DuckDB's bindings call what is left at the end a leak


@dataclass(frozen=True)
class Project:
    """One dbt project on one warehouse."""

    dbt: TransformSettings
    warehouse: WarehouseSettings

    @property
    def environment(self) -> dict[str, str]:
        """What ``profiles.yml`` reads by ``env_var``, so that dbt and the loader always mean the
        same warehouse.
        """
        account = {}
        if self.warehouse.kind == "snowflake":
            from transform import snowflake

            account = snowflake.environment()
        return account | {
            "WAREHOUSE_KIND": self.warehouse.kind,
            "WAREHOUSE_DUCKDB_DIR": str(self.warehouse.duckdb_dir.resolve()),
            "DBT_THREADS": str(self.dbt.threads),
        }

    def fingerprint(self) -> str:
        """Changes whenever a file of the project or an environment variable it can read changes."""
        digest = hashlib.sha256()
        folders = {self.dbt.project_dir, self.dbt.profiles_dir or self.dbt.project_dir}
        skipped = {self.dbt.target.resolve(), self.dbt.logs.resolve()}
        for folder in sorted(folders):
            for path, stat in _files(folder, skipped):
                digest.update(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}\0".encode())
        variables = {
            name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)
        } | self.environment
        digest.update(repr(sorted(variables.items())).encode())
        return digest.hexdigest()

    def rules(self) -> str:
        """Changes with the content of a file that decides what a mart holds: SQL, seeds, variables."""
        digest, folder = hashlib.sha256(), self.dbt.project_dir
        for path, _ in sorted(_files(folder, {self.dbt.target.resolve(), self.dbt.logs.resolve()})):
            name = Path(path).relative_to(folder)
            if name.name == "dbt_project.yml" or (
                name.parts[0] in _RULES and name.suffix in (".sql", ".csv")
            ):
                digest.update(f"{name}\0".encode() + Path(path).read_bytes() + b"\0")
        return digest.hexdigest()


_parsed: dict[
    Project, tuple[str, Any]
] = {}  # project -> (fingerprint, dbt's Manifest); inherited by forked processes


def project(
    dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> Project:
    """The configured project, or the given one."""
    return Project(dbt or configured(TransformSettings), warehouse or configured(WarehouseSettings))


def _files(folder: Path, skipped: set[Path]) -> Iterator[tuple[str, os.stat_result]]:
    if not folder.is_dir():
        raise ProjectError(
            f"There is no dbt project at {folder}. DBT_PROJECT_DIR names the folder that holds "
            "dbt_project.yml."
        )
    pending = [folder]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                path = Path(entry.path)
                if entry.name in _NOT_PROJECT or path.resolve() in skipped:
                    continue
                if entry.is_dir():
                    pending.append(path)
                else:
                    yield entry.path, entry.stat()


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _one_parser_at_a_time(target: Path) -> Iterator[None]:
    """dbt writes its partial-parse file in place: two processes that parse at once would tear it."""
    target.mkdir(parents=True, exist_ok=True)
    with (target / "parse.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _forward(event: Any) -> None:
    """dbt's events as log records of ours; its own console output is switched off, so each line
    appears once.
    """
    level = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}.get(
        str(event.info.level)
    )
    if level is not None and event.info.msg.strip():
        logger.log(level, "%s", event.info.msg.strip())


def invoke(
    project: Project, arguments: Sequence[str], manifest: Any = None, day: date | None = None
) -> Any:
    use_thread_locks()
    from dbt.cli.main import dbtRunner
    from dbt_common.events.event_manager_client import ctx_set_event_manager
    from dbt_common.exceptions import DbtBaseException

    options = [
        *("--project-dir", str(project.dbt.project_dir)),
        *("--profiles-dir", str(project.dbt.profiles_dir or project.dbt.project_dir)),
        *("--target", project.warehouse.kind),
        *("--target-path", str(project.dbt.target)),
        *("--log-path", str(project.dbt.logs)),
    ]
    # Each statement in the log file costs a tenth of a build whose models are small:
    # DBT_LOG_LEVEL_FILE=debug brings them back.
    file_level = os.environ.get("DBT_LOG_LEVEL_FILE", "info")
    ctx_set_event_manager(event_manager(file_level))
    quiet = [
        "--log-level",
        "none",
        "--log-level-file",
        file_level,
        "--no-use-colors",
        "--no-send-anonymous-usage-stats",
    ]
    with _environment(
        project.environment | (_of_this_run(project, day) if manifest is not None else {})
    ):
        outcome = dbtRunner(manifest=manifest, callbacks=[_forward]).invoke(
            [*quiet, *arguments, *options]
        )
    _release_duckdb()
    if outcome.exception is None:
        return outcome.result
    if isinstance(outcome.exception, DbtBaseException):
        text = str(outcome.exception).strip()
        if (
            "IO Error" in text
            # DuckDB: the file is open elsewhere, or the disk is full; the next try may find it
            # otherwise
        ):
            raise WarehouseUnavailableError(
                f"dbt could not use the warehouse: {text}"
            ) from outcome.exception
        raise ProjectError(f"dbt could not run `{arguments[0]}`: {text}") from outcome.exception
    raise outcome.exception  # a time limit or Ctrl-C, which dbt catches like any other


def _of_this_run(project: Project, day: date | None) -> dict[str, str]:
    """What ``profiles.yml`` reads that differs from run to run: nothing that parsing looks at, else
    dbt would parse again.
    """
    if project.warehouse.kind == "snowflake":
        from transform import snowflake

        return snowflake.run_tag(day)
    # On DuckDB a build leaves deleted rows where they are, but for one day in seven: being rid of
    # them is writing tables anew.
    return {
        "ECOMMERCE_VACUUM_TASKS": "100" if day is None or day.weekday() == VACUUM_WEEKDAY else "0"
    }


def _release_duckdb() -> None:
    """Close the files that dbt-duckdb keeps open until the process ends: others are waiting for
    them.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    environment: Any = DuckDBConnectionManager._ENV
    if environment is not None:
        environment.close()
        DuckDBConnectionManager.close_all_connections()  # type: ignore[no-untyped-call]


def parse(project: Project) -> Any:
    """dbt's manifest of the project: the kept one while nothing has changed, else a new one."""
    kept = _parsed.get(project)
    fingerprint = project.fingerprint()
    if kept and kept[0] == fingerprint:
        return kept[1]
    with _one_parser_at_a_time(project.dbt.target):
        manifest = invoke(project, ["parse"])
    _parsed[project] = (fingerprint, manifest)
    gc.freeze()  # it stays: a collection in the middle of a build need not walk through all of it
    return manifest


def run(project: Project, arguments: Sequence[str], day: date | None = None) -> Any:
    """Run one dbt command and return dbt's own result (a ``RunExecutionResult``), also when nodes
    have failed.

    Raises ``ProjectError`` where dbt could not start: a broken project, profile or selection.
    """
    manifest = parse(project)
    # Without the two options dbt writes the whole manifest again and lists every schema of the
    # warehouse, in each run: half of a layer's time. The manifest was written when the project was
    # parsed; the results are in the history of runs.
    saved = ("--no-write-json", "--cache-selected-only")
    return invoke(
        project, [*saved, *arguments, "--threads", str(project.dbt.threads)], manifest, day
    )
