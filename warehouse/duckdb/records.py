"""Load records and rejected rows in DuckDB, schema ``loads``: one row per committed load, history
is kept.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime

import duckdb

from pipeline.contracts import Source
from pipeline.records import LoadRecord, Reject, TableCounts, Window, by_source_and_day
from pipeline.sources import SOURCES

REJECTS_IN_RECORD = 5
_COLUMNS = (
    "load_id, source, day, window_start, window_end, watermark, started_at, extracted_at, "
    "committed_at, "
    "rows_rejected, tables, checksum"
)

_DDL = """
create schema if not exists loads;
create table if not exists loads.load_records (
    load_id varchar not null, source varchar not null, day date not null,
    window_start timestamp, window_end timestamp not null, watermark timestamp,
    started_at timestamp not null, extracted_at timestamp not null, committed_at timestamp not null,
    rows_extracted bigint not null, rows_inserted bigint not null, rows_updated bigint not null,
    rows_unchanged bigint not null, rows_rejected bigint not null, tables json not null, checksum varchar not null
);
create table if not exists loads.rejected_rows (
    load_id varchar not null, source varchar not null, table_name varchar not null, day date not null,
    file varchar not null, line bigint not null, column_name varchar, reason varchar not null, text varchar not null,
    rejected_at timestamp not null
);
"""


def create_record_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_DDL)


def record_tables_exist(connection: duckdb.DuckDBPyConnection) -> bool:
    return bool(
        connection.execute(
            "select 1 from duckdb_tables() where schema_name = 'loads' limit 1"
        ).fetchall()
    )


def watermark(connection: duckdb.DuckDBPyConnection, source: Source) -> datetime | None:
    rows: list[tuple[datetime | None]] = connection.execute(
        "select max(watermark) from loads.load_records where source = ?", [source.name]
    ).fetchall()
    return rows[0][0]


def newest_commit(connection: duckdb.DuckDBPyConnection) -> datetime | None:
    rows: list[tuple[datetime | None]] = connection.execute(
        "select max(committed_at) from loads.load_records"
    ).fetchall()
    return rows[0][0]


def add_record(connection: duckdb.DuckDBPyConnection, record: LoadRecord) -> None:
    tables = record.tables
    connection.execute(
        f"insert into loads.load_records values ({', '.join('?' * 16)})",
        [
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
        ],
    )


def add_rejected(
    connection: duckdb.DuckDBPyConnection,
    load_id: str,
    source: str,
    day: date,
    rejected: Iterable[dict[str, object]],
    at: datetime,
) -> tuple[int, tuple[Reject, ...]]:
    """Write rows set aside; returns how many there are, and the first few."""
    first: list[Reject] = []
    rows: list[list[object]] = []
    for said in rejected:
        table_name = said.pop("table_name")
        reject = Reject(**said)  # type: ignore[arg-type]
        if len(first) < REJECTS_IN_RECORD:
            first.append(reject)
        rows.append(
            [
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
            ]
        )
    if rows:
        connection.executemany(
            f"insert into loads.rejected_rows values ({', '.join('?' * 10)})", rows
        )
    return len(rows), tuple(first)


def record_of(connection: duckdb.DuckDBPyConnection, load_id: str) -> LoadRecord | None:
    """The record of a committed load."""
    rows = connection.execute(
        f"select {_COLUMNS} from loads.load_records where load_id = ?", [load_id]
    ).fetchall()
    return _record(connection, rows[0]) if rows else None


def latest_records(connection: duckdb.DuckDBPyConnection, day: date) -> tuple[LoadRecord, ...]:
    """The latest load of each source for a day, in the order of ``SOURCES``."""
    rows = connection.execute(
        f"select {_COLUMNS} from loads.load_records where day = ? "
        "qualify row_number() over (partition by source order by committed_at desc) = 1",
        [day],
    ).fetchall()
    by_source = {row[1]: row for row in rows}
    return tuple(
        _record(connection, by_source[source.name])
        for source in SOURCES
        if source.name in by_source
    )


def rows_loaded(
    connection: duckdb.DuckDBPyConnection, days: Sequence[date]
) -> dict[str, dict[date, int]]:
    """Rows read by the latest load of each source for each of these days, by source and day."""
    found = connection.execute(
        "select source, day, rows_extracted from loads.load_records where day in "
        f"({', '.join('?' * len(days))}) "
        "qualify row_number() over (partition by source, day order by committed_at desc) = 1",
        list(days),
    ).fetchall()
    return by_source_and_day(found)


def _record(connection: duckdb.DuckDBPyConnection, row: tuple[object, ...]) -> LoadRecord:
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
    rejects = connection.execute(
        f"select file, line, column_name, reason, text from loads.rejected_rows where load_id = ? "
        f"order by file, line limit {REJECTS_IN_RECORD}",
        [load_id],
    ).fetchall()
    return LoadRecord(
        load_id=load_id,  # type: ignore[arg-type]
        source=source,  # type: ignore[arg-type]
        day=day,  # type: ignore[arg-type]
        window=Window(start, end),  # type: ignore[arg-type]
        watermark=mark,  # type: ignore[arg-type]
        started_at=started_at,  # type: ignore[arg-type]
        extracted_at=extracted_at,  # type: ignore[arg-type]
        committed_at=committed_at,  # type: ignore[arg-type]
        tables=tuple(TableCounts(**table) for table in json.loads(str(tables))),
        checksum=checksum,  # type: ignore[arg-type]
        rows_rejected=rejected,  # type: ignore[arg-type]
        rejects=tuple(Reject(*reject) for reject in rejects),
    )
