"""Runs dbt inside this process. Everything that reaches into dbt's insides is in this module.

Starting dbt costs more than the SQL of a day: importing it, then parsing the project. The parsed
project is kept as long as no file of it changes, also across a fork, so a process that runs dbt
twice or was forked from one that called ``preload`` pays neither again. dbt's own partial-parse
file in the target folder makes parsing cheap for all other processes.

Written for the versions in ``MADE_FOR``. ``tests/transform/test_dbt_runner.py`` fails when another
one is installed and says what to look at.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

import portalocker

from pipeline.errors import WarehouseUnavailableError
from pipeline.settings import settings as configured
from transform.errors import ProjectError
from transform.project import Project, project

logger = logging.getLogger(__name__)

MADE_FOR = {"dbt-core": "1.11", "dbt-common": "1.39", "dbt-duckdb": "1.11"}

# Project -> (fingerprint, dbt's manifest). Forked processes inherit it.
_parsed: dict[Project, tuple[str, Any]] = {}

# Of what parse() froze: DuckDB's bindings would call what is left at the end of the process a leak.
atexit.register(gc.unfreeze)


def run(project: Project, arguments: Sequence[str], day: date | None = None) -> Any:
    """Run one dbt command and return dbt's own result (a ``RunExecutionResult``).

    Nodes that failed are in the result and raise nothing. ``day`` reaches the query tag on
    Snowflake.

    Raises:
        ProjectError: dbt could not start: a broken project, profile or selection.
        WarehouseUnavailableError: the warehouse's files could not be opened or written.
    """
    manifest = parse(project)
    # Without the two options each run writes the whole manifest again and lists every schema of the
    # warehouse: half of a layer's time. Parsing has written the manifest; the history of runs has
    # the results.
    saved = ("--no-write-json", "--cache-selected-only")
    threads = ("--threads", str(project.dbt.threads))
    return invoke(project, [*saved, *arguments, *threads], manifest, day)


def parse(project: Project) -> Any:
    """dbt's manifest of the project: the kept one while nothing has changed, else a new one."""
    kept = _parsed.get(project)
    fingerprint = project.fingerprint()
    if kept and kept[0] == fingerprint:
        return kept[1]
    project.dbt.target.mkdir(parents=True, exist_ok=True)
    # dbt writes its partial-parse file in place: two processes that parse at once would tear it.
    with portalocker.Lock(project.dbt.target / "parse.lock", flags=portalocker.LOCK_EX):
        manifest = invoke(project, ["parse"])
    _parsed[project] = (fingerprint, manifest)
    gc.freeze()  # a collection in the middle of a build need not walk through the manifest
    return manifest


def preload() -> bool:
    """Import dbt and parse the configured project, for the processes that are forked from this one.

    Measured with a layer of ten views in a project of 27 models and 300 tests: 4.4 s of processor
    time in a new process, 1.8 s in a preloaded one. A project that cannot be parsed is no reason
    for Airflow not to start: it is logged, and the tasks say what is wrong.
    """
    try:
        parse(project())
    except Exception as error:
        logger.warning("The dbt project is not preloaded: %s", error)
        return False
    finally:
        configured.cache_clear()  # task processes read the settings of their own time
        # What has been imported by now stays. A collection in a task process would walk through all
        # of it and copy the pages it is on (116 MB); a dbt run takes 0.2 s of processor time less.
        gc.freeze()
    return True


