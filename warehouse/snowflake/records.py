"""Load records, rejected rows, announcements, builds, SLA breaches and the locks of their writers
in Snowflake, schema LOADS.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from pipeline.contracts import Source
from pipeline.records import DayState, LoadRecord, Reject, TableCounts, Window, by_source_and_day
from pipeline.sources import SOURCES
from warehouse.snowflake.session import execute, rows
from warehouse.snowflake.sql import create_schema

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

STAGE = "LOADS.STAGED"
REJECTS_IN_RECORD = 5
REJECTS_AT_ONCE = (
    5_000  # times ten values: more are staged by the connector, which would commit the transaction
)
DAYS_LOCK = "DAYS"
_COLUMNS = (
    "load_id, source, day, window_start, window_end, watermark, started_at, extracted_at, "
    "committed_at, "
    "rows_rejected, tables, checksum"
)

TABLES: dict[str, str] = {
    "LOAD_RECORDS": (
        "load_id varchar not null, source varchar not null, day date not null, "
        "window_start timestamp_ntz, window_end timestamp_ntz not null, watermark timestamp_ntz, "
        "started_at timestamp_ntz not null, extracted_at timestamp_ntz not null, committed_at "
        "timestamp_ntz not null, "
        "rows_extracted number(19,0) not null, rows_inserted number(19,0) not null, rows_updated "
        "number(19,0) not null, "
        "rows_unchanged number(19,0) not null, rows_rejected number(19,0) not null, tables variant "
        "not null, "
        "checksum varchar not null"
    ),
    "REJECTED_ROWS": (
        "load_id varchar not null, source varchar not null, table_name varchar not null, day date "
        "not null, "
        "file varchar not null, line number(19,0) not null, column_name varchar, reason varchar "
        "not null, "
        "text varchar not null, rejected_at timestamp_ntz not null"
    ),
    "ANNOUNCEMENTS": (
        "announcement_id varchar not null, day date not null, source varchar not null, "
        "announced_at timestamp_ntz not null"
    ),
    "BUILDS": "build_id varchar not null, day date not null, started_at timestamp_ntz not null",
    "SLA_BREACHES": (
        "scope varchar not null, day date not null, sla_seconds float not null, since "
        "timestamp_ntz not null, "
        "reported_at timestamp_ntz not null, waiting_for varchar"
    ),
    # What the processes of a shared load tell each other: its window, its parts, its new columns,
    # rows set aside.
    "SHARED_LOADS": (
        "load_id varchar not null, kind varchar not null, table_name varchar, name varchar, said "
        "varchar not null, "
        "said_at timestamp_ntz not null"
    ),
    # One table per writer that has to wait for another: whoever updates its row holds it until the
    # transaction ends.
    **{
        f"LOCK_{name}": "held_since timestamp_ntz"
        for name in (DAYS_LOCK, *(source.name.upper() for source in SOURCES))
    },
}


def create_record_tables(connection: SnowflakeConnection) -> None:
    """Everything in LOADS that is missing. DDL commits: never call it inside a transaction."""
    existing = {
        name
        for (name,) in rows(
            connection,
            "select table_name from information_schema.tables where table_schema = 'LOADS'",
        )
    }
    if not existing:
        create_schema(connection, "loads")
    if missing := [name for name in TABLES if name not in existing]:
        execute(connection, f"create stage if not exists {STAGE}")
    for name in missing:
        execute(connection, f"create table if not exists LOADS.{name} ({TABLES[name]})")
        if name.startswith("LOCK_"):
            execute(
                connection,
                f"insert into LOADS.{name} select null where not exists (select 1 from "
                f"LOADS.{name})",
            )


def take_lock(connection: SnowflakeConnection, name: str, now: datetime) -> None:
    """Wait until no other transaction holds the lock; what was committed before is visible from
    here on.
    """
    execute(connection, f"update LOADS.LOCK_{name.upper()} set held_since = ?", [now])


def watermark(connection: SnowflakeConnection, source: Source) -> datetime | None:
    found: list[tuple[datetime | None]] = rows(
        connection, "select max(watermark) from LOADS.LOAD_RECORDS where source = ?", [source.name]
    )
    return found[0][0]


def newest_commit(connection: SnowflakeConnection) -> datetime | None:
    found: list[tuple[datetime | None]] = rows(
        connection, "select max(committed_at) from LOADS.LOAD_RECORDS"
    )
    return found[0][0]


def add_record(connection: SnowflakeConnection, record: LoadRecord) -> None:
    tables = record.tables
    values: list[object] = [
        record.load_id,
        record.source,
        record.day,
        record.window.start,
        record.window.end,
        record.watermark,
        record.started_at,
        record.extracted_at,
        record.committed_at,
        sum(table.extracted for table in tables),
        sum(table.inserted for table in tables),
        sum(table.updated for table in tables),
        sum(table.unchanged for table in tables),
        record.rows_rejected,
        json.dumps([asdict(table) for table in tables]),
        record.checksum,
    ]
    holes = ", ".join(["?"] * 14 + ["parse_json(?)", "?"])
    execute(connection, f"insert into LOADS.LOAD_RECORDS select {holes}", values)


def add_rejected(
    connection: SnowflakeConnection,
    load_id: str,
    source: str,
    day: date,
    rejected: Iterable[dict[str, Any]],
    at: datetime,
) -> tuple[int, tuple[Reject, ...]]:
    """Write rows set aside; returns how many there are, and the first few."""
    first: list[Reject] = []
    count, pending = 0, iter(rejected)
    while some := list(islice(pending, REJECTS_AT_ONCE)):
        values = []
        for said in some:
            table_name = said.pop("table_name")
            reject = Reject(**said)
            if len(first) < REJECTS_IN_RECORD:
                first.append(reject)
            values.append(
                (
                    load_id,
                    source,
                    table_name,
                    day,
                    reject.file,
                    reject.line,
                    reject.column,
                    reject.reason,
                    reject.text,
                    at,
                )
            )
        connection.cursor().executemany(
            f"insert into LOADS.REJECTED_ROWS values ({', '.join('?' * 10)})", values
        )
        count += len(values)
    return count, tuple(first)


def record_of(connection: SnowflakeConnection, load_id: str) -> LoadRecord | None:
    """The record of a committed load."""
    found = rows(
        connection, f"select {_COLUMNS} from LOADS.LOAD_RECORDS where load_id = ?", [load_id]
    )
    return _record(connection, found[0]) if found else None


def latest_records(connection: SnowflakeConnection, day: date) -> tuple[LoadRecord, ...]:
    """The latest load of each source for a day, in the order of ``SOURCES``."""
    found = rows(
        connection,
        f"select {_COLUMNS} from LOADS.LOAD_RECORDS where day = ? "
        "qualify row_number() over (partition by source order by committed_at desc) = 1",
        [day],
    )
    by_source = {row[1]: row for row in found}
    return tuple(
        _record(connection, by_source[source.name])
        for source in SOURCES
        if source.name in by_source
    )


def rows_loaded(
    connection: SnowflakeConnection, days: Sequence[date]
) -> dict[str, dict[date, int]]:
    """Rows read by the latest load of each source for each of these days, by source and day."""
    found = rows(
        connection,
        "select source, day, rows_extracted from LOADS.LOAD_RECORDS where day in "
        f"({', '.join('?' * len(days))}) "
        "qualify row_number() over (partition by source, day order by committed_at desc) = 1",
        list(days),
    )
    return by_source_and_day(found)


def _record(connection: SnowflakeConnection, row: tuple[Any, ...]) -> LoadRecord:
    (
        load_id,
        source,
        day,
        start,
        end,
        mark,
        started_at,
        extracted_at,
        committed_at,
        rejected,
        tables,
        checksum,
    ) = row
    rejects = (
        rows(
            connection,
            "select file, line, column_name, reason, text from LOADS.REJECTED_ROWS where load_id = "
            "? "
            f"order by file, line limit {REJECTS_IN_RECORD}",
            [load_id],
        )
        if rejected
        else []
    )
    return LoadRecord(
        load_id=load_id,
        source=source,
        day=day,
        window=Window(start, end),
        watermark=mark,
        started_at=started_at,
        extracted_at=extracted_at,
        committed_at=committed_at,
        tables=tuple(TableCounts(**table) for table in json.loads(tables)),
        checksum=checksum,
        rows_rejected=rejected,
        rejects=tuple(Reject(*reject) for reject in rejects),
    )


# --- days


def day_state(connection: SnowflakeConnection, day: date) -> DayState:
    announced = rows(
        connection,
        "select source, max(announced_at) from LOADS.ANNOUNCEMENTS where day = ? group by source",
        [day],
    )
    builds = rows(
        connection,
        "select build_id, max(started_at) from LOADS.BUILDS where day = ? group by build_id",
        [day],
    )
    return DayState(day, dict(announced), dict(builds))


def add_announcements(
    connection: SnowflakeConnection,
    announcement_id: str,
    day: date,
    sources: Sequence[str],
    at: datetime,
) -> None:
    holes = ", ".join(["(?, ?, ?, ?)"] * len(sources))
    values = [value for source in sources for value in (announcement_id, day, source, at)]
    execute(connection, f"insert into LOADS.ANNOUNCEMENTS values {holes}", values)


def is_announced_by(connection: SnowflakeConnection, announcement_id: str, day: date) -> bool:
    """Whether an earlier try of the same announcement was recorded: its event may not have been
    sent.
    """
    known = "select 1 from LOADS.ANNOUNCEMENTS where announcement_id = ? and day = ? limit 1"
    return bool(rows(connection, known, [announcement_id, day]))


def add_build(connection: SnowflakeConnection, build_id: str, day: date, at: datetime) -> None:
    execute(connection, "insert into LOADS.BUILDS values (?, ?, ?)", [build_id, day, at])


def pending_days(connection: SnowflakeConnection, since: date) -> list[date]:
    found = rows(
        connection,
        "select day from LOADS.ANNOUNCEMENTS where day >= ? group by day having count(distinct "
        "source) < ? order by day",
        [since, len(SOURCES)],
    )
    return [day for (day,) in found]


def add_breach(
    connection: SnowflakeConnection,
    scope: str,
    day: date,
    sla_seconds: float,
    since: datetime,
    at: datetime,
    waiting_for: str,
) -> None:
    """Once per scope and day."""
    execute(
        connection,
        "insert into LOADS.SLA_BREACHES select ?, ?, ?, ?, ?, ? where not exists "
        "(select 1 from LOADS.SLA_BREACHES where scope = ? and day = ?)",
        [scope, day, sla_seconds, since, at, waiting_for, scope, day],
    )
