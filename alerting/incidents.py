"""Incidents: what fails for one reason on one day is one, from its first event to the day's green
message.

Its cause is the system that several tasks share (`SourceUnavailableError` of PostgreSQL, a locked
warehouse), or else the one task. Of several tasks that fail for it in the same minutes one speaks;
whatever a task does again later, it tells itself.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from alerting.alert import Alert, Status
from alerting.tables import ALERTS, INCIDENTS, TURNS, transaction, utc_now
from pipeline.day_report import DBT_DAG
from pipeline.sources import SOURCES

# Errors that lie with a system, not with the table that happened to be read.
_OF_THE_SYSTEM = (
    "SourceUnavailableError", "CredentialsError", "RateLimitedError", "SettingsError",
    "WarehouseUnavailableError",
)  # fmt: skip
_EVERYWHERE = {"WarehouseUnavailableError": "the warehouse", "SettingsError": "the settings"}
_SYSTEMS = {"postgres": "PostgreSQL", "stripe": "Stripe", "csv": "the CSV inbox"}
_SYSTEM_OF = {source.dag_id: _SYSTEMS[source.kind] for source in SOURCES}
_OF_THE_DAY = (*_SYSTEM_OF, DBT_DAG)
_OPENS: tuple[Status, ...] = ("retry", "failure", "sla_breach", "held")
_WEIGHT: dict[str, int] = {"sla_breach": 0, "retry": 1, "failure": 2, "held": 2}
SAME_MINUTES = timedelta(minutes=15)  # longer than the longest wait between two tries
TITLE_LENGTH = 300


@dataclass(frozen=True)
class Incident:
    """One cause on one day. Times are UTC without a zone; ``tasks`` are those that failed
    for it, as ``dag.task``."""

    id: str
    day: str | None
    status: str
    title: str
    dag_id: str
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    snoozed_until: datetime | None
    snoozed_by: str | None
    thread: str | None
    tasks: tuple[str, ...] = ()

    def concerns(self, dag_id: str) -> bool:
        """Whether a task of that DAG fails for this cause."""
        return any(task.partition(".")[0] == dag_id for task in self.tasks)

    @property
    def snoozed(self) -> bool:
        return self.snoozed_until is not None and self.snoozed_until > utc_now()

    @property
    def handled_by(self) -> str:
        """``acknowledged by admin at 06:12 UTC``, or nothing."""
        if self.snoozed:
            return f"snoozed by {self.snoozed_by} until {self.snoozed_until:%H:%M} UTC"
        if self.acknowledged_at:
            return f"acknowledged by {self.acknowledged_by} at {self.acknowledged_at:%H:%M} UTC"
        return ""


def cause_of(alert: Alert) -> str:
    """``SourceUnavailableError of PostgreSQL``, or the task that fails."""
    kind, _, said = (alert.exception or "").partition(":")
    # A lock or a missing right is that of one table; a database that is silent says so for any.
    of_one_table = said.lstrip().startswith("Table ") and "did not answer" not in said
    if kind in _OF_THE_SYSTEM and not of_one_table:
        system = _EVERYWHERE.get(kind) or _SYSTEM_OF.get(alert.dag_id)
        if system:
            return f"{kind} of {system}"
    return _task(alert)


def opened_by(alert: Alert) -> Incident | None:
    """The open incident that the alert belongs to, made if there is none; None for an alert that
    reports no trouble.

    A breach belongs to the incident that makes its DAG late, and that of the whole day to the first
    one of the day.
    """
    if alert.status not in _OPENS:
        return None
    try:
        with transaction() as connection:
            open_ones = _read(connection, _is_open(alert.day))
            found = _among(open_ones, alert)
            return _update(connection, found, alert) if found else _open(connection, alert)
    except IntegrityError:  # another process opened it in the same moment
        with transaction() as connection:
            found = _among(_read(connection, _is_open(alert.day)), alert)
            return _update(connection, found, alert) if found else None


def close_of(day: str | None) -> list[Incident]:
    """Close what the day's green message ends; those that were open until now.

    These are the day's own, and what other DAGs (the monitor, the reconciliation) had reported
    before.
    """
    with transaction() as connection:
        of_others = INCIDENTS.c.dag_id.not_in(_OF_THE_DAY) & (INCIDENTS.c.day <= (day or ""))
        ended = INCIDENTS.c.closed_at.is_(None) & (
            (INCIDENTS.c.day == day) | INCIDENTS.c.day.is_(None) | of_others
        )
        closed = _read(connection, ended)
        connection.execute(INCIDENTS.update().where(ended).values(closed_at=utc_now()))
        connection.execute(
            TURNS.delete().where(TURNS.c.incident.in_([incident.id for incident in closed]))
        )
    return closed


def open_incidents() -> list[Incident]:
    """What is open now, the newest day first."""
    with transaction() as connection:
        found = _read(connection, INCIDENTS.c.closed_at.is_(None))
    return sorted(found, key=lambda one: (one.day or "", one.opened_at), reverse=True)


def came_back(since: datetime) -> list[tuple[str, list[str]]]:
    """Causes that had incidents on more than one day since then (UTC without a zone), with the
    days, the most frequent first.
    """
    query = (
        sa.select(INCIDENTS.c.cause, INCIDENTS.c.day)
        .where(INCIDENTS.c.opened_at >= since, INCIDENTS.c.day.is_not(None))
        .distinct()
        .order_by(INCIDENTS.c.day)
    )
    days: dict[str, list[str]] = {}
    with transaction() as connection:
        for cause, day in connection.execute(query):
            days.setdefault(str(cause), []).append(str(day))
    often = [(cause, on) for cause, on in days.items() if len(on) > 1]
    return sorted(often, key=lambda one: -len(one[1]))


def incident(incident_id: str) -> Incident | None:
    with transaction() as connection:
        return next(iter(_read(connection, INCIDENTS.c.id == incident_id)), None)


def acknowledge(incident_id: str, who: str) -> bool:
    """Note that somebody looks after an open incident; False where there is none."""
    return _note(incident_id, acknowledged_at=utc_now(), acknowledged_by=who)


def snooze(incident_id: str, who: str, minutes: int) -> bool:
    """Keep an open incident from sending messages for a while; its recovery is told even so."""
    until = utc_now() + timedelta(minutes=minutes)
    return _note(incident_id, snoozed_until=until, snoozed_by=who)


def keep_thread(incident_id: str, thread: str) -> None:
    """Remember which of Slack's messages is the incident's."""
    _note(incident_id, thread=thread)


def takes_its_turn(alert: Alert, of: Incident) -> bool:
    """Whether this alert speaks for its incident: no other task does with the same try, and nobody
    has snoozed it. True for exactly one of all processes.
    """
    if of.snoozed:
        return False
    if alert.status == "sla_breach":
        return True
    mine, now = _task(alert), utc_now()
    turn = {"incident": of.id, "status": alert.status, "try_number": alert.try_number or 0}
    same = sa.and_(*(TURNS.c[name] == value for name, value in turn.items()))
    try:
        with transaction() as connection:
            connection.execute(TURNS.insert().values(**turn, task=mine, taken_at=now))
        return True
    except IntegrityError:
        free = sa.or_(TURNS.c.task == mine, TURNS.c.taken_at < now - SAME_MINUTES)
        with transaction() as connection:
            taken = TURNS.update().where(same, free).values(task=mine, taken_at=now)
            return connection.execute(taken).rowcount == 1


def give_back_turn(alert: Alert) -> None:
    """Its message did not get through: the next task that fails for the same cause may speak."""
    with transaction() as connection:
        connection.execute(
            TURNS.delete().where(
                TURNS.c.incident == alert.incident,
                TURNS.c.status == alert.status,
                TURNS.c.try_number == (alert.try_number or 0),
            )
        )


def _task(alert: Alert) -> str:
    return f"{alert.dag_id}.{alert.task_id or '*'}"


def _title(alert: Alert) -> str:
    said = (alert.exception or next((text for _, text in alert.facts), alert.label)).strip()
    return said.partition("\n")[0].removeprefix("• ")[:TITLE_LENGTH]


def _is_open(day: str | None) -> sa.ColumnElement[bool]:
    of_day = INCIDENTS.c.day.is_(None) if day is None else INCIDENTS.c.day == day
    return sa.and_(of_day, INCIDENTS.c.closed_at.is_(None))


def _among(open_ones: Collection[Incident], alert: Alert) -> Incident | None:
    key = _key(alert)
    same = next((one for one in open_ones if one.id.startswith(f"{key}|")), None)
    if same or alert.status != "sla_breach":
        return same
    ordered = sorted(open_ones, key=lambda one: one.opened_at)
    if alert.dag_id in _OF_THE_DAY:
        return next((one for one in ordered if one.concerns(alert.dag_id)), None)
    return next(iter(ordered), None)  # the monitor: the day is late because of what failed first


def _key(alert: Alert) -> str:
    return f"{alert.day or 'no day'}|{cause_of(alert)}"


def _open(connection: sa.Connection, alert: Alert) -> Incident:
    now = utc_now()
    same = INCIDENTS.c.id.startswith(f"{_key(alert)}|", autoescape=True)
    before = sa.select(sa.func.count()).where(same)
    row = {
        "id": f"{_key(alert)}|{connection.execute(before).scalar_one() + 1}",
        "day": alert.day,
        "cause": cause_of(alert),
        "status": alert.status,
        "title": _title(alert),
        "dag_id": alert.dag_id,
        "opened_at": now,
        "updated_at": now,
    }
    connection.execute(INCIDENTS.insert().values(row))
    return _read(connection, INCIDENTS.c.id == row["id"])[0]


def _update(connection: sa.Connection, found: Incident, alert: Alert) -> Incident:
    changed: dict[str, object] = {"updated_at": utc_now()}
    if _WEIGHT[alert.status] >= _WEIGHT[found.status]:
        changed |= {"status": alert.status, "title": _title(alert)}
    mine = INCIDENTS.c.id == found.id
    connection.execute(INCIDENTS.update().where(mine).values(**changed))
    return _read(connection, mine)[0]


def _note(incident_id: str, **values: object) -> bool:
    same = (INCIDENTS.c.id == incident_id) & INCIDENTS.c.closed_at.is_(None)
    with transaction() as connection:
        return connection.execute(INCIDENTS.update().where(same).values(**values)).rowcount == 1


def _read(connection: sa.Connection, which: sa.ColumnElement[bool]) -> list[Incident]:
    columns = [column for column in INCIDENTS.c if column.name != "cause"]
    rows = connection.execute(sa.select(*columns).where(which)).mappings().all()
    reported = (
        sa.select(ALERTS.c.incident, ALERTS.c.dag_id, ALERTS.c.task_id)
        .where(ALERTS.c.incident.in_([row["id"] for row in rows]))
        .distinct()
    )
    tasks: dict[str, set[str]] = {row["id"]: set() for row in rows}
    for incident_id, dag_id, task_id in connection.execute(reported):
        tasks[str(incident_id)].add(f"{dag_id}.{task_id or '*'}")
    return [Incident(**row, tasks=tuple(sorted(tasks[row["id"]]))) for row in rows]
