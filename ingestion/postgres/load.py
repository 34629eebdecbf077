"""Loads a day of one PostgreSQL table, in one go or in parts that several tasks read."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from psycopg2 import sql

from ingestion.postgres.aside import RowsAside
from ingestion.postgres.gained import columns_to_fill
from ingestion.postgres.keys import (
    KeyDifferences,
    can_be_compared,
    having_keys,
    key_differences,
)
from ingestion.postgres.parts import Part, estimated_rows, in_range, key_ranges
from ingestion.postgres.settings import PostgresSettings
from ingestion.postgres.snapshot import Snapshot, open_snapshot
from ingestion.postgres.window import in_window, of_touched, window_of
from ingestion.reconcile.dialect import dialect
from pipeline.contracts import RawTable, Source
from pipeline.days import upper_bound
from pipeline.errors import MissingInputError, PermanentError
from pipeline.records import LoadRecord, Window
from pipeline.settings import settings
from pipeline.sources import SOURCES, source
from warehouse import Warehouse, open_warehouse

logger = logging.getLogger(__name__)

BORN_OLD = "born-old"  # the part of a plan with the rows that no window brings


@dataclass(frozen=True)
class _Before:
    """What the warehouse holds of a table before a load.

    Attributes:
        asked_at: when this was asked, UTC without a zone.
        watermark: of the source; None before its first load.
        columns: of the raw table. Empty: there is none yet, or a full refresh starts afresh.
        has_rows: the raw table has rows that are not marked as deleted.
    """

    asked_at: datetime
    watermark: datetime | None
    columns: tuple[str, ...]
    has_rows: bool


@dataclass(frozen=True)
class _Reading:
    """What a load reads, and what it takes away.

    Attributes:
        conditions: for the rows of the window and, apart, those that are part of a row in it.
        differences: between the keys of the two sides.
    """

    conditions: tuple[sql.Composable, ...]
    differences: KeyDifferences


class PostgresExtractor:
    """Reads tables of one PostgreSQL database into one warehouse.

    Every method raises an ``PipelineError`` when something is wrong, and then has changed nothing
    in the warehouse.
    """

    def __init__(self, settings: PostgresSettings, warehouse: Warehouse) -> None:
        self.settings = settings
        self.warehouse = warehouse

    def extract_table(
        self, table: RawTable | str, day: date, *, full_refresh: bool = False
    ) -> LoadRecord:
        """Load what changed up to 06:00 UTC of the day.

        ``full_refresh`` reads all rows and swaps them in.
        """
        source, raw = _declared(table)
        before = self._before(source, raw, full_refresh)
        with self._snapshot(raw, day, before.columns) as snapshot:
            window = self._window(snapshot, day, before)
            self.warehouse.empty_columns(raw, [column.name for column in snapshot.table.gone])
            aside = RowsAside(self.warehouse, source, snapshot.table)
            reading = self._reading(snapshot, window, before, aside)
            with self.warehouse.begin_load(source, day, window, started_at=before.asked_at) as load:
                load.stage_gone(raw, reading.differences.gone_batches(raw))
                unseen = having_keys(snapshot, reading.differences.unseen)
                rows = aside.stage(load, snapshot, [*reading.conditions, *unseen])
                if not rows and before.watermark is None:
                    logger.warning(
                        "The first load of %s found no row up to %s UTC in the source. Is it the "
                        "right database, and has it been filled?",
                        source.name,
                        window.end,
                    )
                # the commit may take a while: hold nothing in the source meanwhile
                snapshot.connection.close()
                watermark = self._watermark(snapshot, window)
                return _told(load.commit(watermark, replace=full_refresh))

    def plan_parts(
        self, table: RawTable | str, day: date, *, full_refresh: bool = False
    ) -> list[Part]:
        """The parts to read the table in: one, up to ``POSTGRES_SPLIT_ROWS`` rows to read.

        Hand each to ``extract_part``, in any process and any number of times, and all of them to
        ``commit_parts``.
        """
        source, raw = _declared(table)
        before = self._before(source, raw, full_refresh)
        with self._snapshot(raw, day, before.columns) as snapshot:
            window = self._window(snapshot, day, before)
            self.warehouse.empty_columns(raw, [column.name for column in snapshot.table.gone])
            aside = RowsAside(self.warehouse, source, snapshot.table)
            reading = self._reading(snapshot, window, before, aside)
            rows = sum(
                estimated_rows(snapshot.connection, snapshot.query(condition))
                for condition in reading.conditions
            )
            count = min(-(-rows // self.settings.split_rows), self.settings.max_parts)
            load_id = f"{source.name}-{day}-{secrets.token_hex(6)}"
            differences = reading.differences
            if differences.gone or differences.unseen:
                with self.warehouse.begin_load(
                    source, day, window, load_id=load_id, started_at=before.asked_at
                ) as load:
                    load.stage_gone(raw, differences.gone_batches(raw))
                    unseen = having_keys(snapshot, differences.unseen)
                    aside.stage(load, snapshot, unseen, BORN_OLD)
            return [
                Part(
                    load_id=load_id,
                    table=raw.name,
                    day=day,
                    window=window,
                    watermark=self._watermark(snapshot, window),
                    full_refresh=full_refresh,
                    further=(BORN_OLD,) if differences.gone or differences.unseen else (),
                    columns=tuple(column.name for column in snapshot.table.declared),
                    number=number,
                    low=low,
                    high=high,
                )
                for number, (low, high) in enumerate(
                    key_ranges(snapshot.connection, snapshot.table, count)
                )
            ]

    def extract_part(self, part: Part) -> int:
        """Read and stage one part; nothing is visible yet.

        Returns its rows. Doing it again replaces what was staged.
        """
        source, raw = _declared(part.table)
        with (
            self._snapshot(raw, part.day, part.columns, may_gain=False) as snapshot,
            self.warehouse.begin_load(source, part.day, part.window, load_id=part.load_id) as load,
        ):
            aside = RowsAside(self.warehouse, source, snapshot.table)
            inside = in_range(snapshot.table, part.low, part.high)
            conditions = [
                sql.SQL("{} and {}").format(condition, inside)
                for condition in _conditions(snapshot, part.window, aside)
            ]
            return aside.stage(load, snapshot, conditions, part.name)

    def commit_parts(self, parts: Sequence[Part]) -> LoadRecord:
        """Commit all parts of a plan as one load: all or nothing.

        Doing it again returns the same record.
        """
        if not parts or len({part.load_id for part in parts}) != 1:
            raise PermanentError(
                "The parts of exactly one plan are to be committed together. Run the load from its "
                "first task."
            )
        first = parts[0]
        source, _ = _declared(first.table)
        with self.warehouse.begin_load(
            source, first.day, first.window, load_id=first.load_id
        ) as load:
            names = [*(part.name for part in parts), *first.further]
            return _told(load.commit(first.watermark, replace=first.full_refresh, parts=names))

    def _snapshot(
        self, table: RawTable, day: date, remembered: tuple[str, ...], *, may_gain: bool = True
    ) -> AbstractContextManager[Snapshot]:
        """Of a server that holds everything up to 06:00 UTC of the day."""
        return open_snapshot(
            self.settings, table, remembered, may_gain=may_gain, complete_until=upper_bound(day)
        )

    def _before(self, source: Source, table: RawTable, full_refresh: bool) -> _Before:
        """What is known before the read; the watermark is asked for first.

        If the very first load, of another day, commits in between, this one is a first load as
        well, up to the end of its own day, and not one of a table that has been dropped.
        """
        asked_at, watermark = self.warehouse.now(), self.warehouse.watermark(source)
        columns = () if full_refresh else self.warehouse.raw_columns(table)
        address = dialect(self.warehouse.dialect).address(table)
        some = f"select 1 from {address} where _deleted_at is null limit 1"  # noqa: S608 - quoted
        return _Before(
            asked_at, watermark, columns, has_rows=bool(columns and self.warehouse.query(some))
        )

    def _reading(
        self, snapshot: Snapshot, window: Window, before: _Before, aside: RowsAside
    ) -> _Reading:
        raw, conditions = snapshot.table.contract, _conditions(snapshot, window, aside)
        if not before.has_rows or not can_be_compared(raw):
            return _Reading(conditions, KeyDifferences())
        read = sql.SQL(" or ").join(conditions)
        found = key_differences(snapshot, self.warehouse, window, read)
        found.refuse_too_many(raw.name, self.settings.max_gone)
        if found.gone or found.unseen:
            logger.info(
                "%s: %d rows are gone from the source, %d were born before the window.",
                raw.name,
                len(found.gone),
                len(found.unseen),
            )
        return _Reading(conditions, found)

    def _window(self, snapshot: Snapshot, day: date, before: _Before) -> Window:
        """The window; from the beginning without rows yet, after a new column, or on request.

        After a new column, rows that did not change have a value in it as well.
        """
        new = columns_to_fill(snapshot, self.warehouse, before.columns) if before.has_rows else []
        if new:
            logger.warning(
                "The source table %s has gained %s: all its rows are read again.",
                snapshot.table.contract.name,
                ", ".join(new),
            )
        overlap = timedelta(minutes=self.settings.overlap_minutes)
        return window_of(
            day, before.watermark, overlap, from_the_beginning=not before.has_rows or bool(new)
        )

    def _watermark(self, snapshot: Snapshot, window: Window) -> datetime:
        return snapshot.horizon.watermark(
            window.end, timedelta(minutes=self.settings.blind_overlap_minutes)
        )


def load(source: Source, day: date, warehouse: Warehouse, full_refresh: bool) -> LoadRecord:
    """Load one day of one source with the configured settings."""
    return _extractor(warehouse).extract_table(source.tables[0], day, full_refresh=full_refresh)


# What the tasks of a load in parts call: their parts travel as plain JSON.


def plan_parts(source_name: str, day: date) -> list[dict[str, Any]]:
    """The parts of one load: each for ``load_part``, all of them for ``commit_parts``."""
    planned = _extractor(open_warehouse()).plan_parts(source(source_name).tables[0], day)
    return [part.as_dict() for part in planned]


def load_part(part: dict[str, Any]) -> int:
    """Read and stage one part, in whatever process; nothing is visible yet. Returns its rows."""
    return _extractor(open_warehouse()).extract_part(Part.from_dict(part))


def commit_parts(parts: Sequence[dict[str, Any]]) -> LoadRecord:
    """Commit all parts of a plan as one load, all or nothing; again returns the same record."""
    record = _extractor(open_warehouse()).commit_parts([Part.from_dict(part) for part in parts])
    logger.info("%s", record.summary)
    return record


def _extractor(warehouse: Warehouse) -> PostgresExtractor:
    return PostgresExtractor(settings(PostgresSettings), warehouse)


def _declared(table: RawTable | str) -> tuple[Source, RawTable]:
    name = table if isinstance(table, str) else table.name
    declared = {
        raw.name: (each, raw) for each in SOURCES if each.kind == "postgres" for raw in each.tables
    }
    if name not in declared:
        raise MissingInputError(
            f"No PostgreSQL table {name!r} is declared in pipeline/sources.py. Declared are: "
            f"{', '.join(declared)}."
        )
    owner, raw = declared[name]
    return owner, raw if isinstance(table, str) else table


def _told(record: LoadRecord) -> LoadRecord:
    if record.rows_newly_rejected:
        logger.warning(
            "%d rows were set aside in LOADS.REJECTED_ROWS. The first: %s.",
            record.rows_newly_rejected,
            "; ".join(reject.sentence for reject in record.rejects),
        )
    return record


def _conditions(snapshot: Snapshot, window: Window, aside: RowsAside) -> tuple[sql.Composable, ...]:
    """For the rows of a window, with those set aside, and apart those of touched ones.

    Apart so that each can use an index; no row meets both.
    """
    table = snapshot.table
    inside = sql.SQL("({} or {})").format(
        in_window(table.contract, table.by_name, window), aside.condition
    )
    if snapshot.parent is None:
        return (inside,)
    touched = of_touched(table.by_name, snapshot.parent, window)
    return inside, sql.SQL("({} and {} is not true)").format(touched, inside)
