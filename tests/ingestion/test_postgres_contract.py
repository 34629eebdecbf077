"""A source table that changed its shape: each change by name, and nothing written when it is
refused.
"""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import ContractError, CredentialsError, MissingInputError
from pipeline.sources import ORDERS
from tests.builders.postgres_shop import DAY, NEXT_DAY, Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    shop = Shop(source_db, warehouse)
    shop.order(1)
    shop.load()
    shop.order(2, "2026-03-10 12:00:00")
    return shop


def assert_refused(shop: Shop, *names: str) -> str:
    before = shop.raw()
    with pytest.raises(ContractError) as refused:
        shop.load(NEXT_DAY)
    for name in ("orders", *names):
        assert name in str(refused.value)
    assert shop.raw() == before
    assert [record.source for record in shop.warehouse.load_records(NEXT_DAY)] == []
    return str(refused.value)


def test_a_missing_column_is_refused_by_name(shop: Shop) -> None:
    shop.source.execute("alter table orders drop column shipping_zip")
    assert "is missing" in assert_refused(shop, "shipping_zip")


@pytest.mark.parametrize(
    ("column", "to", "said"),
    [
        ("status", "state", "column status is missing (renamed to state?)"),
        ("total_amount", "total", "column total_amount is missing (renamed to total?)"),
        ("total_amount", "status_note", "column total_amount is missing"),
    ],
)
def test_a_renamed_column_is_named_once_with_its_likely_new_name(
    shop: Shop, column: str, to: str, said: str
) -> None:
    shop.source.execute(f"alter table orders rename column {column} to {to}")
    refused = assert_refused(shop, column)
    assert refused.count("is missing") == 1 and said in refused
    assert "renamed" in said or "renamed" not in refused


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("total_amount", "type double precision"),
        ("total_amount", "type text"),
        ("order_date", "type date"),
        ("order_date", "type text"),
        ("status", "type char(1)[] using array[status::char(1)]"),
        ("shipping_city", "type bytea using shipping_city::bytea"),
    ],
)
def test_a_type_that_may_not_arrive_exactly_is_refused_by_name(
    shop: Shop, column: str, change: str
) -> None:
    shop.source.execute("alter table orders drop constraint orders_customer_id_fkey")
    shop.source.execute(f"alter table orders alter column {column} {change}")
    assert " instead of " in assert_refused(shop, column)


def test_keys_grow_past_an_integer_while_the_shop_runs(shop: Shop) -> None:
    shop.load()
    shop.source.execute("alter table orders alter column order_id type bigint")
    shop.order(3_000_000_000, "2026-03-10 12:00:00")
    shop.load(NEXT_DAY)
    shop.assert_equal()


def test_several_changes_are_all_told_at_once(shop: Shop) -> None:
    shop.source.execute(
        "alter table orders drop column shipping_zip, alter column total_amount type real"
    )
    assert_refused(shop, "shipping_zip", "total_amount")


def test_a_null_key_is_refused_by_name(shop: Shop) -> None:
    shop.source.execute("alter table order_items drop constraint order_items_order_id_fkey")
    shop.source.execute(
        "alter table orders drop constraint orders_pkey, alter column order_id drop not null"
    )
    shop.source.execute("update orders set order_id = null where order_id = 2")
    assert_refused(shop, "order_id")


def test_a_key_that_comes_twice_is_refused_and_shown(shop: Shop) -> None:
    shop.source.execute("alter table order_items drop constraint order_items_order_id_fkey")
    shop.source.execute("alter table orders drop constraint orders_pkey")
    shop.load(NEXT_DAY)
    shop.order(2, "2026-03-10 13:00:00")
    shop.source.execute("update orders set updated_at = '2026-03-11 04:00:00'")
    with pytest.raises(
        ContractError, match="orders has more than one row with the key order_id = 2"
    ):
        shop.load(NEXT_DAY)


def test_a_missing_table_is_refused_by_name(shop: Shop) -> None:
    shop.source.execute("alter table orders rename to orders_2019")
    with pytest.raises(MissingInputError, match=r"no table public\.orders"):
        shop.load(NEXT_DAY)


def test_an_undeclared_table_is_refused_by_name(shop: Shop) -> None:
    with pytest.raises(MissingInputError, match="'carts'"):
        shop.load(DAY, "carts")


def test_a_table_that_may_not_be_read_is_refused_by_name(shop: Shop) -> None:
    from pydantic import SecretStr

    name = "stranger_" + shop.source.settings.db[-8:]
    shop.source.execute(f"create role {name} login password 'p4ssw0rd-of-stranger'")
    try:
        with pytest.raises(
            CredentialsError, match=r"public\.orders.*GRANT|public\.orders.*Grant"
        ) as refused:
            shop.extractor(user=name, password=SecretStr("p4ssw0rd-of-stranger")).extract_table(
                "orders", NEXT_DAY
            )
        assert "p4ssw0rd" not in str(refused.value)
    finally:
        shop.source.execute(f"drop role {name}")


def test_rows_hidden_by_a_policy_are_an_error_not_a_smaller_table(shop: Shop) -> None:
    from pydantic import SecretStr

    name = "tenant_" + shop.source.settings.db[-8:]
    shop.source.execute(
        f"create role {name} login password 'tenant'; grant select on orders to {name}"
    )
    shop.source.execute(
        "alter table orders enable row level security; create policy mine on orders using "
        "(order_id = 1)"
    )
    try:
        with pytest.raises(CredentialsError, match="row-level security"):
            shop.extractor(user=name, password=SecretStr("tenant")).extract_table(
                "orders", NEXT_DAY
            )
    finally:
        shop.source.execute(f"drop owned by {name}; drop role {name}")


