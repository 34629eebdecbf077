"""What the pipeline notes in schema LOADS: its tables, load records, rejected rows, deletions."""

# ruff: noqa: S608 - names are fixed here, values are bound

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, datetime
from typing import Any

from pipeline.contracts import BIGINT, DATE, JSON, TEXT, TIMESTAMP, Column, Source, decimal
from pipeline.records import LoadRecord, Reject, TableCounts, Window, by_source_and_day
from pipeline.sources import SOURCES
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
        *(_must("file"), _must("line", BIGINT), Column("column_name", TEXT)),
        *(_must("reason"), _must("text"), _must("rejected_at", TIMESTAMP)),
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
    """Tables of LOADS that are not there yet."""
    found = session.rows(
        "select upper(table_name) from information_schema.tables "
        "where upper(table_schema) = 'LOADS'"
    )
    return [name for name in TABLES if (name,) not in found]


def create_record_tables(session: Session) -> list[str]:
    """Create the tables of LOADS that are missing, and return their names."""
    missing = missing_tables(session)
    if missing:
        create_schema(session, "loads")
    for name in missing:
        create_table(session, f"loads.{name.lower()}", TABLES[name])
    return missing


def watermark(session: Session, source: Source) -> datetime | None:
    newest = "select max(watermark) from LOADS.LOAD_RECORDS where source = ?"
    ((found,),) = session.rows(newest, [source.name])
    return found  # type: ignore[no-any-return]


def newest_commit(session: Session) -> datetime | None:
    """When rows of a raw table were last written: by a load, or by marking some as deleted."""
    ((found,),) = session.rows(
        "select max(committed_at) from (select committed_at from LOADS.LOAD_RECORDS "
        "union all select committed_at from LOADS.DELETIONS) commits"
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
    session.execute(f"insert into LOADS.LOAD_RECORDS select {holes}", values)


def add_rejected(
    session: Session,
    load_id: str,
    source: str,
    day: date,
    rejected: Iterable[dict[str, Any]],
    at: datetime,
) -> tuple[int, tuple[Reject, ...]]:
    """Write rows set aside; return how many there are, and the first few.

    Args:
        rejected: the fields of ``Reject`` and ``table_name`` of each.
    """
    rows = [(said.pop("table_name"), Reject(**said)) for said in rejected]
    session.insert(
        "LOADS.REJECTED_ROWS",
        [
            (load_id, source, table, day, r.file, r.line, r.column, r.reason, r.text, at)
            for table, r in rows
        ],
    )
    return len(rows), tuple(reject for _, reject in rows[:REJECTS_IN_RECORD])


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
    first = (
        "select file, line, column_name, reason, text from LOADS.REJECTED_ROWS where load_id = ? "
    )
    limited = f"{first} order by file, line limit {REJECTS_IN_RECORD}"
    rejects = session.rows(limited, [load_id]) if rejected else []
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
        rejects=tuple(Reject(*reject) for reject in rejects),
    )
