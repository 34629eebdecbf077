"""The contract of every source, declared once: its raw tables with their columns, key and version.

The extractors, the loader, the DAGs, the Datasets and the raw DDL take it from here; dbt's source
file and the docs are checked against it by a test. Nothing heavy is imported: DAG files read this
module to be drawn.
"""

from __future__ import annotations

from pipeline.contracts import (
    BIGINT,
    BOOLEAN,
    DATE,
    INTEGER,
    JSON,
    TEXT,
    TIMESTAMP,
    Column,
    RawTable,
    Source,
    decimal,
    string,
)
from pipeline.errors import MissingInputError

CUSTOMERS = RawTable(
    name="customers",
    schema="POSTGRES",
    key=("customer_id",),
    version="updated_at",
    columns=(
        Column("customer_id", BIGINT, nullable=False),
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
        Column("product_id", BIGINT, nullable=False),
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
        Column("order_id", BIGINT, nullable=False),
        Column("customer_id", BIGINT),
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
    part_of=ORDERS,
    columns=(
        Column("order_item_id", BIGINT, nullable=False),
        Column("order_id", BIGINT),
        Column("product_id", BIGINT),
        Column("quantity", INTEGER),
        Column("unit_price", decimal(10, 2), nullable=False),
        Column("discount_pct", decimal(5, 2)),
        Column("line_total", decimal(12, 2), nullable=False),
        Column("created_at", TIMESTAMP),
    ),
)

# Stripe. `amount` is in major units, exact for zero- and three-decimal currencies as well;
# `amount_minor` is what Stripe sent. `_fetched_at` orders two versions of an object, because
# Stripe's objects carry no time of their last change.
CHARGES = RawTable(
    name="charges",
    schema="STRIPE",
    key=("charge_id",),
    version="_fetched_at",
    columns=(
        Column("charge_id", TEXT, nullable=False),
        Column("order_id", TEXT),  # metadata.order_id: what a person typed is not always a number
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

# CSV. `_file_modified_at` orders two versions of a row: a corrected export replaces an earlier one.
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
    Source(
        "orders",
        "postgres",
        "extract_postgres_orders",
        (ORDERS,),
        "Orders of the shop, changed rows by updated_at.",
    ),
    Source(
        "customers",
        "postgres",
        "extract_postgres_customers",
        (CUSTOMERS,),
        "Customers, changed rows by updated_at.",
    ),
    Source(
        "products",
        "postgres",
        "extract_postgres_products",
        (PRODUCTS,),
        "Products, changed rows by updated_at.",
    ),
    Source(
        "order_items",
        "postgres",
        "extract_postgres_order_items",
        (ORDER_ITEMS,),
        "Order lines: new ones by created_at, changed ones with their order.",
    ),
    Source(
        "charges",
        "stripe",
        "extract_stripe_charges",
        (CHARGES, REFUNDS, DISPUTES),
        "Stripe charges with refunds and disputes: new ones by created, changed ones by events.",
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
    """The source of that name; ``MissingInputError`` names the known ones."""
    for candidate in SOURCES:
        if candidate.name == name:
            return candidate
    known = ", ".join(candidate.name for candidate in SOURCES)
    raise MissingInputError(f"There is no source called {name!r}. Known sources: {known}.")
