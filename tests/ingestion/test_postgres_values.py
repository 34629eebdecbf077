"""Values arrive as they were: text byte for byte, decimals to the last digit, NULL and '' apart."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import psycopg2
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from ingestion.postgres.stream import copy_batches
from pipeline.sources import CUSTOMERS, ORDERS, PRODUCTS
from tests.builders.chance import examples
from tests.builders.postgres_shop import DAY, NEXT_DAY, Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

SCHEMA = pa.schema(
    [("number", pa.int64()), ("text", pa.string()), ("amount", pa.decimal128(12, 2))]
)
AWKWARD = [
    None,
    "",
    " ",
    '"',
    '""',
    "''",
    "\\",
    "\\N",
    "\\.",
    ",",
    "\n",
    "\r\n",
    "\r",
    "NULL",
    "null",
    "a,b\n\"c\"\t'd'\\",
    "Zoë 🛒 日本語 \u202e \ufeff",
    "\x01\x1f\x7f",
    "x" * 100_000,
]


def no_misfits(block: bytes) -> bytes:
    raise AssertionError(f"every value of {block!r} fits")


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    return Shop(source_db, warehouse)


def test_awkward_text_arrives_byte_for_byte(shop: Shop) -> None:
    shop.source.execute("alter table orders alter column shipping_address type text")
    for number, text in enumerate(AWKWARD):
        shop.order(number, shipping_address=text)
    shop.load()
    assert shop.raw("order_id, shipping_address") == list(enumerate(AWKWARD))


def test_null_and_the_empty_string_stay_apart(shop: Shop) -> None:
    shop.order(1, shipping_city=None, shipping_state="")
    shop.load()
    assert shop.raw("shipping_city, shipping_state") == [(None, "")]


def test_a_change_from_null_to_the_empty_string_is_a_change(shop: Shop) -> None:
    shop.order(1, shipping_city=None)
    shop.load()
    shop.source.execute("update orders set shipping_city = '', updated_at = '2026-03-11 01:00:00'")
    assert shop.load(NEXT_DAY).tables[0].updated == 1
    shop.assert_equal()


@pytest.mark.parametrize(
    "amount", ["0.00", "-0.01", "0.10", "9999999999.99", "-9999999999.99", "1234567.89"]
)
def test_money_is_exact(shop: Shop, amount: str) -> None:
    shop.order(1, total_amount=amount)
    shop.load()
    assert shop.raw("total_amount, total_amount::varchar") == [(Decimal(amount), amount)]


def test_every_column_of_every_table_arrives(shop: Shop) -> None:
    shop.source.execute(
        "insert into customers values (1, 'a@b.c', 'Ann', null, '', '1 \"Main\" St', 'X', 'CA', "
        "'US', '01234', "
        "'2026-03-01', '2026-03-02')"
    )
    shop.source.execute(
        "insert into products values (1, 'Lamp', 'Home', null, 19.90, -3.50, 0.75, false, "
        "'2026-03-01 00:00:00.000001', '2026-03-02'), "
        "(2, 'Chair', null, '', 0.01, null, null, null, null, null), "
        "(3, 'Bed', '', '', 1, 1, 1, true, '0001-01-01', '9999-12-31')"
    )
    shop.load(DAY, CUSTOMERS)
    shop.load(DAY, PRODUCTS)
    shop.assert_equal(CUSTOMERS)
    assert shop.raw(
        ", ".join(PRODUCTS.column_names), PRODUCTS, "product_id < 3"
    ) == shop.source.query("select * from products where product_id < 3 order by 1")


def test_an_empty_table_is_a_complete_load(shop: Shop) -> None:
    record = shop.load()
    assert (record.rows_extracted, record.rows_rejected) == (0, 0)
    assert shop.raw() == []
    assert [loaded.source for loaded in shop.warehouse.load_records(DAY)] == ["orders"]


def test_blocks_smaller_than_a_row_change_nothing(shop: Shop) -> None:
    for number, text in enumerate(AWKWARD[:-1]):
        shop.order(number, shipping_address=text)
    query = sql.SQL("select order_id, shipping_address, total_amount from orders order by order_id")
    with psycopg2.connect(shop.source.dsn) as connection:
        for block_bytes in (1, 50, 10_000):
            batches = list(
                copy_batches(connection, query, SCHEMA, no_misfits, block_bytes=block_bytes)
            )
            rows = [row for batch in batches for row in batch.to_pylist()]
            assert [row["text"] for row in rows] == AWKWARD[:-1]
    connection.close()


def test_a_reader_who_stops_early_ends_the_copy(shop: Shop) -> None:
    with psycopg2.connect(shop.source.dsn) as connection:
        endless = sql.SQL(
            "select a, repeat('x', 1000), 1.5 from generate_series(1, 9999) a, generate_series(1, "
            "9999)"
        )
        batches = copy_batches(connection, endless, SCHEMA, no_misfits, block_bytes=10_000)
        assert next(batches).num_rows > 0
        batches.close()  # type: ignore[attr-defined]
    connection.close()
    assert shop.source.query(
        "select count(*) from pg_stat_activity where query like 'copy (select a%%'"
    ) == [(0,)]


@settings(
    max_examples=examples(30, 1_000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.one_of(
                st.none(),
                st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])),
            ),
            st.one_of(st.none(), st.decimals("-9999999999.99", "9999999999.99", places=2)),
        ),
        min_size=1,
        max_size=20,
    )
)
@example([(None, None)])
@example([('"\n"', Decimal("-0.01")), ("", Decimal("0.00"))])
def test_any_text_and_any_decimal_come_back_as_they_were(
    shop: Shop, rows: list[tuple[str | None, Decimal | None]]
) -> None:
    values = sql.SQL(", ").join(
        sql.SQL("({}, {}, {})").format(sql.Literal(number), sql.Literal(text), sql.Literal(amount))
        for number, (text, amount) in enumerate(rows)
    )
    query = sql.SQL(
        "select n, t::text, a::numeric(12,2) from (values {}) v (n, t, a) order by n"
    ).format(values)
    with psycopg2.connect(shop.source.dsn) as connection:
        batches = list(copy_batches(connection, query, SCHEMA, no_misfits, block_bytes=40))
    connection.close()
    assert [(row["text"], row["amount"]) for batch in batches for row in batch.to_pylist()] == rows


def test_a_batch_has_the_types_of_the_contract(shop: Shop) -> None:
    from ingestion.postgres.sieve import Sieve
    from ingestion.postgres.snapshot import open_snapshot
    from warehouse.arrow import schema_of

    shop.order(1)
    with open_snapshot(shop.source.settings, ORDERS) as snapshot:
        sieve = Sieve(ORDERS, ORDERS.columns, set_aside=[].extend)
        (batch,) = snapshot.batches(sql.SQL("true"), sieve)
    assert batch.schema == schema_of(ORDERS)
