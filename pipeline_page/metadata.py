"""Reads Airflow's metadata database for the page: which task ran for which day, how it went, and
what it returned.

Everything the page knows of Airflow's tables is in this module; a test runs each query against a
migrated database.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from airflow.models.asset import AssetPartitionDagRun
from airflow.models.dag import DagModel
from airflow.models.dagrun import DagRun
from airflow.models.errors import ParseImportError
from airflow.models.pool import Pool
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from sqlalchemy.orm import Session

from pipeline.day_report import DBT_DAG as DBT_DAG
from pipeline.days import DayError, known_day, parse_day, past_day
from pipeline.pool import PUBLISH_POOL, complaint_about
from pipeline.sources import SOURCES

REBUILD_DAG = "rebuild_day"
LAYERS = ("dbt_run_staging", "dbt_run_intermediate", "dbt_run_marts")
TEST, PUBLISH = "dbt_test_all", "publish_marts"
DBT_TASKS = (*LAYERS, TEST, PUBLISH)
# reads the load records: a source that is loaded after it is not in the marts
GATE = "all_extractions_complete"
LOAD_DAGS = tuple(source.dag_id for source in SOURCES)
_KEPT = {dag_id: (dag_id,) for dag_id in LOAD_DAGS} | {DBT_DAG: (GATE, *DBT_TASKS)}
RESULT = "return_value"


@dataclass(frozen=True)
class TaskRun:
    """The newest try of one task in one run. Times are UTC without a zone; ``result`` is what it
    returned.

    ``state`` is Airflow's; None where the scheduler has not looked at the task yet. ``tries`` is
    how many there are in all.
    """

    dag_id: str
    run_id: str
    task_id: str
    day: date
    run_type: str
    run_state: str
    run_started: datetime | None
    state: str | None
    try_number: int
    tries: int
    started: datetime | None
    ended: datetime | None
    result: Any = None

    @property
    def by_hand(self) -> bool:
        """Whether it was marked success without having done its work: then it returned nothing."""
        returns = self.task_id in (*LOAD_DAGS, TEST, PUBLISH)
        return self.state == "success" and returns and self.result is None

    @property
    def asks(self) -> bool:
        """Whether it waits for the answer of a person (Required Actions)."""
        return self.state == "awaiting_input"

    @property
    def succeeded(self) -> bool:
        return self.state == "success" and not self.by_hand

    @property
    def seconds(self) -> float | None:
        if self.started is None or self.ended is None:
            return None
        return (self.ended - self.started).total_seconds()


def task_runs(session: Session, first: date, dag_ids: Collection[str]) -> list[TaskRun]:
    """Every run of the loads and of dbt's steps for days from ``first`` on, oldest run first, of
    these DAGs only.
    """
    wanted = sa.or_(
        *(
            sa.and_(TaskInstance.dag_id == dag_id, TaskInstance.task_id.in_(ids))
            for dag_id, ids in _KEPT.items()
        )
    )
    result = sa.and_(
        XComModel.dag_run_id == DagRun.id,
        XComModel.task_id == TaskInstance.task_id,
        XComModel.map_index == TaskInstance.map_index,
        XComModel.key == RESULT,
        XComModel.task_id.not_in(
            (GATE, *LAYERS)
        ),  # long, and of use for the newest run only: see `slowest_models`
    )
    query = (
        sa.select(
            DagRun.dag_id,
            DagRun.run_id,
            DagRun.partition_key,
            DagRun.conf,
            DagRun.run_after,
            DagRun.run_type,
            DagRun.state.label("run_state"),
            DagRun.start_date.label("run_started"),
            TaskInstance.task_id,
            TaskInstance.state,
            TaskInstance.try_number,
            TaskInstance.max_tries,
            TaskInstance.start_date.label("started"),
            TaskInstance.end_date.label("ended"),
            XComModel.value.label("result"),
        )
        .join(
            TaskInstance,
            sa.and_(TaskInstance.dag_id == DagRun.dag_id, TaskInstance.run_id == DagRun.run_id),
        )
        .outerjoin(XComModel, result)
        .where(
            DagRun.dag_id.in_(set(dag_ids) & set(_KEPT)),
            wanted,
            # A run for an old day may be young; a run cannot be older than its day.
            DagRun.run_after >= datetime.combine(first, time(), UTC),
        )
        .order_by(DagRun.run_after, DagRun.id)
    )
    found = (_task_run(row) for row in session.execute(query))
    return [run for run in found if run and run.day >= first]


def _task_run(row: sa.Row[Any]) -> TaskRun | None:
    day = known_day(row)
    if day is None:
        return None
    return TaskRun(
        dag_id=row.dag_id,
        run_id=row.run_id,
        task_id=row.task_id,
        day=day,
        run_type=_plain(row.run_type),
        run_state=_plain(row.run_state),
        run_started=_utc(row.run_started),
        state=_plain(row.state) if row.state else None,
        try_number=row.try_number or 0,
        tries=(row.max_tries or 0) + 1,
        started=_utc(row.started),
        ended=_utc(row.ended),
        result=row.result,
    )


def first_day(session: Session) -> date | None:
    """The first day that all six sources have loaded; where there is none, the first that any has;
    None on a fresh installation.

    A day counts when a run with its key has loaded it: neither a run that failed nor one that was
    marked as done moves the beginning.
    """
    loads = (
        sa.select(DagRun.partition_key)
        .join(XComModel, XComModel.dag_run_id == DagRun.id)
        .where(
            DagRun.dag_id.in_(LOAD_DAGS),
            DagRun.partition_key.is_not(None),
            XComModel.task_id == DagRun.dag_id,
            XComModel.key == RESULT,
        )
        .group_by(DagRun.partition_key)
    )
    whole = loads.having(sa.func.count(DagRun.dag_id.distinct()) == len(LOAD_DAGS))
    for query in (whole, loads):
        first = session.scalar(query.order_by(DagRun.partition_key).limit(1))
        if first:
            return parse_day(first)
    return None


def obstacles(session: Session) -> list[str]:
    """What keeps the pipeline from running at all, a sentence each: paused DAGs, DAG files that
    cannot be read, a pool that is missing or too wide.
    """
    paused = session.scalars(
        sa.select(DagModel.dag_id)
        .where(DagModel.dag_id.in_((*LOAD_DAGS, DBT_DAG)), DagModel.is_paused)
        .order_by(DagModel.dag_id)
    ).all()
    said = []
    if paused:
        then = "days that wait are built then" if DBT_DAG in paused else "nothing is loaded by them"
        said.append(f"Paused: {', '.join(paused)}. Unpause them; {then}.")
    errors = sa.select(ParseImportError.filename, ParseImportError.stacktrace)
    for filename, trace in session.execute(errors.order_by(ParseImportError.filename)):
        last = (trace or "").strip().rpartition("\n")[2]
        said.append(f"The DAG file {filename} cannot be read, so its DAG starts no run: {last}")
    pool = session.scalar(sa.select(Pool.slots).where(Pool.pool == PUBLISH_POOL))
    return [*said, complaint] if (complaint := complaint_about(pool)) else said


def slowest_models(session: Session, most: int = 12) -> list[tuple[str, float, int | None]]:
    """Name, seconds and rows of the models that took longest in the newest successful run of dbt,
    longest first.
    """
    newest = (
        sa.select(DagRun.id)
        .where(DagRun.dag_id == DBT_DAG, DagRun.state == "success")
        .order_by(DagRun.start_date.desc())
        .limit(1)
        .scalar_subquery()
    )
    query = sa.select(XComModel.value).where(
        XComModel.dag_run_id == newest, XComModel.key == RESULT, XComModel.task_id.in_(LAYERS)
    )
    models = [model for (layer,) in session.execute(query) for model in _list(layer, "models")]
    rows = [
        (str(model["name"]), float(model["seconds"]), model.get("rows"))
        for model in models
        if not model.get("kept")
    ]
    return sorted(rows, key=lambda row: -row[1])[:most]


def pending_days(session: Session) -> list[str]:
    """Days that some, but not all, of the sources have announced to dbt, oldest first.

    Airflow takes any date as a key from outside, and forgets none: what is no day of ours is left
    out.
    """
    query = (
        sa.select(AssetPartitionDagRun.partition_key)
        .where(
            AssetPartitionDagRun.target_dag_id == DBT_DAG,
            AssetPartitionDagRun.created_dag_run_id.is_(None),
        )
        .distinct()
        .order_by(AssetPartitionDagRun.partition_key)
    )
    return [str(key) for key in session.scalars(query) if _is_day(str(key))]


def _is_day(key: str) -> bool:
    try:
        past_day(key)
    except DayError:
        return False
    return True


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC).replace(tzinfo=None)


def _plain(value: Any) -> str:
    return str(getattr(value, "value", value))


def _list(value: Any, key: str) -> list[Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, list) else []


def days_up_to(last: date, number: int) -> list[date]:
    """``number`` days, the last of them ``last``, oldest first."""
    return [last - timedelta(days=back) for back in reversed(range(number))]
