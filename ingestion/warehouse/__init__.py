"""The interface to a warehouse: stage Parquet parts, then commit rows, load record and watermark in one transaction.

Two warehouses implement it: DuckDB (embedded default) and Snowflake. ``open_warehouse()`` gives the configured one.

    with warehouse.begin_load(source, day, window) as load:     # nothing is visible yet
        load.stage(table, batches)                               # any number of times; parts can come from several processes
        record = load.commit(watermark)                          # all tables and the record, or nothing
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion.records import LoadRecord, Reject, Window
    from ingestion.settings import WarehouseSettings
    from ingestion.sources import Column, RawTable, Source


class Load(Protocol):
    """One load in progress. Leaving its ``with`` block without ``commit`` discards everything that was staged."""

    load_id: str

    def stage(self, table: RawTable, batches: Iterable[pa.RecordBatch]) -> int:
        """Write batches to staged Parquet as they come and return their number of rows. Memory is flat.

        The batches have the columns of ``table`` (plus new ones announced by ``add_column``), in Arrow types
        given by ``ingestion.arrow.schema_of(table)``. Rows become visible with ``commit`` only.
        """

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        """Set rows aside; they reach ``LOADS.REJECTED_ROWS`` with ``commit``."""

    def add_column(self, table: RawTable, column: Column) -> None:
        """Announce a column that the source has gained; the raw table gains it with ``commit``."""

    def commit(self, watermark: datetime | None, *, replace: bool = False) -> LoadRecord:
        """Upsert every staged table, write the load record: one transaction.

        A row replaces the one with its key if its version is newer, or the same with other content; an equal row is
        left untouched, its metadata columns included. ``replace``: the staged rows become the whole table (full refresh).
        """


class Warehouse(Protocol):
    """A warehouse holds raw tables, load records and rejected rows."""

    def begin_load(self, source: Source, day: date, window: Window) -> AbstractContextManager[Load]:
        """Start a load. Nothing in the warehouse is touched before ``commit``, which also creates missing raw tables."""

    def watermark(self, source: Source) -> datetime | None:
        """The newest committed watermark of a source; None before its first load."""

    def raw_columns(self, table: RawTable) -> tuple[str, ...]:
        """Columns the raw table has now, in lower case; empty if it does not exist yet."""

    def load_records(self, day: date) -> tuple[LoadRecord, ...]:
        """The latest committed load of each source for that day, in the order of ``SOURCES``."""

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Rows of a read-only query."""


def open_warehouse(settings: WarehouseSettings | None = None) -> Warehouse:
    """The warehouse that ``WAREHOUSE_KIND`` names."""
    from ingestion.settings import WarehouseSettings
    from ingestion.settings import settings as configured

    settings = settings or configured(WarehouseSettings)
    if settings.kind == "snowflake":
        raise NotImplementedError("WAREHOUSE_KIND=snowflake is not available yet; use duckdb.")
    from ingestion.warehouse.duckdb import DuckDBWarehouse

    return DuckDBWarehouse(settings)
