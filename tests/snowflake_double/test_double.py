"""The double is as strict as Snowflake's documentation: a test per rule, by the real connector."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
import requests
import snowflake.connector
import snowflake.connector.errors as connector

from tests.snowflake_double.server import FakeAccount

Connect = Callable[..., Any]


@pytest.fixture
def connect(fake_snowflake: FakeAccount) -> Iterator[Connect]:
    """Opens sessions of a role in the raw database; an administrator's without."""
    fake_snowflake.reset()
    opened: list[Any] = []

    def open_session(role: str | None = None, database: str = "ECOMMERCE_RAW", **given: Any) -> Any:
        connection = snowflake.connector.connect(
            account="fakesnow",
            user="somebody",
            password="Fake-Pass-4711",
            host="127.0.0.1",
            port=fake_snowflake.port,
            protocol="http",
            role=role,
            database=database,
            **given,
        )
        opened.append(connection)
        return connection.cursor()

    yield open_session
    for connection in opened:
        with suppress(connector.Error):
            connection.close()


def rows(cursor: Any, sql: str) -> list[tuple[Any, ...]]:
    return list(cursor.execute(sql).fetchall())


def refusal(cursor: Any, sql: str) -> int:
    with pytest.raises(connector.Error) as error:
        cursor.execute(sql)
    return int(error.value.errno or 0)


# --- what the compiler does not know


@pytest.mark.parametrize(
    "condition", ["(1 = 1) is true", "(1 = 2) is not true", "regexp_matches('a', 'a')"]
)
def test_what_snowflake_does_not_compile_is_refused(connect: Connect, condition: str) -> None:
    assert refusal(connect(), f"select 1 as x where {condition}") == 1003


# --- types


def types_of(cursor: Any, table: str) -> list[str]:
    return [str(row[1]) for row in rows(cursor, f"describe table {table}")]


def test_a_table_made_from_a_query_has_the_types_of_snowflake(connect: Connect) -> None:
    cursor = connect()
    cursor.execute("create table LOADS.A (small number(10,0), price number(10,2))")
    cursor.execute("insert into LOADS.A values (1, 1.50)")
    cursor.execute(
        "create table LOADS.B as select 1 as one, 250 as three, count(*) as c, sum(small) as s, "
        "sum(price) as p, small from LOADS.A group by small"
    )
    assert types_of(cursor, "LOADS.B") == [
        "NUMBER(1,0)",
        "NUMBER(3,0)",
        "NUMBER(18,0)",
        "NUMBER(38,0)",
        "NUMBER(38,2)",
        "NUMBER(10,0)",
    ]


def test_a_bound_decimal_keeps_its_cents(connect: Connect) -> None:
    cursor = connect(paramstyle="qmark")
    cursor.execute("create table LOADS.A (price number(12,2))")
    cursor.execute("insert into LOADS.A values (?), (?)", [Decimal("31.20"), Decimal("-7")])
    assert rows(cursor, "select sum(price) from LOADS.A") == [(Decimal("24.20"),)]


def test_a_tenth_build_does_not_fit_where_a_bare_literal_made_the_column(connect: Connect) -> None:
    cursor = connect()
    cursor.execute("create table LOADS.A as select 1 as build_number")
    cursor.execute("insert into LOADS.A values (9)")
    assert refusal(cursor, "insert into LOADS.A values (10)")


# --- transactions and locks


def test_ddl_commits_what_is_open(connect: Connect) -> None:
    cursor, other = connect(), connect()
    cursor.execute("create table LOADS.A (x integer)")
    cursor.execute("begin")
    cursor.execute("insert into LOADS.A values (1)")
    assert rows(other, "select count(*) from LOADS.A") == [(0,)]
    cursor.execute("create table LOADS.B (x integer)")
    cursor.execute("rollback")
    assert rows(other, "select count(*) from LOADS.A") == [(1,)]


def test_an_update_waits_for_another_one_and_then_sees_what_it_has_committed(
    connect: Connect,
) -> None:
    first, second = connect(), connect()
    first.execute("create table LOADS.A (x integer)")
    first.execute("insert into LOADS.A values (1)")
    first.execute("begin")
    first.execute("update LOADS.A set x = x + 1")
    waiting = threading.Thread(target=second.execute, args=("update LOADS.A set x = x + 10",))
    waiting.start()
    time.sleep(0.3)
    assert waiting.is_alive()
    first.execute("commit")
    waiting.join(5)
    assert rows(first, "select x from LOADS.A") == [(12,)]


def test_a_lock_is_waited_for_no_longer_than_lock_timeout(connect: Connect) -> None:
    first, second = connect(), connect(session_parameters={"LOCK_TIMEOUT": 0.2})
    first.execute("create table LOADS.A (x integer)")
    first.execute("begin")
    first.execute("delete from LOADS.A")
    assert refusal(second, "delete from LOADS.A") == 625
    second.execute("insert into LOADS.A values (1)")  # an insert waits for nobody


def test_a_transaction_whose_client_is_gone_ends_when_it_blocks_and_is_idle(
    connect: Connect, fake_snowflake: FakeAccount
) -> None:
    first, second = connect(), connect()
    first.execute("create table LOADS.A (x integer)")
    first.execute("insert into LOADS.A values (1)")
    first.execute("begin")
    first.execute("update LOADS.A set x = 2")
    fake_snowflake.sessions.idle_seconds = 0.5
    second.execute("update LOADS.A set x = x + 10")
    assert rows(second, "select x from LOADS.A") == [(11,)]


