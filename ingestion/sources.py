"""The contract of every source, declared once: which raw tables it fills, with which columns, key and version.

The extractors, the loader, the DAGs, the Datasets and the raw DDL take it from here; dbt's source file and the docs
are checked against it by a test. Nothing heavy is imported: DAG files read this module to be drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

TypeName = Literal["integer", "bigint", "decimal", "string", "boolean", "timestamp", "date", "json"]
SourceKind = Literal["postgres", "stripe", "csv"]


@dataclass(frozen=True)
class ColumnType:
    """A column's type, free of any dialect. Timestamps are UTC without a zone, in microseconds."""

    name: TypeName
    precision: int | None = None
    scale: int | None = None
    length: int | None = None

    def __str__(self) -> str:
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.name == "string" and self.length:
            return f"string({self.length})"
        return self.name


INTEGER = ColumnType("integer")
BIGINT = ColumnType("bigint")
BOOLEAN = ColumnType("boolean")
TIMESTAMP = ColumnType("timestamp")
DATE = ColumnType("date")
JSON = ColumnType("json")
TEXT = ColumnType("string")


def decimal(precision: int, scale: int) -> ColumnType:
    return ColumnType("decimal", precision=precision, scale=scale)


def string(length: int) -> ColumnType:
    return ColumnType("string", length=length)


@dataclass(frozen=True)
class Column:
    name: str
    type: ColumnType
    nullable: bool = True


@dataclass(frozen=True)
class RawTable:
    """One raw table.

    Attributes:
        name: what the source calls it, lower case; the raw table is ``RAW_<NAME>``.
        schema: schema in the raw database: POSTGRES, STRIPE or CSV_UPLOADS.
        columns: the source's columns in order; the load's metadata columns (``METADATA_COLUMNS``) come on top.
        key: the columns that identify a row.
        version: the column that orders two versions of a row; an older version never replaces a newer one.
        append_only: rows never change in the source, so ``version`` is the time of their creation.
    """

    name: str
    schema: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    version: str
    append_only: bool = False

    @property
    def raw_name(self) -> str:
        return f"RAW_{self.name.upper()}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


METADATA_COLUMNS: tuple[Column, ...] = (
    Column("_load_id", TEXT, nullable=False),  # the load that last changed the row
    Column("_loaded_at", TIMESTAMP, nullable=False),  # when that load committed its rows
    Column("_day", DATE, nullable=False),  # the day that load was for
    Column("_deleted_at", TIMESTAMP),  # set by reconciliation when the row is gone from the source
)


@dataclass(frozen=True)
class Source:
    """One source: one extraction DAG, one Dataset, one load a day.

    Attributes:
        name: the name in load records, alerts and the shell, for example ``orders``.
        kind: postgres, stripe or csv.
        dag_id: the DAG, and its main task, that loads it.
        tables: the raw tables it fills, together, in one transaction.
    """

    name: str
    kind: SourceKind
    dag_id: str
    tables: tuple[RawTable, ...]
    description: str = field(default="", compare=False)

    @property
    def dataset_uri(self) -> str:
        """Address of the Dataset whose events say that a day of this source is loaded."""
        return f"ecommerce://raw/{self.name}"

    def table(self, name: str) -> RawTable:
        return next(table for table in self.tables if table.name == name)


