"""The tables of the alerts' own store, and how they are reached: a SQLite file on one machine,
PostgreSQL where workers run on several (``ALERTS_DATABASE_URL``).

Not the warehouse: dbt holds DuckDB's files for minutes, and an alert must not wait. Not Airflow's
metadata database: tasks of Airflow 3 have no access to it, and its Variables know no "write if
absent".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from alerting.settings import AlertingSettings
from pipeline.settings import settings as configured

WAIT_SECONDS = 5  # for a busy SQLite file or a PostgreSQL that does not answer

_METADATA = sa.MetaData()
# Times are UTC without a zone.
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
    sa.Column("claimed_at", sa.DateTime, nullable=False),  # by the process that sends it
    sa.Column("delivered_at", sa.DateTime),  # null: no channel has taken it
    sa.Column("exception", sa.String(500)),  # the first line of what was raised, masked
    sa.Column("reported_at", sa.DateTime),  # when it was first reported, delivered or not
    sa.Column("incident", sa.String(300)),
    sa.Column("details", sa.Text),  # JSON: facts, log_url, runbook
    sa.Column("undelivered", sa.String(500)),  # what the channels that did not take it said
)
INCIDENTS = sa.Table(
    "incidents",
    _METADATA,
    sa.Column("id", sa.String(300), primary_key=True),
    sa.Column("day", sa.String(10), index=True),
    sa.Column("cause", sa.String(250), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),  # of the event that weighs most
    sa.Column("title", sa.String(500), nullable=False),
    sa.Column("dag_id", sa.String(250), nullable=False),  # of the event that opened it
    sa.Column("opened_at", sa.DateTime, nullable=False),
    sa.Column("updated_at", sa.DateTime, nullable=False),
    sa.Column("closed_at", sa.DateTime),
    sa.Column("acknowledged_at", sa.DateTime),
    sa.Column("acknowledged_by", sa.String(250)),
    sa.Column("snoozed_until", sa.DateTime),
    sa.Column("snoozed_by", sa.String(250)),
    sa.Column("thread", sa.String(60)),  # of Slack: the timestamp of its message
)
# Which task speaks for an incident: of several that fail for one cause, one.
TURNS = sa.Table(
    "incident_turns",
    _METADATA,
    sa.Column("incident", sa.String(300), primary_key=True),
    sa.Column("status", sa.String(20), primary_key=True),
    sa.Column("try_number", sa.Integer, primary_key=True),
    sa.Column("task", sa.String(500), nullable=False),
    sa.Column("taken_at", sa.DateTime, nullable=False),
)


@contextmanager
def transaction() -> Iterator[sa.Connection]:
    with _engine(configured(AlertingSettings).store_url()).begin() as connection:
        yield connection


def utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


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
        there = sa.inspect(engine)
        if not all(
            there.has_table(table) for table in _METADATA.tables
        ):  # else another process made them in the same moment
            raise
    return engine


def _add_missing_columns(engine: sa.Engine) -> None:
    """A store made by an earlier version lacks the newer ones."""
    inspector = sa.inspect(engine)
    for table in _METADATA.sorted_tables:
        known = {column["name"] for column in inspector.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                kind = column.type.compile(engine.dialect)
                with engine.begin() as connection:
                    connection.execute(
                        sa.text(f"alter table {table.name} add column {column.name} {kind}")
                    )
