"""Checks the source database: sign-in, each table as declared and readable, open transactions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from psycopg2 import sql

from ingestion.postgres.connection import connect
from ingestion.postgres.settings import PostgresSettings
from ingestion.postgres.snapshot import open_snapshot
from ingestion.postgres.window import look_around
from pipeline.checks import Finding, tried
from pipeline.contracts import RawTable
from pipeline.settings import settings
from pipeline.sources import SOURCES


def check() -> Iterator[Finding]:
    """One finding for each; a failed sign-in ends the checks."""
    signed_in = tried("postgres", "sign-in", _sign_in)
    yield signed_in
    if not signed_in.works:
        return
    for source in SOURCES:
        if source.kind == "postgres":
            (table,) = source.tables
            yield tried("postgres", f"table {table.name}", partial(_read, table))
    yield tried("postgres", "open transactions", _see_open_transactions)


def _sign_in() -> str:
    configured = settings(PostgresSettings)
    with connect(configured) as connection, connection.cursor() as cursor:
        cursor.execute("select current_setting('server_version'), pg_is_in_recovery()")
        version, is_replica = cursor.fetchone() or ("", False)
    replica = ", a replica" if is_replica else ""
    where = f"{configured.host}:{configured.port}/{configured.db}"
    return f"{configured.user} on {where}, {version}{replica}."


def _read(table: RawTable) -> str:
    configured = settings(PostgresSettings)
    with (
        open_snapshot(configured, table) as snapshot,
        snapshot.connection.cursor() as cursor,
    ):
        cursor.execute(sql.SQL("select * from {} limit 1").format(snapshot.table.address))
        said = "readable, as declared" + ("" if cursor.fetchall() else ", and empty")
    children = ", ".join(snapshot.table.children)
    return f"{said}. Its inherited children are not read: {children}." if children else f"{said}."


def _see_open_transactions() -> str | Finding:
    configured = settings(PostgresSettings)
    with connect(configured) as connection:
        horizon = look_around(connection, configured)
    if horizon.blind_because:
        hours = configured.blind_overlap_minutes / 60
        said = f"Loads reach back {hours:g} hours instead, because {horizon.blind_because}."
        return Finding("postgres", "open transactions", "look", said)
    return "Transactions of others can be seen: no late commit is missed."
