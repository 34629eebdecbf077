"""Remembers which alerts were sent, so that none is sent twice, whichever processes and machines
report the same event.

It is a table of its own, reached by SQLAlchemy: a SQLite file on one machine, PostgreSQL where
workers run on several (``ALERTS_DATABASE_URL``). Not the warehouse: dbt holds DuckDB's files for
minutes, and an alert must not wait. Not Airflow's metadata database: tasks of Airflow 3 have no
access to it, and its Variables know no "write if absent".
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from alerting.alert import Alert
from alerting.settings import AlertingSettings
from pipeline.settings import settings as configured

logger = logging.getLogger(__name__)

WAIT_SECONDS = 5  # for a busy SQLite file or a PostgreSQL that does not answer
# A process that claimed an alert and died before it was delivered: after this time another report
# may send it.
CLAIM_HOLDS = timedelta(seconds=120)

_METADATA = sa.MetaData()
ALERTS = sa.Table(
    "sent_alerts",
    _METADATA,
    sa.Column("key", sa.String(1000), primary_key=True),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("day", sa.String(10), index=True),
    sa.Column("dag_id", sa.String(250), nullable=False),
    sa.Column("run", sa.String(300), index=True),  # run id and the number of times it was cleared
    sa.Column("task_id", sa.String(250)),
    sa.Column("try_number", sa.Integer),
    sa.Column("claimed_at", sa.DateTime, nullable=False),  # UTC
    sa.Column("delivered_at", sa.DateTime),  # UTC; null: no channel has taken it
    sa.Column("exception", sa.String(500)),  # the first line of what was raised, masked
)
ERROR_LENGTH = 300


@dataclass(frozen=True)
class Trouble:
    """What was reported of a day since it was last reported complete."""

    failures: int = 0  # failed tries
    breaches: int = 0
    began: datetime | None = None  # UTC without a zone: when the first of them was reported

    def __bool__(self) -> bool:
        return bool(self.failures or self.breaches)


def claim(alert: Alert) -> bool:
    """True for exactly one of all processes that report the same event; that one sends it."""
    now = _utc_now()
    row = {
        "key": alert.key,
        "status": alert.status,
        "day": alert.day,
        "dag_id": alert.dag_id,
        "run": alert.run,
        "task_id": alert.task_id,
        "try_number": alert.try_number,
        "claimed_at": now,
        "exception": (alert.exception or "").strip().partition("\n")[0][:ERROR_LENGTH] or None,
    }
    try:
        with _transaction() as connection:
            connection.execute(ALERTS.insert().values(row))
        return True
    except IntegrityError:
        again = (
            ALERTS.update()
            .where(
                ALERTS.c.key == alert.key,
                ALERTS.c.delivered_at.is_(None),
                ALERTS.c.claimed_at < now - CLAIM_HOLDS,
            )
            .values(claimed_at=now)
        )
        with _transaction() as connection:
            return connection.execute(again).rowcount == 1


def settle(alert: Alert, *, delivered: bool) -> None:
    """Note that a claimed alert was delivered, or give it free for the next report of the same
    event.
    """
    mine = ALERTS.c.key == alert.key
    with _transaction() as connection:
        if delivered:
            connection.execute(ALERTS.update().where(mine).values(delivered_at=_utc_now()))
        else:
            connection.execute(ALERTS.update().where(mine).values(claimed_at=datetime(1970, 1, 1)))


def failure_reported(run: str) -> bool:
    """Whether the last failed try of a task of this run was reported: then the run's own callback
    has nothing to add.
    """
    query = sa.select(sa.func.count()).where(ALERTS.c.run == run, ALERTS.c.status == "failure")
    with _transaction() as connection:
        return bool(connection.execute(query).scalar())


def try_reported(run: str, task_id: str, try_number: int) -> bool:
    """Whether that failed try was reported."""
    same = (ALERTS.c.run == run, ALERTS.c.task_id == task_id, ALERTS.c.try_number == try_number)
    query = sa.select(sa.func.count()).where(*same, ALERTS.c.status.in_(("retry", "failure")))
    with _transaction() as connection:
        return bool(connection.execute(query).scalar())


def newest_errors(since: datetime) -> dict[tuple[str, str, str], str]:
    """The first line of the newest error per (day, DAG, task) of what was reported after ``since``
    (UTC without a zone).
    """
    query = (
        sa.select(ALERTS.c.day, ALERTS.c.dag_id, ALERTS.c.task_id, ALERTS.c.exception)
        .where(
            ALERTS.c.claimed_at > since, ALERTS.c.exception.is_not(None), ALERTS.c.day.is_not(None)
        )
        .order_by(ALERTS.c.claimed_at)
    )
    with _transaction() as connection:
        return {
            (str(day), str(dag_id), str(task_id or "")): str(text)
            for day, dag_id, task_id, text in connection.execute(query)
        }


def trouble_of(day: str) -> Trouble:
    """Failed tries and SLA breaches that were reported of a day since its last green message."""
    green = (
        sa.select(sa.func.max(ALERTS.c.claimed_at))
        .where(ALERTS.c.day == day, ALERTS.c.status.in_(("success", "recovery")))
        .scalar_subquery()
    )
    query = (
        sa.select(ALERTS.c.status, sa.func.count(), sa.func.min(ALERTS.c.claimed_at))
        .where(
            ALERTS.c.day == day, ALERTS.c.claimed_at > sa.func.coalesce(green, datetime(1970, 1, 1))
        )
        .group_by(ALERTS.c.status)
    )
    counts: dict[str, int] = {}
    firsts: list[datetime] = []
    with _transaction() as connection:
        for row in connection.execute(query):
            counts[str(row[0])] = int(row[1])
            if row[0] in ("retry", "failure", "sla_breach"):
                firsts.append(row[2])
    failures = counts.get("retry", 0) + counts.get("failure", 0)
    return Trouble(failures, counts.get("sla_breach", 0), min(firsts, default=None))


@contextmanager
def _transaction() -> Iterator[sa.Connection]:
    with _engine(configured(AlertingSettings).store_url()).begin() as connection:
        yield connection


@cache
def _engine(url: str) -> sa.Engine:
    """No pool: an alert is rare, and the processes that send them are forked and short-lived."""
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        options = {"timeout": WAIT_SECONDS}
    else:
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg2")
        options = {"connect_timeout": WAIT_SECONDS}
    engine = sa.create_engine(parsed, poolclass=sa.NullPool, connect_args=options)
    try:
        _METADATA.create_all(engine)
        _add_missing_columns(engine)
    except (OperationalError, ProgrammingError, IntegrityError):
        if not sa.inspect(engine).has_table(
            ALERTS.name
        ):  # else another process created it in the same moment
            raise
    return engine


def _add_missing_columns(engine: sa.Engine) -> None:
    """A store made by an earlier version has no ``exception``."""
    if ALERTS.c.exception.name not in {
        column["name"] for column in sa.inspect(engine).get_columns(ALERTS.name)
    }:
        with engine.begin() as connection:
            connection.execute(
                sa.text(f"alter table {ALERTS.name} add column exception varchar(500)")
            )


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
