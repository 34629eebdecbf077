"""The interface to a warehouse: stage Parquet parts, then commit rows, load record and watermark in
one transaction.

Two warehouses implement it: DuckDB (embedded default) and Snowflake. ``open_warehouse()`` gives the
configured one.

    with warehouse.begin_load(source, day, window) as load:     # nothing is visible yet
        load.stage(table, batches)                               # any number of times
        record = load.commit(watermark)                          # all tables and the record, or nothing

A large table can be staged by several processes, in any order, into one shared load that the last
of them commits:

    with warehouse.begin_load(source, day, window, load_id=run_id) as load:
        load.stage(table, batches, part="0003")                  # a retry replaces what it staged before

    with warehouse.begin_load(source, day, window, load_id=run_id) as load:
        record = load.commit(watermark, parts=["0000", ..., "0003"])  # stops if one is missing; a retry returns the record
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from pipeline.contracts import Column, RawTable, Source
    from pipeline.records import DayState, LoadRecord, Reject, Window
    from warehouse.settings import WarehouseSettings


class Load(Protocol):
    """One load in progress. Leaving its ``with`` block without ``commit`` discards everything that
    was staged.

    Not so a shared load (one begun with a ``load_id``): what was staged stays for the other
    processes.
    """

    @property
    def load_id(self) -> str: ...

    def stage(
        self, table: RawTable, batches: Iterable[pa.RecordBatch], *, part: str | None = None
    ) -> int:
        """Write batches to staged Parquet as they come and return their number of rows. Memory is
        flat.

        ``part`` names what is staged; staging under the same name again replaces it. A shared load
        must name its parts.

        The batches have the columns of ``table`` (plus new ones announced by ``add_column``), in
        Arrow types given by ``warehouse.arrow.schema_of(table)``. Rows become visible with
        ``commit`` only.

        Raises:
            ContractError: other columns or types, or a null in a key or another column that must
                have a value.
        """

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        """Set rows aside; they reach ``LOADS.REJECTED_ROWS`` with ``commit``."""

    def add_column(self, table: RawTable, column: Column) -> None:
        """Announce a column that the source has gained; the raw table gains it with ``commit``."""

    def commit(
        self,
        watermark: datetime | None,
        *,
        replace: bool = False,
        parts: Sequence[str] | None = None,
    ) -> LoadRecord:
        """Upsert every staged table, write the load record: one transaction.

        A row replaces the one with its key if its version is newer, or the same with other content;
        an equal row is left untouched, its metadata columns included; columns that begin with ``_``
        are lineage (when fetched, from which file): they make no row different, and move on by
        themselves in a row that is otherwise equal. A row without version is older than any with
        one. Of several staged rows with one key the newest counts. A row marked as deleted before
        this load began is there again.

        Args:
            watermark: up to here the source is complete now. A watermark never moves backward: the
                record keeps the newest one. None leaves it as it is.
            replace: the staged rows become the whole of every table of the source (full refresh),
                but for rows that another load has brought since this one began.
            parts: names of the parts that each table staged in a shared load must have; others are
                not looked at.
        """


class Warehouse(Protocol):
    """A warehouse holds raw tables, load records and rejected rows."""

    @property
    def dialect(self) -> Literal["duckdb", "snowflake"]:
        """Whose SQL ``query`` takes."""

    def begin_load(
        self, source: Source, day: date, window: Window, *, load_id: str | None = None
    ) -> AbstractContextManager[Load]:
        """Start a load. Nothing in the warehouse is touched before ``commit``, which also creates
        missing raw tables.

        With a ``load_id`` the load is shared: begun by the first process that names it, joined by
        the others, whose ``window`` is that of the first. One that was committed already returns
        its record from ``commit`` again.
        """

    def mark_deleted(
        self, table: RawTable, keys: Iterable[pa.RecordBatch], seen_at: datetime
    ) -> int:
        """Set ``_deleted_at`` of the rows with these keys to ``seen_at`` and return how many were
        marked now.

        Args:
            keys: batches with the key columns of the table.
            seen_at: when the source was asked, UTC without a zone. Rows that a load has changed
                since are left alone.
        """

    def watermark(self, source: Source) -> datetime | None:
        """The newest committed watermark of a source; None before its first load."""

    def raw_columns(self, table: RawTable) -> tuple[str, ...]:
        """Columns the raw table has now, metadata columns included, in lower case; empty if it does
        not exist yet.
        """

    def load_records(self, day: date) -> tuple[LoadRecord, ...]:
        """The latest committed load of each source for that day, in the order of ``SOURCES``."""

    def rows_loaded(self, days: Sequence[date]) -> dict[str, dict[date, int]]:
        """Rows that the latest committed load of each source has read for each of these days, by
        source and day.
        """

    def day_state(self, day: date) -> DayState:
        """Which sources have announced a day, and when its newest build began."""

    def days_to_build(self, first: date, last: date) -> dict[date, str]:
        """Complete days with a load that no build of them has read; the id of the newest such load."""

    def pending_days(self, since: date) -> list[date]:
        """Days from ``since`` on that some sources have announced and others have not."""

    def announce(self, announcement_id: str, day: date, source: Source) -> bool:
        """Record that a source announces a day now, unless all six have before; tells whether it is
        to announce alone.

        Trying the same announcement again gives the same answer: the first try may have died before
        its event was sent.
        """

    def begin_build(self, build_id: str, day: date) -> tuple[LoadRecord, ...]:
        """Record that a build of the day's marts begins now, and return what ``load_records`` then
        does.

        Whatever is committed from here on, the build may not have read.
        """

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Rows of a read-only query."""


def open_warehouse(settings: WarehouseSettings | None = None) -> Warehouse:
    """The warehouse that ``WAREHOUSE_KIND`` names."""
    from pipeline.settings import settings as configured
    from warehouse.settings import WarehouseSettings

    settings = settings or configured(WarehouseSettings)
    if settings.kind == "snowflake":
        from warehouse.snowflake.settings import SnowflakeSettings
        from warehouse.snowflake.warehouse import SnowflakeWarehouse

        return SnowflakeWarehouse(configured(SnowflakeSettings))
    from warehouse.duckdb.warehouse import DuckDBWarehouse

    return DuckDBWarehouse(settings)
