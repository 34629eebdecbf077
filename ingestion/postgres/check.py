"""Checks the source database: sign-in, declared tables, open transactions, clocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial

from psycopg2 import sql

from ingestion.postgres.completeness import standing
from ingestion.postgres.connection import connect
from ingestion.postgres.settings import PostgresSettings
from ingestion.postgres.snapshot import open_snapshot
from ingestion.postgres.window import in_no_window, look_around
from pipeline.checks import Finding, tried
from pipeline.contracts import RawTable
from pipeline.settings import is_this_machine, settings
from pipeline.sources import SOURCES

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
NEAR = 10 * MINUTE  # a shop that is busy has a newer stamp than that
_TABLES = [table for source in SOURCES if source.kind == "postgres" for table in source.tables]
# The zone that now() is written in, and whether it is the configured one, in summer and in winter.
_CLOCK = """
select clock_timestamp() at time zone 'utc', current_setting('timezone'),
       bool_and(moment at time zone current_setting('timezone') = moment at time zone %(zone)s)
from (values (now()), (now() + interval '182 days')) moments (moment)
"""


def check() -> Iterator[Finding]:
    """One finding for each; a failed sign-in ends the checks."""
    signed_in = tried("postgres", "sign-in", _sign_in)
    yield signed_in
    if not signed_in.works:
        return
    yield tried("postgres", "encryption", is_encrypted)
    readable = []
    for table in _TABLES:
        read = tried("postgres", f"table {table.name}", partial(_read, table))
        if read.state in ("works", "look"):
            readable.append(table)
        yield read
    yield tried("postgres", "open transactions", _see_open_transactions)
    yield tried("postgres", "time zone", partial(_compare_clocks, readable))


def _sign_in() -> str:
    configured = settings(PostgresSettings)
    with connect(configured) as connection, connection.cursor() as cursor:
        cursor.execute("show server_version")
        (version,) = cursor.fetchone() or ("",)
        found = standing(connection)
    until = f"{found.complete_until:%Y-%m-%d %H:%M:%S} UTC" if found.complete_until else "nothing"
    replica = f", a replica that holds everything up to {until}" if found.is_replica else ""
    where = f"{configured.host}:{configured.port}/{configured.db}"
    return f"{configured.user} on {where}, {version}{replica}."


def is_encrypted() -> str | Finding:
    """Whether what is read could be read by others on its way."""
    configured = settings(PostgresSettings)
    said = f"POSTGRES_SSLMODE is {configured.sslmode}"
    if is_this_machine(configured.host):
        return f"{said}; nothing leaves this machine."
    if configured.sslmode in ("verify-ca", "verify-full"):
        return f"{said}: encrypted, and the server's certificate is checked."
    if configured.sslmode == "require":
        return f"{said}: encrypted; only verify-full also makes sure that it is your server."
    return Finding(
        "postgres",
        "encryption",
        "look",
        f"{said}: password and rows may travel in the clear to {configured.host}. Set it to "
        "verify-full, or at least to require.",
    )


def _read(table: RawTable) -> str | Finding:
    configured = settings(PostgresSettings)
    with (
        open_snapshot(configured, table) as snapshot,
        snapshot.connection.cursor() as cursor,
    ):
        address, version = snapshot.table.address, snapshot.table.by_name[table.version]
        cursor.execute(sql.SQL("select * from {} limit 1").format(address))
        said = "readable, as declared" + ("" if cursor.fetchall() else ", and empty")
        if snapshot.table.children:
            said += f". Its inherited children are not read: {', '.join(snapshot.table.children)}"
        cursor.execute(
            sql.SQL("select count(*) from {} where {}").format(address, in_no_window(version))
        )
        ((wrong,),) = cursor.fetchall()
    if not wrong:
        return f"{said}."
    return Finding(
        "postgres",
        f"table {table.name}",
        "look",
        f"{said}. But {wrong:,} rows have their {version.name} in the future or in no year from 1 "
        "to 9999. They are read by each load until somebody corrects them.",
    )


def _see_open_transactions() -> str | Finding:
    configured = settings(PostgresSettings)
    with connect(configured) as connection:
        horizon = look_around(connection, configured)
    if horizon.blind_because:
        hours = configured.blind_overlap_minutes / 60
        said = f"Loads reach back {hours:g} hours instead, because {horizon.blind_because}."
        return Finding("postgres", "open transactions", "look", said)
    return "Transactions of others can be seen: no late commit is missed."


def _compare_clocks(tables: Iterable[RawTable]) -> str | Finding:
    """The newest stamp of all tables against the server's clock, and the zone it works in."""
    configured = settings(PostgresSettings)
    stamps = [found for table in tables if (found := _newest_stamp(table, configured))]
    with connect(configured) as connection, connection.cursor() as cursor:
        cursor.execute(_CLOCK, {"zone": configured.timezone})
        now, works_in, is_same = cursor.fetchone()  # type: ignore[misc]
    zone = f"POSTGRES_TIMEZONE is {configured.timezone}, the database works in {works_in}"
    if not stamps:
        return f"No table has a stamp to compare with the server's clock yet; {zone}."
    stamp, name = max(stamps)
    apart, where = abs(now - stamp), "ahead of" if stamp > now else "behind"
    said = (
        f"The newest stamp, {stamp:%Y-%m-%d %H:%M} UTC in {name}, is "
        f"{apart // HOUR} h {apart % HOUR // MINUTE} min {where} the server's clock; {zone}."
    )
    if apart <= NEAR or (stamp < now and is_same):
        return said
    return Finding(
        "postgres",
        "time zone",
        "look",
        f"{said} If columns without zone hold local time, set POSTGRES_TIMEZONE to its zone: rows "
        "would be loaded late, or never, and days be wrong.",
    )


def _newest_stamp(table: RawTable, configured: PostgresSettings) -> tuple[datetime, str] | None:
    """The newest version of a table's rows, UTC, and the column it is in."""
    with open_snapshot(configured, table) as snapshot, snapshot.connection.cursor() as cursor:
        version = snapshot.table.by_name[table.version]
        cursor.execute(
            sql.SQL("select max({}) from {} where not {}").format(
                version.selected, snapshot.table.address, in_no_window(version)
            )
        )
        (newest,) = cursor.fetchone() or (None,)
    return (newest, f"{table.name}.{table.version}") if newest else None
