"""The sources declare what the design says: columns, types, keys, versions, names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.contracts import METADATA_COLUMNS, Column, RawTable, Source
from pipeline.errors import MissingInputError
from pipeline.settings import PROJECT
from pipeline.sources import SOURCES, source
from warehouse.arrow import schema_of

# As in the design, but keys with room past 2,147,483,647: `!` not null.
DESIGN = {
    "customers": """customer_id bigint!, email string(255)!, first_name string(100),
        last_name string(100), phone string(50), address string(500), city string(100),
        state string(100), country string(100), zip_code string(20), created_at timestamp,
        updated_at timestamp""",
    "products": """product_id bigint!, name string(255)!, category string(100),
        subcategory string(100), price decimal(10,2)!, cost decimal(10,2), weight_kg decimal(8,2),
        is_active boolean, created_at timestamp, updated_at timestamp""",
    "orders": """order_id bigint!, customer_id bigint, order_date timestamp!, status string(50)!,
        total_amount decimal(12,2)!, shipping_address string(500), shipping_city string(100),
        shipping_state string(100), shipping_country string(100),
        shipping_zip string(20), created_at timestamp, updated_at timestamp""",
    "order_items": """order_item_id bigint!, order_id bigint, product_id bigint,
        quantity integer, unit_price decimal(10,2)!, discount_pct decimal(5,2),
        line_total decimal(12,2)!, created_at timestamp""",
}
CSV = {
    "marketing_spend": "date, channel, campaign_name, spend, impressions, clicks",
    "campaign_performance": (
        "date, campaign_id, campaign_name, channel, conversions, revenue_attributed"
    ),
}
TABLES = [(each, table) for each in SOURCES for table in each.tables]
RAW_TABLES = [table for _, table in TABLES]


def shown(column: Column) -> str:
    return f"{column.name} {column.type}{'' if column.nullable else '!'}"


@pytest.mark.parametrize("name", sorted(DESIGN))
def test_postgres_tables_have_the_columns_of_the_design(name: str) -> None:
    (table,) = source(name).tables
    columns = DESIGN[name].replace("\n", " ").split(", ")
    assert [shown(column) for column in table.columns] == [
        " ".join(column.split()) for column in columns
    ]


def test_postgres_tables_are_keyed_by_their_serial_and_versioned_by_their_change() -> None:
    keys = {
        each.name: (each.tables[0].key, each.tables[0].version, each.tables[0].append_only)
        for each in SOURCES[:4]
    }
    assert keys == {
        "orders": (("order_id",), "updated_at", False),
        "customers": (("customer_id",), "updated_at", False),
        "products": (("product_id",), "updated_at", False),
        "order_items": (("order_item_id",), "created_at", True),
    }


@pytest.mark.parametrize("name", sorted(CSV))
def test_csv_tables_have_the_columns_of_the_exports(name: str) -> None:
    own = [
        column
        for column in source("marketing").table(name).column_names
        if not column.startswith("_")
    ]
    assert own == CSV[name].split(", ")


def test_the_six_sources_are_loaded_by_the_dags_people_know() -> None:
    assert {each.name: each.dag_id for each in SOURCES} == {
        "orders": "extract_postgres_orders",
        "customers": "extract_postgres_customers",
        "products": "extract_postgres_products",
        "order_items": "extract_postgres_order_items",
        "charges": "extract_stripe_charges",
        "marketing": "load_csv_marketing",
    }
    assert len({each.dataset_uri for each in SOURCES}) == 6


def test_the_nine_raw_tables_have_the_names_of_the_design() -> None:
    assert {f"{table.schema}.{table.raw_name}" for table in RAW_TABLES} == {
        *(
            "POSTGRES.RAW_ORDERS",
            "POSTGRES.RAW_CUSTOMERS",
            "POSTGRES.RAW_PRODUCTS",
            "POSTGRES.RAW_ORDER_ITEMS",
        ),
        *("STRIPE.RAW_CHARGES", "STRIPE.RAW_REFUNDS", "STRIPE.RAW_DISPUTES"),
        *("CSV_UPLOADS.RAW_MARKETING_SPEND", "CSV_UPLOADS.RAW_CAMPAIGN_PERFORMANCE"),
    }


@pytest.mark.parametrize("table", RAW_TABLES, ids=lambda table: table.name)
def test_a_table_is_consistent_in_itself(table: RawTable) -> None:
    names = table.column_names
    assert len(set(names)) == len(names)
    assert all(name == name.lower() for name in names)
    assert not set(names) & {column.name for column in METADATA_COLUMNS}
    assert all(not table.column(name).nullable for name in table.key)
    assert table.column(table.version).type.name == "timestamp"
    assert schema_of(table).names == list(names)


@pytest.mark.parametrize(("each", "table"), TABLES, ids=lambda value: value.name)
def test_money_is_an_exact_decimal_and_no_type_is_a_float(each: Source, table: RawTable) -> None:
    money = {
        "price",
        "cost",
        "total_amount",
        "unit_price",
        "line_total",
        "spend",
        "revenue_attributed",
        "amount",
    }
    for column in table.columns:
        assert column.type.name != "float"
        if column.name in money:
            assert column.type.name == "decimal", f"{each.name}: {column.name}"


def test_an_unknown_source_is_answered_with_the_known_ones() -> None:
    with pytest.raises(MissingInputError, match="Known sources: orders, customers"):
        source("ordres")


def test_drawing_dags_from_the_sources_imports_nothing_heavy() -> None:
    script = (
        "import sys, pipeline.sources; "
        "print(sorted({'pyarrow', 'duckdb', 'pandas', 'psycopg2', 'stripe'} & set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
        ).stdout
        == "[]\n"
    )
