"""What the transformation needs of the embedded warehouse beside dbt: rows per model, failing rows,
the history of runs.

All functions expect the caller to hold the warehouse's lock
(``warehouse.duckdb.warehouse.warehouse_lock``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline.errors import WarehouseUnavailableError
from warehouse.settings import WarehouseSettings

RAW, STAGING, ANALYTICS = "ecommerce_raw", "ecommerce_staging", "ecommerce_analytics"

_HISTORY = f"{ANALYTICS}.transform.runs"
_UNFINISHED = f"""
    select 1 from {ANALYTICS}.intermediate.int_build_window
    where is_whole and build_number > (select coalesce(max(build_number), 0) from {ANALYTICS}.intermediate.built_until)
"""  # noqa: S608
_CREATE_HISTORY = f"""
create schema if not exists {ANALYTICS}.transform;
create table if not exists {_HISTORY} (
    step varchar not null, day date not null, started_at timestamp not null, finished_at timestamp not null,
    succeeded boolean not null, project varchar not null,
    raw_state varchar not null, load_ids json not null, rows_loaded json not null, results json not null
)"""


def database_file(settings: WarehouseSettings, database: str) -> Path:
    return settings.duckdb_dir / f"{database}.duckdb"


def quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


@contextmanager
def connect(
    settings: WarehouseSettings, *, read_only: bool = True
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that sees the three databases under their own names, those of them that exist."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for database in (RAW, STAGING, ANALYTICS):
            file = database_file(settings, database)
            if file.exists() or (not read_only and database == ANALYTICS):
                mode = "" if not read_only and database == ANALYTICS else "(read_only)"
                try:
                    connection.execute(f"attach {quoted(file)} as {database} {mode}")
                except duckdb.IOException as error:
                    raise unavailable(file, error) from error
        yield connection


def unavailable(file: Path, error: Exception) -> WarehouseUnavailableError:
    """DuckDB's own words for it name the process that has the file open."""
    return WarehouseUnavailableError(
        f"{file.name} cannot be opened: {error}. Is a shell or a tool open on it? People should "
        "open the published file."
    )


def count_rows(connection: duckdb.DuckDBPyConnection, relation: str) -> int | None:
    """Rows of a relation, None where it is gone."""
    try:
        row = connection.execute(f"select count(*) from {relation}").fetchone()  # noqa: S608 - dbt's own quoted name
    except duckdb.CatalogException:
        return None
    return int(row[0]) if row else None


def first_rows(
    connection: duckdb.DuckDBPyConnection, relation: str, limit: int
) -> list[dict[str, Any]]:
    """The first rows of a table of failures, column name to value."""
    cursor = connection.execute(f"select * from {relation} limit {limit}")  # noqa: S608
    names = [column[0] for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@dataclass(frozen=True)
class RawState:
    """What the raw tables hold: ``state`` changes with every load; the newest load of the day per
    source, and its rows.
    """

    state: str
    load_ids: dict[str, str]
    rows_loaded: dict[str, int]


def raw_state(connection: duckdb.DuckDBPyConnection, day: date) -> RawState:
    try:
        rows = connection.execute(
            f"""select source, load_id, committed_at, day, rows_extracted from {RAW}.loads.load_records
                order by committed_at, load_id"""  # noqa: S608
        ).fetchall()
    except duckdb.CatalogException:
        return RawState("empty", {}, {})
    newest = f"{len(rows)} loads, newest {rows[-1][1]} at {rows[-1][2]}" if rows else "empty"
    of_day = {row[0]: row for row in rows if row[3] == day}
    ids = {source: row[1] for source, row in of_day.items()}
    return RawState(newest, ids, {source: int(row[4]) for source, row in of_day.items()})


@dataclass(frozen=True)
class Run:
    """One finished step in the history: staging, intermediate, marts or test."""

    step: str
    day: date
    started_at: datetime
    finished_at: datetime
    succeeded: bool
    project: str
    raw: RawState
    results: list[dict[str, Any]]

    @property
    def rules(self) -> str:
        """Hash of the SQL, seeds and variables it ran with (``Project.rules``)."""
        return self.project.partition(":")[0]


def record_run(connection: duckdb.DuckDBPyConnection, run: Run) -> None:
    connection.execute(_CREATE_HISTORY)
    values = [run.step, run.day, run.started_at, run.finished_at, run.succeeded, run.project]
    texts = [run.raw.state, *map(json.dumps, (run.raw.load_ids, run.raw.rows_loaded, run.results))]
    connection.execute(
        f"insert into {_HISTORY} values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values + texts
    )  # noqa: S608


def a_whole_build_is_unfinished(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the last build began as a full refresh and has not reached its end, which the table
    `built_until` notes.
    """
    try:
        return bool(connection.execute(_UNFINISHED).fetchone())
    except duckdb.CatalogException:
        return False


def latest_run(
    connection: duckdb.DuckDBPyConnection, step: str | None = None, *, succeeded: bool = False
) -> Run | None:
    """The run that finished last, of one step or of all; the last that succeeded, if asked for."""
    condition = "where (step = ? or ? is null) and (succeeded or not ?)"
    try:
        row = connection.execute(
            f"""select step, day, started_at, finished_at, succeeded, project, raw_state, load_ids, rows_loaded, results
                from {_HISTORY} {condition} order by finished_at desc limit 1""",  # noqa: S608
            [step, step, succeeded],
        ).fetchone()
    except duckdb.CatalogException:
        return None
    if row is None:
        return None
    step_, day, started_at, finished_at, succeeded, project, state, *texts = row
    load_ids, rows_loaded, results = map(json.loads, texts)
    return Run(
        step_,
        day,
        started_at,
        finished_at,
        succeeded,
        project,
        RawState(state, load_ids, rows_loaded),
        results,
    )
