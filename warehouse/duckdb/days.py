"""What has become of a day in DuckDB, schema ``loads``: who announced it when, and when its builds
began.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import duckdb

from pipeline.records import DayState
from pipeline.sources import SOURCES

_DDL = """
create schema if not exists loads;
create table if not exists loads.announcements (
    announcement_id varchar not null, day date not null, source varchar not null, announced_at timestamp not null
);
create table if not exists loads.builds (
    build_id varchar not null, day date not null, started_at timestamp not null
);
"""


def create_day_tables(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(_DDL)


def day_state(connection: duckdb.DuckDBPyConnection, day: date) -> DayState:
    announced = connection.execute(
        "select source, max(announced_at) from loads.announcements where day = ? group by source",
        [day],
    ).fetchall()
    builds = connection.execute(
        "select build_id, max(started_at) from loads.builds where day = ? group by build_id", [day]
    ).fetchall()
    return DayState(day, dict(announced), dict(builds))


def add_announcements(
    connection: duckdb.DuckDBPyConnection,
    announcement_id: str,
    day: date,
    sources: Sequence[str],
    at: datetime,
) -> None:
    rows = [[announcement_id, day, source, at] for source in sources]
    connection.executemany("insert into loads.announcements values (?, ?, ?, ?)", rows)


def is_announced_by(connection: duckdb.DuckDBPyConnection, announcement_id: str, day: date) -> bool:
    """Whether an earlier try of the same announcement was recorded: its event may not have been
    sent.
    """
    known = "select 1 from loads.announcements where announcement_id = ? and day = ? limit 1"
    return bool(connection.execute(known, [announcement_id, day]).fetchall())


def add_build(
    connection: duckdb.DuckDBPyConnection, build_id: str, day: date, at: datetime
) -> None:
    connection.execute("insert into loads.builds values (?, ?, ?)", [build_id, day, at])


def pending_days(connection: duckdb.DuckDBPyConnection, since: date) -> list[date]:
    rows = connection.execute(
        "select day from loads.announcements where day >= ? group by day having count(distinct "
        "source) < ? order by day",
        [since, len(SOURCES)],
    ).fetchall()
    return [row[0] for row in rows]
