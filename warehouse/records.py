"""What the pipeline notes in schema LOADS: its tables, load records, rejected rows, deletions."""

# ruff: noqa: S608 - names are fixed here, values are bound

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from pipeline.contracts import BIGINT, DATE, JSON, TEXT, TIMESTAMP, Column, Source, decimal
from pipeline.records import LoadRecord, TableCounts, Window, by_source_and_day
from pipeline.rejects import Reject
from pipeline.sources import SOURCES
from warehouse import files
from warehouse.session import Session
from warehouse.tables import create_schema, create_table

REJECTS_IN_RECORD = 5


def _must(name: str, of: Any = TEXT) -> Column:
    return Column(name, of, nullable=False)


TABLES: dict[str, tuple[Column, ...]] = {
    "LOAD_RECORDS": (
        *(_must("load_id"), _must("source"), _must("day", DATE)),
        *(Column("window_start", TIMESTAMP), _must("window_end", TIMESTAMP)),
        *(Column("watermark", TIMESTAMP), _must("started_at", TIMESTAMP)),
        *(_must("extracted_at", TIMESTAMP), _must("committed_at", TIMESTAMP)),
        *(_must(f"rows_{what}", BIGINT) for what in ("extracted", "inserted", "updated")),
        *(_must("rows_unchanged", BIGINT), _must("rows_rejected", BIGINT)),
        *(_must("tables", JSON), _must("checksum")),
    ),
    "REJECTED_ROWS": (
        *(_must("load_id"), _must("source"), _must("table_name"), _must("day", DATE)),
        *(Column("file", TEXT), Column("line", BIGINT), Column("key", TEXT)),
        *(Column("column_name", TEXT), _must("reason"), _must("text")),
        *(_must("rejected_at", TIMESTAMP), Column("healed_at", TIMESTAMP), _must("reject_id")),
    ),
    # Rows marked as deleted: each marking is a commit, with a load time of its own.
    "DELETIONS": (
        *(_must("deletion_id"), _must("table_name"), _must("seen_at", TIMESTAMP)),
        *(_must("committed_at", TIMESTAMP), _must("rows_marked", BIGINT)),
    ),
    "ANNOUNCEMENTS": (
        *(_must("announcement_id"), _must("day", DATE), _must("source")),
        _must("announced_at", TIMESTAMP),
    ),
    "BUILDS": (_must("build_id"), _must("day", DATE), _must("started_at", TIMESTAMP)),
    "SLA_BREACHES": (
        *(_must("scope"), _must("day", DATE), _must("sla_seconds", decimal(12, 3))),
        *(_must("since", TIMESTAMP), _must("reported_at", TIMESTAMP), Column("waiting_for", TEXT)),
    ),
    "FILES": files.COLUMNS,
    # The manifest of a shared load (see warehouse/manifest.py).
    "SHARED_LOADS": (
        *(_must("load_id"), _must("kind"), Column("table_name", TEXT), Column("name", TEXT)),
        *(_must("said"), _must("said_at", TIMESTAMP)),
    ),
}
_COLUMNS = (
    "load_id, source, day, window_start, window_end, watermark, started_at, extracted_at, "
    "committed_at, rows_rejected, tables, checksum"
)


def missing_tables(session: Session) -> list[str]:
    """Tables of LOADS that are not there yet, or lack columns."""
    stored = _stored(session)
    return [name for name in TABLES if _lacking(name, stored)]


def create_record_tables(session: Session) -> list[str]:
    """Create missing tables of LOADS and columns of a later release; returns both's names."""
    stored = _stored(session)
    missing = [name for name in TABLES if _lacking(name, stored)]
    if missing:
        create_schema(session, "loads")
    for name in missing:
        address = f"loads.{name.lower()}"
        if name not in stored:
            create_table(session, address, TABLES[name])
            continue
        for column in _lacking(name, stored):
            session.execute(
                f"alter table {address} add column if not exists "
                f"{session.quoted(column.name)} {session.type_name(column.type)}"
            )
        for column in TABLES[name]:
            if column.nullable:
                session.execute(
                    f"alter table {address} alter column {session.quoted(column.name)} "
                    "drop not null"
                )
    return missing