CUSTOMERS = RawTable(
    name="customers",
    schema="POSTGRES",
    key=("customer_id",),
    version="updated_at",
    columns=(
        Column("customer_id", INTEGER, nullable=False),
        Column("email", string(255), nullable=False),
        Column("first_name", string(100)),
        Column("last_name", string(100)),
        Column("phone", string(50)),
        Column("address", string(500)),
        Column("city", string(100)),
        Column("state", string(100)),
        Column("country", string(100)),
        Column("zip_code", string(20)),
        Column("created_at", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
    ),
)

PRODUCTS = RawTable(
    name="products",
    schema="POSTGRES",
    key=("product_id",),
    version="updated_at",
    columns=(
        Column("product_id", INTEGER, nullable=False),
        Column("name", string(255), nullable=False),
        Column("category", string(100)),
        Column("subcategory", string(100)),
        Column("price", decimal(10, 2), nullable=False),
        Column("cost", decimal(10, 2)),
        Column("weight_kg", decimal(8, 2)),
        Column("is_active", BOOLEAN),
        Column("created_at", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
    ),
)

ORDERS = RawTable(
    name="orders",
    schema="POSTGRES",
    key=("order_id",),
    version="updated_at",
    columns=(
        Column("order_id", INTEGER, nullable=False),
        Column("customer_id", INTEGER),
        Column("order_date", TIMESTAMP, nullable=False),
        Column("status", string(50), nullable=False),
        Column("total_amount", decimal(12, 2), nullable=False),
        Column("shipping_address", string(500)),
        Column("shipping_city", string(100)),
        Column("shipping_state", string(100)),
        Column("shipping_country", string(100)),
        Column("shipping_zip", string(20)),
        Column("created_at", TIMESTAMP),
        Column("updated_at", TIMESTAMP),
    ),
)

ORDER_ITEMS = RawTable(
    name="order_items",
    schema="POSTGRES",
    key=("order_item_id",),
    version="created_at",
    append_only=True,
    columns=(
        Column("order_item_id", INTEGER, nullable=False),
        Column("order_id", INTEGER),
        Column("product_id", INTEGER),
        Column("quantity", INTEGER),
        Column("unit_price", decimal(10, 2), nullable=False),
        Column("discount_pct", decimal(5, 2)),
        Column("line_total", decimal(12, 2), nullable=False),
        Column("created_at", TIMESTAMP),
    ),
)

# Stripe. `amount` is in major units, exact for zero- and three-decimal currencies as well; `amount_minor` is what Stripe
# sent. `_fetched_at` orders two versions of an object, because Stripe's objects carry no time of their last change.
CHARGES = RawTable(
    name="charges",
    schema="STRIPE",
    key=("charge_id",),
    version="_fetched_at",
    columns=(
        Column("charge_id", TEXT, nullable=False),
        Column("order_id", TEXT),  # metadata.order_id, as text: what a person typed is not always a number
        Column("customer_id", TEXT),
        Column("payment_intent_id", TEXT),
        Column("status", TEXT, nullable=False),
        Column("currency", string(3), nullable=False),
        Column("amount_minor", BIGINT, nullable=False),
        Column("amount", decimal(18, 3), nullable=False),
        Column("amount_captured", decimal(18, 3)),
        Column("amount_refunded", decimal(18, 3)),
        Column("is_paid", BOOLEAN),
        Column("is_captured", BOOLEAN),
        Column("is_refunded", BOOLEAN),
        Column("is_disputed", BOOLEAN),
        Column("failure_code", TEXT),
        Column("created_at", TIMESTAMP, nullable=False),
        Column("payload", JSON, nullable=False),
        Column("_fetched_at", TIMESTAMP, nullable=False),
    ),
)

REFUNDS = RawTable(
    name="refunds",
    schema="STRIPE",
    key=("refund_id",),
    version="_fetched_at",
    columns=(
        Column("refund_id", TEXT, nullable=False),
        Column("charge_id", TEXT),
        Column("status", TEXT),
        Column("reason", TEXT),
        Column("currency", string(3), nullable=False),
        Column("amount_minor", BIGINT, nullable=False),
        Column("amount", decimal(18, 3), nullable=False),
        Column("created_at", TIMESTAMP, nullable=False),
        Column("payload", JSON, nullable=False),
        Column("_fetched_at", TIMESTAMP, nullable=False),
    ),
)

DISPUTES = RawTable(
    name="disputes",
    schema="STRIPE",
    key=("dispute_id",),
    version="_fetched_at",
    columns=(
        Column("dispute_id", TEXT, nullable=False),
        Column("charge_id", TEXT),
        Column("status", TEXT, nullable=False),
        Column("reason", TEXT),
        Column("currency", string(3), nullable=False),
        Column("amount_minor", BIGINT, nullable=False),
        Column("amount", decimal(18, 3), nullable=False),
        Column("created_at", TIMESTAMP, nullable=False),
        Column("payload", JSON, nullable=False),
        Column("_fetched_at", TIMESTAMP, nullable=False),
    ),
)

# CSV. `_file_modified_at` orders two versions of a row: a corrected export replaces the earlier one.
MARKETING_SPEND = RawTable(
    name="marketing_spend",
    schema="CSV_UPLOADS",
    key=("date", "channel", "campaign_name"),
    version="_file_modified_at",
    columns=(
        Column("date", DATE, nullable=False),
        Column("channel", string(100), nullable=False),
        Column("campaign_name", string(255), nullable=False),
        Column("spend", decimal(12, 2), nullable=False),
        Column("impressions", BIGINT),
        Column("clicks", BIGINT),
        Column("_file_name", TEXT, nullable=False),
        Column("_file_modified_at", TIMESTAMP, nullable=False),
    ),
)

CAMPAIGN_PERFORMANCE = RawTable(
    name="campaign_performance",
    schema="CSV_UPLOADS",
    key=("date", "campaign_id"),
    version="_file_modified_at",
    columns=(
        Column("date", DATE, nullable=False),
        Column("campaign_id", string(100), nullable=False),
        Column("campaign_name", string(255)),
        Column("channel", string(100)),
        Column("conversions", BIGINT),
        Column("revenue_attributed", decimal(14, 2)),
        Column("_file_name", TEXT, nullable=False),
        Column("_file_modified_at", TIMESTAMP, nullable=False),
    ),
)

SOURCES: tuple[Source, ...] = (
    Source("orders", "postgres", "extract_postgres_orders", (ORDERS,), "Orders of the shop, changed rows by updated_at."),
    Source("customers", "postgres", "extract_postgres_customers", (CUSTOMERS,), "Customers, changed rows by updated_at."),
    Source("products", "postgres", "extract_postgres_products", (PRODUCTS,), "Products, changed rows by updated_at."),
    Source("order_items", "postgres", "extract_postgres_order_items", (ORDER_ITEMS,), "Order lines, append-only by created_at."),
    Source(
        "charges",
        "stripe",
        "extract_stripe_charges",
        (CHARGES, REFUNDS, DISPUTES),
        "Stripe charges with their refunds and disputes: new ones by created, changed ones by events.",
    ),
    Source(
        "marketing",
        "csv",
        "load_csv_marketing",
        (MARKETING_SPEND, CAMPAIGN_PERFORMANCE),
        "Marketing spend and campaign performance from the CSV inbox.",
    ),
)


def source(name: str) -> Source:
    """The source of that name; ``KeyError`` names the known ones."""
    for candidate in SOURCES:
        if candidate.name == name:
            return candidate
    known = ", ".join(candidate.name for candidate in SOURCES)
    raise KeyError(f"There is no source called {name!r}. Known sources: {known}.")
