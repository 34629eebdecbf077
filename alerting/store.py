"""Remembers which alerts were sent, so that none is sent twice, whichever processes and machines
report the same event; and which did not get through.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from alerting.alert import Alert
from alerting.tables import ALERTS, transaction, utc_now

# A process that claimed an alert and died before it was delivered: after this time another report
# may send it.
CLAIM_HOLDS = timedelta(seconds=120)
ERROR_LENGTH = 300
# Rows of an earlier version have no `reported_at`.
_REPORTED = sa.func.coalesce(ALERTS.c.reported_at, ALERTS.c.claimed_at)


@dataclass(frozen=True)
class Reported:
    """What was reported of a task last: the first line of its error, and what helps to act."""

    text: str
    incident: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    log_url: str | None = None
    runbook: str | None = None


@dataclass(frozen=True)
class Undelivered:
    """An alert that a channel did not take. ``at`` is UTC without a zone."""

    key: str
    status: str
    dag_id: str
    day: str | None
    at: datetime
    reason: str

    def __str__(self) -> str:
        of = f"[{self.status.upper()}] {self.dag_id} {self.day or ''}".rstrip()
        return f"{self.at:%Y-%m-%d %H:%M} UTC {of}"


@dataclass(frozen=True)
class Trouble:
    """What was reported of a day since it was last reported complete."""

    failures: int = 0  # failed tries
    breaches: int = 0
    began: datetime | None = None  # UTC without a zone: when the first of them was reported
    corrects: bool = False  # the day had been reported complete before

    def __bool__(self) -> bool:
        return bool(self.failures or self.breaches)


def claim(alert: Alert) -> bool:
    """True for exactly one of all processes that report the same event; that one sends it."""
    now = utc_now()
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
        "reported_at": now,
        "details": json.dumps(
            {"facts": dict(alert.facts), "log_url": alert.log_url, "runbook": alert.runbook}
        ),
    }
    try:
        with transaction() as connection:
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
        with transaction() as connection:
            return connection.execute(again).rowcount == 1


def belongs_to(alert: Alert, incident_id: str) -> None:
    """Note which incident a claimed alert is part of."""
    with transaction() as connection:
        mine = ALERTS.c.key == alert.key
        connection.execute(ALERTS.update().where(mine).values(incident=incident_id))


def settle(alert: Alert, *, delivered: bool, refusals: Collection[str] = ()) -> None:
    """Note that a claimed alert was delivered, or give it free for the next report of the same
    event.

    Args:
        refusals: what each channel said that did not take it.
    """
    claimed = {} if delivered else {"claimed_at": datetime(1970, 1, 1)}
    with transaction() as connection:
        connection.execute(
            ALERTS.update()
            .where(ALERTS.c.key == alert.key)
            .values(
                **claimed,
                delivered_at=utc_now() if delivered else None,
                undelivered="; ".join(refusals)[:ERROR_LENGTH] or None,
            )
        )


def undelivered() -> list[Undelivered]:
    """Alerts that a channel did not take and that no later message has told of, oldest first."""
    query = (
        sa.select(
            ALERTS.c.key, ALERTS.c.status, ALERTS.c.dag_id, ALERTS.c.day, _REPORTED,
            ALERTS.c.undelivered,
        )
        .where(ALERTS.c.undelivered.is_not(None))
        .order_by(_REPORTED)
    )  # fmt: skip
    with transaction() as connection:
        rows: Any = connection.execute(query)
        return [Undelivered(*row) for row in rows]


def silence() -> list[str]:
    """A sentence about the alerts that a channel did not take, for the page and for `make status`;
    empty where there are none.
    """
    missed = undelivered()
    if not missed:
        return []
    alerts = "1 alert" if len(missed) == 1 else f"{len(missed)} alerts"
    return [f"{alerts} did not get through, the newest at {missed[-1]}: {missed[-1].reason}"]


def told_of(those: Sequence[Undelivered]) -> None:
    """A message that got through has told of these."""
    with transaction() as connection:
        connection.execute(
            ALERTS.update()
            .where(ALERTS.c.key.in_([missed.key for missed in those]))
            .values(undelivered=None)
        )


def failure_reported(run: str) -> bool:
    """Whether the last failed try of a task of this run was reported: then the run's own callback
    has nothing to add.
    """
    query = sa.select(sa.func.count()).where(ALERTS.c.run == run, ALERTS.c.status == "failure")
    with transaction() as connection:
        return bool(connection.execute(query).scalar())


def try_reported(run: str, task_id: str, try_number: int) -> bool:
    """Whether that failed try was reported."""
    same = (ALERTS.c.run == run, ALERTS.c.task_id == task_id, ALERTS.c.try_number == try_number)
    query = sa.select(sa.func.count()).where(*same, ALERTS.c.status.in_(("retry", "failure")))
    with transaction() as connection:
        return bool(connection.execute(query).scalar())


def newest_errors(since: datetime) -> dict[tuple[str, str, str], Reported]:
    """The newest error per (day, DAG, task) of what was reported after ``since`` (UTC without a
    zone).
    """
    query = (
        sa.select(
            ALERTS.c.day, ALERTS.c.dag_id, ALERTS.c.task_id, ALERTS.c.exception, ALERTS.c.incident,
            ALERTS.c.details,
        )
        .where(since < _REPORTED, ALERTS.c.exception.is_not(None), ALERTS.c.day.is_not(None))
        .order_by(_REPORTED)
    )  # fmt: skip
    with transaction() as connection:
        rows: Any = connection.execute(query)
        return {
            (day, dag_id, task_id or ""): Reported(text, incident, **json.loads(details or "{}"))
            for day, dag_id, task_id, text, incident, details in rows
        }


def trouble_of(day: str) -> Trouble:
    """Failed tries and SLA breaches that were reported of a day since its last green message."""
    green = (
        sa.select(sa.func.max(_REPORTED))
        .where(ALERTS.c.day == day, ALERTS.c.status.in_(("success", "recovery")))
        .scalar_subquery()
    )
    query = (
        sa.select(ALERTS.c.status, sa.func.count(), sa.func.min(_REPORTED))
        .where(ALERTS.c.day == day, sa.func.coalesce(green, datetime(1970, 1, 1)) < _REPORTED)
        .group_by(ALERTS.c.status)
    )
    counts: dict[str, int] = {}
    firsts: list[datetime] = []
    with transaction() as connection:
        for row in connection.execute(query):
            counts[str(row[0])] = int(row[1])
            if row[0] in ("retry", "failure", "sla_breach"):
                firsts.append(row[2])
        corrects = connection.execute(sa.select(green.is_not(None))).scalar_one()
    failures = counts.get("retry", 0) + counts.get("failure", 0)
    begin = min(firsts, default=None)
    return Trouble(failures, counts.get("sla_breach", 0), begin, bool(corrects))
