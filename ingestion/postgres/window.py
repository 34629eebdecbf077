"""Which rows a load reads and how far the source is complete: window, overlap, watermark.

Open transactions bound it.

``updated_at`` is the start of the transaction that changed a row, but the row is seen from its
commit on. So a row can appear behind a watermark. Two things keep it from being lost: a window
reaches back behind the watermark by an overlap, and the watermark never passes the start of a
transaction that was still open when the table was read.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

from ingestion.postgres.columns import SourceColumn
from ingestion.postgres.completeness import standing
from ingestion.postgres.contract import SourceTable
from ingestion.postgres.settings import PostgresSettings
from pipeline.contracts import RawTable
from pipeline.days import upper_bound
from pipeline.records import Window

logger = logging.getLogger(__name__)
_warned: set[str] = set()

_HORIZON = """
select (select min(xact_start) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
          and backend_type is distinct from 'autovacuum worker'
          and backend_type is distinct from 'walsender') at time zone 'utc',
       (select min(prepared) from pg_prepared_xacts
        where database = current_database()) at time zone 'utc',
       pg_has_role(current_user, 'pg_read_all_stats', 'usage')
"""


@dataclass(frozen=True)
class Horizon:
    """What went on in the source just before its table was read, by its clock (UTC, no zone).

    Attributes:
        complete_until: the server held every commit up to here.
        oldest_open: start of the oldest transaction that was open.
        oldest_prepared: when the oldest prepared transaction was prepared. Its start is not known.
        blind_because: why open transactions cannot be seen from here; None where they can.
    """

    complete_until: datetime
    oldest_open: datetime | None
    oldest_prepared: datetime | None
    blind_because: str | None

    def watermark(self, end: datetime, blind_overlap: timedelta) -> datetime:
        """Up to here nothing can appear any more.

        What cannot be seen is taken to be no older than ``blind_overlap``.
        """
        marks = [end, self.complete_until]
        if self.oldest_open:
            marks.append(self.oldest_open)
        if self.oldest_prepared:
            marks.append(self.oldest_prepared - blind_overlap)
        mark = min(marks)
        return mark - blind_overlap if self.blind_because else mark


def look_around(connection: Connection, settings: PostgresSettings) -> Horizon:
    """Call *before* the snapshot: a transaction in between starts after ``complete_until``."""
    found = standing(connection)
    with connection.cursor() as cursor:
        cursor.execute(_HORIZON)
        oldest_open, oldest_prepared, sees_all = cursor.fetchone()  # type: ignore[misc]
    blind_because = None
    if found.is_replica:
        blind_because = "it is a replica, and transactions open on its primary do not show there"
    elif not sees_all:
        blind_because = (
            f"the user {settings.user!r} may not see other sessions "
            "(GRANT pg_read_all_stats TO that user)"
        )
    if blind_because and blind_because not in _warned:
        _warned.add(blind_because)
        logger.warning(
            "Open transactions of %s on %s cannot be seen: %s. Each load therefore reads %d "
            "minutes further back (POSTGRES_BLIND_OVERLAP_MINUTES); a transaction that stays open "
            "for longer may be missed until a reconciliation.",
            settings.db,
            settings.host,
            blind_because,
            settings.blind_overlap_minutes,
        )
    return Horizon(found.complete_until or found.now, oldest_open, oldest_prepared, blind_because)


def window_of(
    day: date, watermark: datetime | None, overlap: timedelta, *, from_the_beginning: bool = False
) -> Window:
    """From the watermark less the overlap to 06:00 of the day; an older day is read again whole.

    Read from the beginning, the window never ends before the watermark: the next load starts there,
    so nobody would bring what lies in between.
    """
    end = upper_bound(day)
    if watermark is None:
        return Window(None, end)
    if from_the_beginning:
        return Window(None, max(end, watermark))
    return Window(min(watermark, upper_bound(day - timedelta(days=1))) - overlap, end)


def in_window(table: RawTable, columns: dict[str, SourceColumn], window: Window) -> sql.Composable:
    """The SQL condition for the rows of a window, and those whose version no window holds.

    A row born in the window but touched after it is taken as it is now, else it would be missing
    while the rows that refer to it are there. A row without a version cannot be told unchanged, so
    it is read every time.
    """
    version, born = columns[table.version], columns.get("created_at")
    changed = _between(version, window)
    if born is None or table.append_only:
        return sql.SQL("({} or {} is null or {})").format(
            changed, version.identifier, in_no_window(version)
        )
    return sql.SQL(
        "({changed} or {start} and {born} or {version} is null and ({created} is null or "
        "{created_by_end}) or {in_no_window})"
    ).format(
        changed=changed,
        start=_after(version, window.start),
        born=_between(born, window),
        version=version.identifier,
        created=born.identifier,
        created_by_end=born.up_to(window.end),
        in_no_window=in_no_window(version),
    )


def in_no_window(version: SourceColumn) -> sql.Composable:
    """``infinity``, before Christ, or so late that no clock can have meant it."""
    now = sql.SQL("now()" if version.has_zone else "(now() at time zone 'utc')")
    return sql.SQL(
        "({version} > {now} + interval '1 day' or {version} < timestamp '0001-01-01')"
    ).format(version=version.identifier, now=now)


def of_touched(
    columns: dict[str, SourceColumn], parent: SourceTable, window: Window
) -> sql.Composable:
    """The SQL condition for rows that are part of a row in the window."""
    (key,) = parent.contract.key
    return sql.SQL("{key} in (select {parent_key} from {parent} where {touched})").format(
        key=columns[key].identifier,
        parent_key=parent.by_name[key].identifier,
        parent=parent.address,
        touched=in_window(parent.contract, parent.by_name, window),
    )


def _between(column: SourceColumn, window: Window) -> sql.Composable:
    return sql.SQL("({} and {})").format(_after(column, window.start), column.up_to(window.end))


def _after(column: SourceColumn, moment: datetime | None) -> sql.Composable:
    return sql.SQL("true") if moment is None else column.after(moment)