def invoke(
    project: Project, arguments: Sequence[str], manifest: Any = None, day: date | None = None
) -> Any:
    """Call dbt with the project's folders, on a manifest if there is one; see ``run``."""
    _use_thread_locks()
    from dbt.cli.main import dbtRunner
    from dbt_common.events.event_manager_client import ctx_set_event_manager
    from dbt_common.exceptions import DbtBaseException

    # Each statement in the log file costs a tenth of a build whose models are small:
    # DBT_LOG_LEVEL_FILE=debug brings them back.
    file_level = os.environ.get("DBT_LOG_LEVEL_FILE", "info")
    quiet = ["--log-level", "none", "--log-level-file", file_level]
    quiet += ["--no-use-colors", "--no-send-anonymous-usage-stats"]
    options = [
        *("--project-dir", str(project.dbt.project_dir)),
        *("--profiles-dir", str(project.dbt.profiles_dir or project.dbt.project_dir)),
        *("--target", project.warehouse.kind),
        *("--target-path", str(project.dbt.target)),
        *("--log-path", str(project.dbt.logs)),
    ]
    ctx_set_event_manager(_event_manager(file_level))
    # Nothing that differs from run to run may be there while dbt parses: it would parse again.
    variables = project.environment | ({} if manifest is None else project.environment_of_run(day))
    with environment(variables):
        runner = dbtRunner(manifest=manifest, callbacks=[_forward])
        outcome = runner.invoke([*quiet, *arguments, *options])
    _release_duckdb()
    if outcome.exception is None:
        found: Any = outcome.result
        if hasattr(found, "results"):  # those of hooks are of no model and no test
            found.results = [one for one in found.results if one.node.resource_type != "operation"]
        return found
    if isinstance(outcome.exception, DbtBaseException):
        text = str(outcome.exception).strip()
        # DuckDB: the file is open elsewhere, or the disk is full. The next try may succeed.
        if "IO Error" in text:
            raise WarehouseUnavailableError(
                f"dbt could not use the warehouse: {text}"
            ) from outcome.exception
        raise ProjectError(f"dbt could not run `{arguments[0]}`: {text}") from outcome.exception
    raise outcome.exception  # a time limit or Ctrl-C, which dbt catches like any other


class _ThreadLocks:
    """The part of a ``multiprocessing`` context that dbt uses, with locks between threads.

    dbt makes its locks in such a context, yet starts threads only. A lock between processes is a
    named semaphore, a file in shared memory that is removed when the process ends in good order;
    Airflow ends its task processes with ``os._exit``, so each left some behind. And the lock of a
    manifest that was parsed before the fork would be one lock in all task processes: one of them
    killed while it holds the lock would stop every later one.
    """

    Lock = staticmethod(threading.Lock)
    RLock = staticmethod(threading.RLock)


def _use_thread_locks() -> None:
    """To be called before dbt is imported: its manifest takes the context's lock at import."""
    import dbt.mp_context

    context: Any = _ThreadLocks()
    dbt.mp_context._MP_CONTEXT = context


def _event_manager(level: str) -> Any:
    """dbt's event manager, without the debug events unless ``level`` is "debug".

    There are several for each statement, and each is formatted although no log takes it.
    """
    from dbt_common.events.base_types import BaseEvent, EventLevel
    from dbt_common.events.event_manager import EventManager

    class WithoutDebug(EventManager):
        def fire_event(
            self,
            e: BaseEvent,
            level: EventLevel | None = None,
            node: Any = None,
            force_warn_or_error_handling: bool = False,
        ) -> None:
            if force_warn_or_error_handling or (level or e.level_tag()) != EventLevel.DEBUG:
                super().fire_event(e, level, node, force_warn_or_error_handling)

    return EventManager() if level == "debug" else WithoutDebug()


def _forward(event: Any) -> None:
    """Log an event of dbt's. Its own console output is off, so each line appears once."""
    levels = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
    level, text = levels.get(str(event.info.level)), event.info.msg.strip()
    if level is not None and text:
        logger.log(level, "%s", text)


def _release_duckdb() -> None:
    """Close the files that dbt-duckdb keeps open until the process ends: others wait for them."""
    connections = sys.modules.get("dbt.adapters.duckdb.connections")
    manager = connections and connections.DuckDBConnectionManager
    if manager and manager._ENV is not None:
        manager._ENV.close()
        manager.close_all_connections()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time of a block; afterwards they are as they were."""
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
