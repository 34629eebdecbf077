"""The ledger of files, ``LOADS.FILES``: one row for each version of a file that was read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, datetime

from pipeline.contracts import BIGINT, DATE, TEXT, TIMESTAMP, Column
from pipeline.files import FileRecord
from warehouse.session import Session


def _must(name: str, of: object = TEXT) -> Column:
    return Column(name, of, nullable=False)  # type: ignore[arg-type]


COLUMNS: tuple[Column, ...] = (
    *(_must("source"), _must("name"), _must("table_name"), _must("series")),
    *(_must("size", BIGINT), _must("hash"), _must("modified_at", TIMESTAMP), _must("state")),
    *(_must("day", DATE), Column("reason", TEXT)),
    *(_must("rows_read", BIGINT), _must("rows_rejected", BIGINT)),
    *(Column("first_date", DATE), Column("last_date", DATE)),
    # JSON as text: what is read back is what was written, on every engine.
    *(_must("channels"), Column("read_until", DATE)),
    *(_must("load_id"), _must("noted_at", TIMESTAMP)),
)


def add_files(
    session: Session, source: str, load_id: str, files: Iterable[FileRecord], at: datetime
) -> None:
    """Note files in the transaction of the load that read them."""
    session.insert(
        f"LOADS.FILES ({', '.join(column.name for column in COLUMNS)})",
        [
            (
                *(source, file.name, file.table, file.series, file.size, file.hash),
                *(file.modified_at, file.state, file.day, file.reason, file.rows, file.rejected),
                *(file.first_date, file.last_date),
                json.dumps({name: str(newest) for name, newest in file.channels.items()}),
                *(file.read_until, load_id, at),
            )
            for file in files
        ],
    )


def file_records(session: Session, source: str) -> list[FileRecord]:
    """Every version of every file that was read, the oldest first."""
    found = session.rows(
        "select name, table_name, series, size, hash, modified_at, state, day, reason, rows_read, "
        "rows_rejected, first_date, last_date, channels, read_until from LOADS.FILES "
        "where source = ? order by noted_at, name",
        [source],
    )
    return [_record(*row) for row in found]


def _record(*row: object) -> FileRecord:
    *before, channels, read_until = row
    newest = {name: date.fromisoformat(day) for name, day in json.loads(str(channels)).items()}
    return FileRecord(*before, channels=newest, read_until=read_until)  # type: ignore
