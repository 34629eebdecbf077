"""The history of dbt's runs, kept beside the marts, and what a run wants to know of relations.

Every function takes a session of ``Warehouse.marts()``; on DuckDB the caller holds
``Warehouse.lock()``.
"""

# ruff: noqa: S608 - names are dbt's own or fixed here, values are bound

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pipeline.contracts import BOOLEAN, DATE, TEXT, TIMESTAMP, Column
from warehouse.session import ANALYTICS, RAW, Session
from warehouse.tables import create_table

_COLUMNS = (
    *(Column("step", TEXT), Column("day", DATE)),
    *(Column("started_at", TIMESTAMP), Column("finished_at", TIMESTAMP)),
    *(Column("succeeded", BOOLEAN), Column("project", TEXT), Column("raw_state", TEXT)),
    *(Column("load_ids", TEXT), Column("rows_loaded", TEXT), Column("results", TEXT)),
)


@dataclass(frozen=True)
class RawState:
    """What the raw tables hold.

    Attributes:
        state: changes with every load.
        load_ids: the newest load of the day, by source.
        rows_loaded: the rows it read, by source.
    """

    state: str
    load_ids: dict[str, str]
    rows_loaded: dict[str, int]


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


def raw_state(session: Session, day: date) -> RawState:
    rows = session.rows_if_there(
        "select source, load_id, committed_at, day, rows_extracted "
        f"from {session.database(RAW)}.LOADS.LOAD_RECORDS order by committed_at, load_id"
    )
    if not rows:
        return RawState("empty", {}, {})
    newest = f"{len(rows)} loads, newest {rows[-1][1]} at {rows[-1][2]}"
    of_day = {row[0]: row for row in rows if row[3] == day}
    ids = {source: row[1] for source, row in of_day.items()}
    return RawState(newest, ids, {source: int(row[4]) for source, row in of_day.items()})


def _history(session: Session) -> str:
    return f"{session.database(ANALYTICS)}.transform.runs"


def record_run(session: Session, run: Run) -> None:
    schema = f"{session.database(ANALYTICS)}.transform"
    if session.rows_if_there(f"select 1 from {_history(session)} limit 1") is None:
        there = "select 1 from information_schema.schemata where upper(schema_name) = 'TRANSFORM'"
        if not session.rows(there):
            session.execute(f"create schema if not exists {schema}")
        create_table(session, _history(session), _COLUMNS)
    values = [run.step, run.day, run.started_at, run.finished_at, run.succeeded, run.project]
    texts = map(json.dumps, (run.raw.load_ids, run.raw.rows_loaded, run.results))
    session.insert(_history(session), [(*values, run.raw.state, *texts)])


def latest_run(session: Session, step: str | None = None, *, succeeded: bool = False) -> Run | None:
    """The run that finished last, of one step or of all; the last that succeeded, if asked for."""
    names = ", ".join(column.name for column in _COLUMNS)
    found = session.rows_if_there(
        f"select {names} from {_history(session)} where (step = ? or ? is null) "
        "and (succeeded or not ?) order by finished_at desc limit 1",
        [step, step, succeeded],
    )
    if not found:
        return None
    *values, state, load_ids, rows_loaded, results = found[0]
    step_, day, started_at, finished_at, has_succeeded, project = values
    raw = RawState(state, json.loads(load_ids), json.loads(rows_loaded))
    return Run(
        step_, day, started_at, finished_at, has_succeeded, project, raw, json.loads(results)
    )


def count_rows(session: Session, relations: Sequence[str]) -> dict[str, int]:
    """Rows of each relation, in one statement; a relation that is gone is left out."""
    counts = [
        f"select {number} as number, count(*) as row_count from {relation}"
        for number, relation in enumerate(relations)
    ]
    found = session.rows_if_there(" union all ".join(counts)) if counts else []
    if found is not None:
        return {relations[int(number)]: int(rows) for number, rows in found}
    if len(relations) == 1:
        return {}
    alone = (count_rows(session, [relation]) for relation in relations)
    return {relation: rows for counted in alone for relation, rows in counted.items()}


def first_rows(session: Session, relation: str, limit: int) -> list[dict[str, Any]]:
    """The first rows of a table of failures, column name to value."""
    names, rows = session.table(f"select * from {relation} limit {limit}")
    return [dict(zip(names, row, strict=True)) for row in rows]