def test_a_closed_session_rolls_back(connect: Connect) -> None:
    first, second = connect(), connect()
    first.execute("create table LOADS.A (x integer)")
    first.execute("begin")
    first.execute("insert into LOADS.A values (1)")
    first.connection.close()
    assert rows(second, "select count(*) from LOADS.A") == [(0,)]


# --- clients


def test_a_statement_longer_than_the_network_timeout_is_cancelled_unless_it_has_its_own(
    connect: Connect, fake_snowflake: FakeAccount
) -> None:
    cursor = connect(network_timeout=1)
    cursor.execute("create table LOADS.A (x integer)")
    fake_snowflake.slow = ("insert into", 2.0)
    assert refusal(cursor, "insert into LOADS.A values (1)") == 604
    cursor.execute("insert into LOADS.A values (2)", timeout=60)
    fake_snowflake.slow = None
    assert rows(cursor, "select x from LOADS.A") == [(2,)]


def test_a_statement_outlives_its_client(connect: Connect, fake_snowflake: FakeAccount) -> None:
    """A process that is killed while it waits for the answer."""
    other = connect()
    other.execute("create table LOADS.A (x integer)")
    fake_snowflake.slow = ("insert into", 1.0)
    url = f"http://127.0.0.1:{fake_snowflake.port}/queries/v1/query-request"
    token = next(iter(fake_snowflake.sessions.open))
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            url,
            json={"sqlText": "insert into LOADS.A values (1)"},
            headers={"Authorization": f'Snowflake Token="{token}"'},
            timeout=0.3,
        )
    time.sleep(1.2)
    assert rows(other, "select count(*) from LOADS.A") == [(1,)]


# --- rights


def test_the_loader_writes_raw_and_sees_nothing_behind_it(connect: Connect) -> None:
    loader = connect("LOADER")
    loader.execute("create table POSTGRES.A (x integer)")
    loader.execute("insert into POSTGRES.A values (1)")
    assert refusal(loader, "create table ECOMMERCE_ANALYTICS.MARTS.A (x integer)") == 2003
    assert refusal(loader, "create schema ECOMMERCE_RAW.MORE") == 3001
    assert refusal(loader, "create view POSTGRES.V as select 1 as x") == 3001


def test_the_transformer_reads_raw_and_changes_none_of_it(connect: Connect) -> None:
    connect("LOADER").execute("create table POSTGRES.A (x integer)")
    transformer = connect("TRANSFORMER", "ECOMMERCE_ANALYTICS")
    assert rows(transformer, "select count(*) from ECOMMERCE_RAW.POSTGRES.A") == [(0,)]
    for change in (
        "insert into ECOMMERCE_RAW.POSTGRES.A values (1)",
        "delete from ECOMMERCE_RAW.POSTGRES.A",
        "drop table ECOMMERCE_RAW.POSTGRES.A",
        "create or replace table ECOMMERCE_RAW.POSTGRES.B as select 1 as x",
    ):
        assert refusal(transformer, change) == 3001, change
    transformer.execute("create transient table MARTS.B clone ECOMMERCE_RAW.POSTGRES.A")


def test_the_analyst_reads_what_was_granted_before_the_swap_and_nothing_else(
    connect: Connect,
) -> None:
    transformer = connect("TRANSFORMER", "ECOMMERCE_ANALYTICS")
    analyst = connect("ANALYST", "ECOMMERCE_ANALYTICS")
    transformer.execute("create table MARTS.A (x integer)")
    transformer.execute("create transient schema PUBLISHED")
    transformer.execute("create transient schema PUBLISHED_1")
    transformer.execute("create transient table PUBLISHED_1.A clone MARTS.A")
    assert refusal(analyst, "select * from MARTS.A") == 2003
    assert refusal(analyst, "select * from PUBLISHED_1.A") == 2003
    transformer.execute("grant usage on schema PUBLISHED_1 to role ANALYST")
    transformer.execute("grant select on all tables in schema PUBLISHED_1 to role ANALYST")
    transformer.execute("alter schema PUBLISHED swap with PUBLISHED_1")
    assert rows(analyst, "select * from PUBLISHED.A") == []
    assert refusal(analyst, "select * from PUBLISHED_1.A") == 2003
    assert refusal(analyst, "alter schema PUBLISHED swap with PUBLISHED_1") == 3001
    assert refusal(analyst, "delete from PUBLISHED.A") == 3001


def test_a_role_works_in_its_own_warehouses(connect: Connect) -> None:
    transformer = connect("TRANSFORMER")
    transformer.execute("use warehouse MARTS_WH")
    assert refusal(transformer, "use warehouse LOADING_WH") == 2043
    assert refusal(connect("LOADER"), "use warehouse MARTS_WH") == 2043


def test_the_admin_has_the_rights_of_the_three(connect: Connect) -> None:
    connect("LOADER").execute("create table POSTGRES.A (x integer)")
    connect("TRANSFORMER").execute("create table ECOMMERCE_ANALYTICS.MARTS.A (x integer)")
    admin = connect("ADMIN")
    assert rows(admin, "select * from POSTGRES.A") == []
    admin.execute("insert into ECOMMERCE_ANALYTICS.MARTS.A values (1)")
