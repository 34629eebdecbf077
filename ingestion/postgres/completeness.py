"""Up to which moment the server holds everything, and waiting until that is late enough.

A primary holds everything up to its own clock. A standby holds what it has replayed: up to the
newest commit it has replayed, or, where nothing is left to replay, up to the moment at which its
primary said last that there is no more. A standby of an idle primary is complete, however old its
newest commit is.

https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-RECOVERY-CONTROL,
https://www.postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-WAL-RECEIVER-VIEW
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import datetime

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

from ingestion.postgres.settings import PostgresSettings
from pipeline.errors import SourceUnavailableError

logger = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 1.0

# A primary sends the end of its log with each message, and one at least every 30 seconds
# (wal_sender_timeout). Whoever may not read pg_stat_wal_receiver sees its pid and nothing else.
_STANDING = """
select clock_timestamp() at time zone 'utc',
       pg_is_in_recovery(),
       pg_last_xact_replay_timestamp() at time zone 'utc',
       case when pg_last_wal_replay_lsn() >= receiver.latest_end_lsn
            then receiver.last_msg_send_time at time zone 'utc' end,
       receiver.pid is not null,
       receiver.pid is not null and receiver.latest_end_lsn is null
           and pg_last_wal_replay_lsn() >= pg_last_wal_receive_lsn(),
       case when pg_is_in_recovery() then pg_is_wal_replay_paused() end
from (select 1) one left join pg_stat_wal_receiver receiver on true
"""


@dataclass(frozen=True)
class Standing:
    """Where the server stands; times are UTC without a zone.

    Attributes:
        now: by the server's clock.
        complete_until: it holds every commit up to here; None where a standby cannot tell.
        is_replica: it is a standby.
        because: why a standby may not be further; empty for a primary.
    """

    now: datetime
    complete_until: datetime | None
    is_replica: bool
    because: str = ""

    def holds(self, moment: datetime) -> bool:
        return self.complete_until is not None and self.complete_until >= moment


def standing(connection: Connection) -> Standing:
    with connection.cursor() as cursor:
        cursor.execute(_STANDING)
        row = cursor.fetchone()
    now, is_replica, replayed, nothing_left, is_receiving, seems_idle, is_paused = row  # type: ignore[misc]
    if not is_replica:
        return Standing(now, now, False)
    marks = [mark for mark in (replayed, nothing_left, now if seems_idle else None) if mark]
    because = (
        "its replay is paused, select pg_wal_replay_resume() lets it go on"
        if is_paused
        else "it is still replaying"
        if is_receiving
        else "it receives nothing from its primary"
    )
    return Standing(now, min(now, max(marks)) if marks else None, True, because)


def wait_until_complete(
    connection: Connection, settings: PostgresSettings, moment: datetime
) -> None:
    """Return as soon as the server holds everything up to a moment (UTC without a zone).

    Raises:
        SourceUnavailableError: it does not after ``POSTGRES_MAX_WAIT_SECONDS``.
    """
    deadline = time.monotonic() + settings.max_wait_seconds
    is_first = True
    while not (found := standing(connection)).holds(moment):
        sentence = _sentence(found, settings, moment)
        if time.monotonic() >= deadline:
            raise SourceUnavailableError(
                f"{sentence} Nothing was loaded, after {settings.max_wait_seconds} seconds of "
                "waiting (POSTGRES_MAX_WAIT_SECONDS)."
            )
        if is_first:
            logger.info("%s Waiting.", sentence)
        is_first = False
        time.sleep(min(ASK_AGAIN_SECONDS, max(0.0, deadline - time.monotonic())))


def _sentence(found: Standing, settings: PostgresSettings, moment: datetime) -> str:
    where = f"{settings.db!r} on {settings.host}:{settings.port}"
    due = f"{moment:%H:%M} UTC of {moment:%Y-%m-%d}"
    if not found.is_replica:
        return (
            f"By the clock of the PostgreSQL database {where} it is {found.now:%Y-%m-%d %H:%M:%S} "
            f"UTC, before {due}: there the day has not come yet."
        )
    stands_at = (
        f"stands at {found.complete_until:%Y-%m-%d %H:%M:%S} UTC"
        if found.complete_until
        else "has replayed nothing yet"
    )
    return f"The replica {where} {stands_at}, before {due}: {found.because}."
