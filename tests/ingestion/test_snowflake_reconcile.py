"""Reconciliation on Snowflake as on DuckDB: the same rows give the same fingerprints."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
import sqlglot

from ingestion.postgres.reconcile import reconcile_table
from ingestion.reconcile.comparison import BY_BUCKET, Shape
from ingestion.reconcile.dialect import DUCKDB, SNOWFLAKE
from ingestion.reconcile.report import Report
from pipeline.sources import MARKETING_SPEND, SOURCES, source
from tests.builders.postgres_shop import NEXT_DAY, Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from tests.snowflake_double.server import FakeAccount
    from warehouse.snowflake.warehouse import SnowflakeWarehouse


@pytest.mark.slow
def test_a_row_lost_altered_or_deleted_is_found_and_repaired(
    source_db: SourceDatabase, snowflake_warehouse: SnowflakeWarehouse, fake_snowflake: FakeAccount
) -> None:
    shop = Shop(source_db, snowflake_warehouse)  # type: ignore[arg-type]
    for order_id in (1, 2, 3, 4):
        shop.order(
            order_id,
            shipping_city="Zürich",
            shipping_state=None,
            shipping_zip="",
            total_amount=Decimal("10.50"),
        )
    shop.load()

    def reconciled(*, repair: bool = False) -> Report:
        return reconcile_table(
            source("orders"), source_db.settings, snowflake_warehouse, repair=repair
        )

    assert reconciled().is_equal
    orders = '"ECOMMERCE_RAW"."POSTGRES"."RAW_ORDERS"'
    fake_snowflake.execute(f"delete from {orders} where order_id = 1")
    fake_snowflake.execute(f"update {orders} set total_amount = 10.51 where order_id = 2")
    source_db.execute("delete from orders where order_id = 3")
    (difference,) = reconciled().differences
    assert (difference.missing, difference.changed, difference.deleted) == ((1,), (2,), (3,))
    report = reconciled(repair=True)
    assert report.repaired and report.is_equal and report.rows_marked == 1
    stored = snowflake_warehouse.query(
        "select order_id, total_amount, _deleted_at is null from postgres.raw_orders order by "
        "order_id"
    )
    price = Decimal("10.50")
    assert stored == [(1, price, True), (2, price, True), (3, price, False), (4, price, True)]


@pytest.mark.slow
def test_a_messy_source_loads_and_compares_equal(
    source_db: SourceDatabase, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    """Rows set aside, a version from the future, columns that come, change, go and come back."""
    shop = Shop(source_db, snowflake_warehouse)  # type: ignore[arg-type]
    source_db.execute(
        'alter table orders add column tmp int default 7, add column "Odd Name" json default '
        '\'{"a": "\\ud83d"}\', alter column total_amount type numeric'
    )
    for order_id in range(1, 21):
        shop.order(order_id)
    shop.load()
    source_db.execute(
        "update orders set updated_at = '2099-01-01', status = 'wrong' where order_id = 1;"
        "update orders set updated_at = 'infinity', total_amount = 'NaN' where order_id = 2;"
        "alter table orders alter column tmp type text"
    )
    record = shop.load(NEXT_DAY)
    assert (record.rows_newly_rejected, record.rejects[0].key) == (1, "2")
    assert shop.reconcile().is_equal
    shop.change(1, "right", "2026-03-10 12:00:00")
    source_db.execute(
        "update orders set updated_at = '2026-03-10 13:00:00', total_amount = 5 where order_id = 2;"
        "alter table orders drop column tmp"
    )
    assert shop.load(NEXT_DAY).rows_rejected == 0
    assert snowflake_warehouse.query(
        'select order_id, status, total_amount, tmp, "odd name" from postgres.raw_orders '
        "where order_id < 3 order by order_id"
    ) == [
        (1, "right", Decimal("10.00"), None, '{"a": "\\ud83d"}'),
        (2, "pending", Decimal("5.00"), None, '{"a": "\\ud83d"}'),
    ]
    source_db.execute("alter table orders add column tmp text default 'again'")
    shop.load(NEXT_DAY)
    found = snowflake_warehouse.query("select distinct tmp from postgres.raw_orders")
    assert found == [("again",)]
    assert shop.reconcile().is_equal


def test_the_expressions_of_both_warehouses_give_the_same_text() -> None:
    import duckdb

    values = {
        "date": date(2026, 11, 22),
        "spend": Decimal("1.50"),
        "_file_modified_at": datetime(2026, 1, 1) + timedelta(microseconds=7),
    }
    columns = {column.name: column for column in MARKETING_SPEND.columns}
    with duckdb.connect() as connection:
        connection.execute(
            "create table t as select $1 as date, $2::decimal(12,2) as spend, $3 as "
            "_file_modified_at",
            list(values.values()),
        )
        texts = [
            connection.execute(f"select {DUCKDB.text(columns[name])} from t").fetchall()[0][0]
            for name in values
        ]
    assert texts == ["2026-11-22", "1.50", "1767225600000007"]
    assert [SNOWFLAKE.text(columns[name]) for name in values] == [
        '"DATE"::varchar',
        '"SPEND"::varchar',
        'date_part(epoch_microsecond, "_FILE_MODIFIED_AT")::varchar',
    ]


@pytest.mark.parametrize("dialect", [DUCKDB, SNOWFLAKE], ids=lambda each: each.name)
def test_the_sql_of_a_comparison_is_the_warehouses_own(dialect: object) -> None:
    assert dialect in (DUCKDB, SNOWFLAKE)
    sql = SNOWFLAKE if dialect is SNOWFLAKE else DUCKDB
    for each in SOURCES:
        for table in each.tables:
            bucket_of = table.key[0] if each.kind == "postgres" else table.version
            shape = Shape(table, bucket_of, table.columns)
            rows = f"select {shape.row(sql)} from {sql.address(table)}"
            for query in (rows, f"{BY_BUCKET} from ({rows}) fingerprinted group by 1"):
                assert isinstance(sqlglot.parse_one(query, dialect=sql.name), sqlglot.exp.Select)