def _stored(session: Session) -> dict[str, set[str]]:
    """Names of the columns of each table of LOADS, in upper case."""
    found: dict[str, set[str]] = {}
    for table, column in session.rows(
        "select upper(table_name), upper(column_name) from information_schema.columns "
        "where upper(table_schema) = 'LOADS'"
    ):
        found.setdefault(table, set()).add(column)
    return found


def _lacking(name: str, stored: dict[str, set[str]]) -> list[Column]:
    return [c for c in TABLES[name] if c.name.upper() not in stored.get(name, set())]


def with_columns(name: str) -> str:
    """The table and its columns, for an INSERT: added columns stand last in an older table."""
    return f"LOADS.{name} ({', '.join(column.name for column in TABLES[name])})"


def watermark(session: Session, source: Source) -> datetime | None:
    newest = "select max(watermark) from LOADS.LOAD_RECORDS where source = ?"
    ((found,),) = session.rows(newest, [source.name])
    return found  # type: ignore[no-any-return]


def newest_commit(session: Session) -> datetime | None:
    """When rows of a raw table were last written: by any load, or by marking some as deleted."""
    ((found,),) = session.rows(
        "select max(committed_at) from (select committed_at from LOADS.LOAD_RECORDS "
        "union all select committed_at from LOADS.DELETIONS "
        "union all select noted_at from LOADS.FILES) commits"
    )
    return found  # type: ignore[no-any-return]


def add_record(session: Session, record: LoadRecord) -> None:
    tables = record.tables
    values: list[object] = [
        *(record.load_id, record.source, record.day, record.window.start, record.window.end),
        *(record.watermark, record.started_at, record.extracted_at, record.committed_at),
        sum(table.extracted for table in tables),
        sum(table.inserted for table in tables),
        sum(table.updated for table in tables),
        sum(table.unchanged for table in tables),
        record.rows_rejected,
        json.dumps([asdict(table) for table in tables]),
        record.checksum,
    ]
    holes = ", ".join(["?"] * 14 + [session.json("?"), "?"])
    session.execute(f"insert into {with_columns('LOAD_RECORDS')} select {holes}", values)


def record_of(session: Session, load_id: str) -> LoadRecord | None:
    """The record of a committed load."""
    found = session.rows(f"select {_COLUMNS} from LOADS.LOAD_RECORDS where load_id = ?", [load_id])
    return _record(session, *found[0]) if found else None


def latest_records(session: Session, day: date) -> tuple[LoadRecord, ...]:
    """The latest load of each source for a day, in the order of ``SOURCES``."""
    found = session.rows(
        f"select {_COLUMNS} from LOADS.LOAD_RECORDS where day = ? "
        "qualify row_number() over (partition by source order by committed_at desc) = 1",
        [day],
    )
    latest = {row[1]: row for row in found}
    return tuple(_record(session, *latest[s.name]) for s in SOURCES if s.name in latest)


def rows_loaded(session: Session, days: Sequence[date]) -> dict[str, dict[date, int]]:
    """Rows read by the latest load of each source for each of these days, by source and day."""
    found = session.rows(
        "select source, day, rows_extracted from LOADS.LOAD_RECORDS "
        f"where day in ({', '.join('?' * len(days))}) "
        "qualify row_number() over (partition by source, day order by committed_at desc) = 1",
        list(days),
    )
    return by_source_and_day(found)


def _record(
    session: Session,
    load_id: str,
    source: str,
    day: date,
    window_start: datetime | None,
    window_end: datetime,
    watermark: datetime | None,
    started_at: datetime,
    extracted_at: datetime,
    committed_at: datetime,
    rejected: int,
    tables: str,
    checksum: str,
) -> LoadRecord:
    new = session.rows(
        "select column_name, reason, text, file, line, key, count(*) over () "
        "from LOADS.REJECTED_ROWS where load_id = ? "
        f"order by file, line, key limit {REJECTS_IN_RECORD}",
        [load_id],
    )
    return LoadRecord(
        load_id=load_id,
        source=source,
        day=day,
        window=Window(window_start, window_end),
        watermark=watermark,
        started_at=started_at,
        extracted_at=extracted_at,
        committed_at=committed_at,
        tables=tuple(TableCounts(**table) for table in json.loads(tables)),
        checksum=checksum,
        rows_rejected=rejected,
        rows_newly_rejected=new[0][-1] if new else 0,
        rejects=tuple(Reject(*reject) for *reject, _ in new),
    )
