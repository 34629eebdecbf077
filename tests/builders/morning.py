"""A morning of a whole shop: six loaders on real stand-ins, dbt, tests, publication."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import duckdb

import transform
from ingestion.csv_uploads.load import CsvLoader
from ingestion.csv_uploads.settings import CsvSettings
from ingestion.postgres.load import PostgresExtractor
from ingestion.stripe_api.load import StripeConnector
from ingestion.stripe_api.settings import StripeSettings
from pipeline.sources import SOURCES
from transform.publication import published_file
from transform.results import Layer, TestResult
from transform.settings import TransformSettings

if TYPE_CHECKING:
    from pipeline.records import LoadRecord
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

KEY = "sk_test_morning"
SPEND = "date,channel,campaign_name,spend,impressions,clicks\n{day},email,spring,10.00,100,10\n"
PERFORMANCE = (
    "date,campaign_id,campaign_name,channel,conversions,revenue_attributed\n"
    "{day},c1,spring,email,1,20.00\n"
)


@dataclass
class Morning:
    """The sources of a shop, and what becomes of them."""

    source: SourceDatabase
    stripe_url: str
    warehouse: DuckDBWarehouse
    inbox: Path
    target_path: Path
    stripe: dict[str, Any] = field(default_factory=dict)

    def sell(self, orders: dict[int, str], day: date) -> None:
        """Delivered orders of one line each, by number and total, placed before the day ends."""
        at = f"{day} 00:30:00"
        self.source.execute(
            "insert into customers (customer_id, email, created_at, updated_at) values "
            f"(1, 'one@example.com', '{at}', '{at}') on conflict do nothing"
        )
        self.source.execute(
            "insert into products (product_id, name, price, created_at, updated_at) values "
            f"(1, 'Kettle', 100, '{at}', '{at}') on conflict do nothing"
        )
        for number, total in orders.items():
            self.source.execute(
                "insert into orders (order_id, customer_id, order_date, status, total_amount, "
                f"created_at, updated_at) values (%s, 1, '{at}', 'delivered', %s, '{at}', '{at}')",
                [number, total],
            )
            self.source.execute(
                "insert into order_items (order_item_id, order_id, product_id, quantity, "
                "unit_price, discount_pct, line_total, created_at) "
                f"values (%s, %s, 1, 1, %s, 0, %s, '{at}')",
                [number, number, total, total],
            )

    def load(self, day: date, sources: Sequence[str] = ()) -> dict[str, LoadRecord]:
        """Load all six sources, or some of them; the records by source."""
        self.inbox.mkdir(exist_ok=True)
        for name, text in (("marketing_spend", SPEND), ("campaign_performance", PERFORMANCE)):
            (self.inbox / f"{name}.csv").write_text(text.format(day=day))
        stripe = StripeSettings(
            _env_file=None,
            **{
                "api_key": KEY,
                "api_base": self.stripe_url,
                "max_requests_per_second": 10_000,
                "relist_weekday": "never",
                **self.stripe,
            },
        )
        loaders = {
            "postgres": lambda name: PostgresExtractor(
                self.source.settings, self.warehouse
            ).extract_table(name, day),
            "stripe": lambda _: StripeConnector(stripe, self.warehouse).load_charges(day),
            "csv": lambda _: CsvLoader(
                CsvSettings(_env_file=None, inbox=str(self.inbox)), self.warehouse
            ).run(day),
        }
        wanted = [source for source in SOURCES if not sources or source.name in sources]
        return {source.name: loaders[source.kind](source.name) for source in wanted}

    def publish(self, day: date) -> TestResult:
        """Build, test and publish the marts of the day; what the tests said."""
        warehouse, dbt = (
            self.warehouse.settings,
            TransformSettings(
                _env_file=None, target_path=self.target_path, log_path=self.target_path, threads=2
            ),
        )
        for layer in get_args(Layer):
            transform.run_layer(layer, day, warehouse=warehouse, dbt=dbt)
        tested = transform.test_all(day, warehouse=warehouse, dbt=dbt)
        transform.publish_marts(day, warehouse=warehouse, dbt=dbt)
        return tested

    def published(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of SQL on the published marts (schema ``published``)."""
        file = published_file(self.warehouse.settings)
        with duckdb.connect(str(file), read_only=True) as connection:
            return connection.execute(sql).fetchall()
