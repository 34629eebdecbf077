"""What it costs that each load compares the keys of the source with those of the raw table.

    python -m benchmarks.ingestion_postgres_keys [--orders 12000000]

A shop with two and a half lines per order is loaded, then a day of it: 17,000 new orders, four
times as many touched, a hundred deleted all over the table. Printed are the seconds of that day's
loads, and of the comparison in them, for orders and for lines, with the processor time of this
process and of its PostgreSQL server, which other programs on the machine disturb less.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from ingestion.postgres.load import PostgresExtractor
from ingestion.postgres.settings import PostgresSettings
from pipeline.sources import ORDER_ITEMS, ORDERS
from sandbox.postgres import EmbeddedPostgres
from sandbox.shop import SCHEMA
from warehouse import Warehouse
from warehouse.duckdb.warehouse import DuckDBWarehouse
from warehouse.settings import WarehouseSettings

DAY, NEXT_DAY = date(2026, 11, 22), date(2026, 11, 23)
A_DAY = 17_000
ORDERS_BORN = """
insert into orders select i, null, born, 'completed', 10, i || ' Main Street', 'Springfield', 'CA',
    'US', '12345', born, born
from (select i, timestamp '2024-11-21' + i * (interval '730 days' / %(orders)s) as born
      from generate_series(1, %(orders)s) i) orders
"""
LINES_BORN = """
insert into order_items select i, (i * 2 + 4) / 5, null, 1, 4, null, 4,
    timestamp '2024-11-21' + (i * 2 + 4) / 5 * (interval '730 days' / %(orders)s)
from generate_series(1::bigint, %(orders)s * 5 / 2) i
"""
A_DAY_LATER = """
insert into orders select %(orders)s + i, null, '2026-11-22 12:00', 'new', 10, i || ' Main Street',
    'Springfield', 'CA', 'US', '12345', '2026-11-22 12:00', '2026-11-22 12:00'
from generate_series(1, %(a_day)s) i;
insert into order_items select %(orders)s * 5 / 2 + i, %(orders)s + (i * 2 + 4) / 5, null, 1, 4,
    null, 4, '2026-11-22 12:00'
from generate_series(1, %(a_day)s * 5 / 2) i;
update orders set updated_at = '2026-11-22 12:00'
where order_id between %(orders)s - %(a_day)s * 4 and %(orders)s;
delete from order_items where order_id %% (%(orders)s / 200) = 0 and order_id <= %(orders)s / 2;
delete from orders where order_id %% (%(orders)s / 200) = 0 and order_id <= %(orders)s / 2;
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--orders", type=int, default=12_000_000)
    orders = parser.parse_args().orders
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=False) as server,
    ):
        measure(server, Path(folder), orders)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}", flush=True)


def measure(server: EmbeddedPostgres, folder: Path, orders: int) -> None:
    server.create_database("shop")

    def execute(*statements: str) -> None:
        with closing(psycopg2.connect(server.dsn("shop"))) as connection:
            connection.autocommit = True
            for statement in statements:
                connection.cursor().execute(statement, {"orders": orders, "a_day": A_DAY})

    tables = "orders, order_items"
    execute(SCHEMA, "alter table order_items drop constraint order_items_order_id_fkey")
    execute(ORDERS_BORN, LINES_BORN, f"vacuum analyze {tables}")
    settings = PostgresSettings(_env_file=None, **server.settings("shop"))  # type: ignore[arg-type]
    warehouse = DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=folder / "warehouse"))
    extractor = Watched(settings, warehouse, server)
    for table in (ORDERS, ORDER_ITEMS):
        extractor.extract_table(table, DAY)
    execute(A_DAY_LATER, f"vacuum analyze {tables}")
    for table in (ORDERS, ORDER_ITEMS):
        started = Spent.until_now(server)
        record = extractor.extract_table(table, NEXT_DAY)
        whole = Spent.until_now(server) - started
        print(f"{table.name}: {whole}; to compare keys {extractor.compared}. {record.summary}")


@dataclass(frozen=True)
class Spent:
    """Seconds: by the clock, and of processors."""

    clock: float
    processor: float

    @classmethod
    def until_now(cls, server: EmbeddedPostgres) -> Spent:
        postmaster = psutil.Process(server.pid)
        of_server = [p.cpu_times() for p in (postmaster, *postmaster.children())]
        used = sum(times.user + times.system for times in of_server)
        used += of_server[0].children_user + of_server[0].children_system
        return cls(time.perf_counter(), time.process_time() + used)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.clock - other.clock, self.processor - other.processor)

    def __str__(self) -> str:
        return f"{self.clock:.2f} s ({self.processor:.2f} s of processors)"


class Watched(PostgresExtractor):
    """Knows what its last comparison of keys took."""

    def __init__(
        self, settings: PostgresSettings, warehouse: Warehouse, server: EmbeddedPostgres
    ) -> None:
        super().__init__(settings, warehouse)
        self.server, self.compared = server, Spent(0, 0)

    def _reading(self, *arguments: Any) -> Any:
        started = Spent.until_now(self.server)
        found = super()._reading(*arguments)
        self.compared = Spent.until_now(self.server) - started
        return found


if __name__ == "__main__":
    main()
