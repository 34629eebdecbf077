"""A shop in a real PostgreSQL beside a warehouse: rows in, loads, both compared row by row."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from ingestion.postgres.load import PostgresExtractor
from ingestion.postgres.reconcile import reconcile_table
from ingestion.postgres.settings import PostgresSettings
from pipeline.contracts import RawTable
from pipeline.records import LoadRecord
from pipeline.sources import ORDERS, source

if TYPE_CHECKING:
    from ingestion.reconcile import Report
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

DAY = date(2026, 3, 10)
NEXT_DAY = date(2026, 3, 11)
BEFORE = "2026-03-10 04:00:00"


class Shop:
    """``source`` and ``warehouse`` with the extractor between them."""

    def __init__(self, source: SourceDatabase, warehouse: DuckDBWarehouse) -> None:
        self.source = source
        self.warehouse = warehouse

    def extractor(self, **settings: Any) -> PostgresExtractor:
        return PostgresExtractor(self.settings(**settings), self.warehouse)

    def settings(self, **changed: Any) -> PostgresSettings:
        return self.source.settings.model_copy(update=changed)

    def load(
        self, day: date = DAY, table: RawTable | str = ORDERS, *, full_refresh: bool = False
    ) -> LoadRecord:
        return self.extractor().extract_table(table, day, full_refresh=full_refresh)

    def reconcile(self, *, repair: bool = False, name: str = "orders") -> Report:
        return reconcile_table(source(name), self.source.settings, self.warehouse, repair=repair)

    def order(
        self,
        order_id: int,
        created_at: str | None = BEFORE,
        updated_at: str | None = "",
        **columns: Any,
    ) -> None:
        """A new order; ``updated_at`` is ``created_at`` unless given."""
        row = {
            "order_id": order_id,
            "order_date": created_at or BEFORE,
            "status": "pending",
            "total_amount": "10.00",
            "created_at": created_at,
            "updated_at": created_at if updated_at == "" else updated_at,
            **columns,
        }
        self.source.execute(
            f"insert into orders ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})",
            list(row.values()),
        )

    def change(self, order_id: int, status: str, updated_at: str) -> None:
        self.source.execute(
            "update orders set status = %s, updated_at = %s where order_id = %s",
            (status, updated_at, order_id),
        )

    def raw(
        self, columns: str = "*", table: RawTable = ORDERS, where: str = "true"
    ) -> list[tuple[Any, ...]]:
        raw = f"{table.schema.lower()}.{table.raw_name.lower()}"
        return self.warehouse.query(
            f"select {columns} from {raw} where {where} order by {', '.join(table.key)}"
        )

    def statuses(self) -> dict[int, str]:
        """Status by order, of the orders that are not marked as deleted."""
        there = self.raw("order_id, status", where="_deleted_at is null")
        return {int(order_id): str(status) for order_id, status in there}

    def assert_equal(self, table: RawTable = ORDERS, extra: Sequence[str] = ()) -> None:
        """Source and warehouse hold the same rows, value by value."""
        columns = ", ".join([*table.column_names, *extra])
        expected = self.source.query(
            f"select {columns} from {table.name} order by {', '.join(table.key)}"
        )
        assert self.raw(columns, table, "_deleted_at is null") == expected


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