def test_a_new_column_is_added_as_text_and_filled_for_rows_that_did_not_change(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.source.execute(
        "alter table orders add column channel varchar(20) default 'web', add column gift_value "
        "numeric(8,2)"
    )
    shop.source.execute(
        "update orders set gift_value = 1.10 where order_id = 1"
    )  # behind the window
    with caplog.at_level(logging.WARNING):
        shop.load(NEXT_DAY)
    assert shop.raw("order_id, channel, gift_value") == [(1, "web", "1.10"), (2, "web", None)]
    assert "channel, gift_value" in caplog.text
    assert shop.load(NEXT_DAY).window.start is not None


def test_new_columns_keep_every_value_as_its_text_and_none_stops_the_load(shop: Shop) -> None:
    columns = {  # type and value in the source, text in the raw table
        "a_number": ("numeric", "0.1234567890123456789012345678901234567890", None),
        "an_endless_number": ("numeric", "NaN", None),
        "a_float": ("float8", "0.1", None),
        "a_big": ("bigint", "9007199254740993", None),
        "a_flag": ("boolean", "f", "false"),
        "a_day": ("date", "2026-02-28", None),
        "a_late_day": ("date", "infinity", None),
        "valid_until": ("timestamp", "infinity", None),
        "valid_from": ("timestamp", "0044-03-15 00:00:00 BC", None),
        "a_zone": ("timestamptz", "2026-03-10 02:00:00+02", "2026-03-10 00:00:00+00"),
        "half_a_pair": ("json", r'{"a":"\ud83d"}', None),
        "a_document": ("jsonb", '{"a": [1]}', None),
        "a_list": ("int[]", "{1,2}", None),
        "a_uuid": ("uuid", "6b1e1f0e-7e1c-4c3e-9d1f-111111111111", None),
        "a_blob": ("bytea", r"\x00ff", None),
        "an_age": ("interval", "1 day", None),
        "a_place": ("point", "(1,2)", None),
        "a_pair": ("source_pair", "(1,x)", None),
        'quoted " name': ("text", "q", None),
    }
    shop.source.execute("create type source_pair as (a int, b text)")
    added = ", ".join(
        'add column "{}" {} default {}'.format(
            name.replace('"', '""'), kind, "'" + value.replace("'", "''") + "'"
        )
        for name, (kind, value, _) in columns.items()
    )
    shop.source.execute(f"alter table orders {added}")
    shop.load(NEXT_DAY)
    names = ", ".join('"{}"'.format(name.replace('"', '""')) for name in columns)
    (row,) = shop.raw(names, where="order_id = 1")
    kept = dict(zip(columns, row, strict=True))
    assert kept == {name: text or value for name, (_, value, text) in columns.items()}
    assert shop.reconcile().is_equal


def test_a_new_column_may_change_its_type_go_and_come_back(shop: Shop) -> None:
    shop.source.execute("alter table orders add column tmp int; update orders set tmp = 7")
    shop.load(NEXT_DAY)
    shop.source.execute("alter table orders alter column tmp type timestamp using 'infinity'")
    shop.change(1, "paid", "2026-03-10 13:00:00")
    shop.load(NEXT_DAY)
    assert shop.raw("order_id, status, tmp") == [
        (1, "paid", "infinity"),
        (2, "pending", "infinity"),
    ]
    shop.source.execute("alter table orders drop column tmp")
    shop.change(1, "sent", "2026-03-10 14:00:00")
    shop.order(3, "2026-03-10 14:00:00")
    shop.load(NEXT_DAY)
    assert shop.raw("order_id, tmp") == [(1, None), (2, None), (3, None)]
    assert shop.reconcile().is_equal
    shop.load(date(2026, 3, 12))
    shop.source.execute("alter table orders add column tmp text default 'again'")
    later = shop.load(date(2026, 3, 13))
    assert later.window.start is None
    assert shop.raw("tmp") == [("again",)] * 3
    assert shop.load(date(2026, 3, 13)).window.start is not None
    shop.source.execute("alter table orders drop column tmp")
    shop.load(NEXT_DAY, full_refresh=True)
    assert "tmp" not in shop.warehouse.raw_columns(ORDERS)


def test_a_column_that_was_loaded_in_another_type_becomes_text(shop: Shop) -> None:
    with shop.warehouse.session("change a column", writes=True) as session:
        session.execute("alter table postgres.raw_orders add column gift integer default 5")
    shop.source.execute("alter table orders add column gift numeric default 1.50")
    shop.load(NEXT_DAY)
    assert shop.raw("order_id, gift") == [(1, "5"), (2, "1.50")]
    assert shop.reconcile(repair=True).is_equal


def test_columns_whose_names_are_taken_are_not_read_and_stop_nothing(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.source.execute(
        'alter table orders add column _load_id text, add column "Status" text, add column "A" int'
        " default 1, add column a int default 2"
    )
    shop.load(NEXT_DAY)
    shop.assert_equal(extra=["a::varchar"])
    assert "Status" in caplog.text and "_load_id" in caplog.text


def test_a_view_and_a_partitioned_table_are_read_like_a_table(shop: Shop) -> None:
    shop.source.execute(
        "alter table orders rename to orders_stored; create view orders as select * from "
        "orders_stored"
    )
    shop.load(NEXT_DAY)
    shop.assert_equal()
    shop.source.execute(
        "drop view orders; create table orders (like orders_stored) partition by range (order_id)"
    )
    shop.source.execute(
        "create table orders_low partition of orders for values from (0) to (2);"
        "create table orders_high partition of orders for values from (2) to (1000);"
        "insert into orders select * from orders_stored"
    )
    shop.order(3, "2026-03-10 13:00:00")
    shop.load(NEXT_DAY)
    shop.assert_equal()
