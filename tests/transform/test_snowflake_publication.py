"""Publishing on Snowflake: only tested marts, all at once by one SWAP, and back again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlglot

from pipeline.settings import settings
from tests.builders.chance import LONG
from tests.builders.loads import load, product
from transform import PublicationError, publish_marts, read_publication, read_published, rollback
from warehouse import open_warehouse
from warehouse.runs import RawState, Run, count_rows, first_rows, latest_run, raw_state, record_run
from warehouse.session import Session
from warehouse.snowflake.lease import TABLE as LEASE
from warehouse.snowflake.publication import schema_of
from warehouse.snowflake.session import SnowflakeSession

if TYPE_CHECKING:
    from tests.snowflake_double.server import FakeAccount

pytestmark = pytest.mark.slow
DAY = date(2026, 11, 22)


def connect() -> AbstractContextManager[Session]:
    return open_warehouse().marts(read_only=False)


MARTS = ("fct_orders", "dim_products")


@pytest.fixture(autouse=True)
def account(
    fake_snowflake: FakeAccount, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[FakeAccount]:
    for name in [
        name for name in os.environ if name.split("_")[0] in ("SNOWFLAKE", "WAREHOUSE", "DBT")
    ]:
        monkeypatch.delenv(name)
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(tmp_path / "empty.env"))
    monkeypatch.setenv("SNOWFLAKE_STAGING_DIR", str(tmp_path / "staged"))
    for name, value in fake_snowflake.variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    fake_snowflake.reset()
    with connect() as connection:
        for schema in ("PUBLISHED", "MARTS", "TRANSFORM"):
            connection.execute(f"create schema if not exists {schema}")
    for (name,) in list(_schemas()):
        fake_snowflake.execute(f'drop schema if exists "ECOMMERCE_ANALYTICS"."{name}" cascade')
    yield fake_snowflake
    settings.cache_clear()


def _schemas() -> list[tuple[Any, ...]]:
    with connect() as connection:
        sql = (
            "select schema_name from information_schema.schemata "
            "where startswith(schema_name, 'PUBLISHED_2')"
        )
        return connection.rows(sql)


def build(orders: int, day: date = DAY, *, tested: bool = True) -> None:
    """Marts as dbt leaves them, and the history of their run."""
    begun = datetime.now(UTC).replace(tzinfo=None)
    with connect() as connection:
        for mart in MARTS:
            connection.execute(f"create or replace transient table MARTS.{mart} as select 1 as id")
            for number in range(1, orders):
                connection.execute(f"insert into MARTS.{mart} values ({number + 1})")
        results = [
            {
                "name": mart,
                "published": mart in MARTS,
                "relation": f"ECOMMERCE_ANALYTICS.MARTS.{mart}",
            }
            for mart in (*MARTS, "int_hidden")
        ]
        raw = RawState("1 load", {"orders": "load-1"}, {"orders": orders})
        moment = begun + timedelta(milliseconds=1)
        record_run(connection, Run("marts", day, begun, moment, True, "project", raw, results))
        if tested:
            tests = [{"name": "a", "status": "pass"}, {"name": "b", "status": "warn"}]
            record_run(
                connection,
                Run(
                    "test",
                    day,
                    moment,
                    moment + timedelta(milliseconds=1),
                    True,
                    "project",
                    raw,
                    tests,
                ),
            )


def published() -> tuple[int, int]:
    ((orders,),) = read_published("select count(*) from published.fct_orders")
    ((products,),) = read_published("select count(*) from published.dim_products")
    return int(str(orders)), int(str(products))


def test_marts_that_have_not_passed_their_tests_are_not_published() -> None:
    with pytest.raises(PublicationError, match="run the marts layer"):
        publish_marts(DAY)
    build(2, tested=False)
    with pytest.raises(PublicationError, match="have not passed their tests"):
        publish_marts(DAY)
    assert read_publication() is None


def test_what_is_published_changes_all_at_once_and_can_be_brought_back(
    account: FakeAccount,
) -> None:
    build(2)
    first = publish_marts(DAY)
    assert (first.models, first.tests_passed, first.tests_warned) == (
        {"fct_orders": 2, "dim_products": 2},
        1,
        1,
    )
    assert (first.load_ids, first.rows_loaded) == ({"orders": "load-1"}, {"orders": 2})
    assert published() == (2, 2) and read_publication() == first
    build(3, DAY + timedelta(days=1))
    assert published() == (2, 2)
    account.statements.clear()
    second = publish_marts(DAY + timedelta(days=1))
    assert published() == (3, 3) and read_publication() == second

    statements = [" ".join(statement.lower().split()) for statement in account.statements]
    swap = statements.index(
        f"alter schema published swap with {schema_of(second.publication_id).lower()}"
    )
    for change in ("clone ecommerce_analytics.marts.fct_orders", "to role analyst", "insert into"):
        assert any(change in statement for statement in statements[:swap]), change
        assert not any(
            change in statement for statement in statements[swap:] if "runs" not in statement
        ), change
    for statement in account.statements:
        sqlglot.parse_one(statement, dialect="snowflake")

    assert [schema for (schema,) in _schemas()] == [schema_of(first.publication_id)]
    assert rollback().publication_id == first.publication_id
    assert published() == (2, 2)
    assert rollback(second.publication_id) == second
    assert published() == (3, 3)


def test_only_the_newest_publications_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_KEEP_PUBLICATIONS", "2")
    settings.cache_clear()
    identities = []
    for orders in (1, 2, 3):
        build(orders)
        identities.append(publish_marts(DAY).publication_id)
    assert [schema for (schema,) in _schemas()] == [schema_of(identities[1])]
    with pytest.raises(PublicationError, match=f"Kept: {identities[1]}"):
        rollback(identities[0])
    with pytest.raises(PublicationError, match="There is no publication x; drop"):
        rollback("x; drop schema marts")


def test_an_old_day_published_again_does_not_take_the_newest_day_back() -> None:
    build(1, DAY + timedelta(days=1))
    publish_marts(DAY + timedelta(days=1))
    build(2, DAY)
    again = publish_marts(DAY)
    assert (again.day, again.built_for) == (DAY + timedelta(days=1), DAY)


def test_the_history_of_runs_is_kept_and_what_is_gone_is_none() -> None:
    with connect() as connection:
        assert latest_run(connection) is None or latest_run(connection, "no-such-step") is None
    build(2)
    with connect() as connection:
        run = latest_run(connection, "marts")
        assert run is not None and (run.day, run.succeeded, len(run.results)) == (DAY, True, 3)
        newest = latest_run(connection)
        assert newest is not None and newest.step == "test"
        orders, products, gone = (
            f"ECOMMERCE_ANALYTICS.MARTS.{name}"
            for name in ("fct_orders", "dim_products", "no_such_table")
        )
        assert count_rows(connection, [orders, products]) == {orders: 2, products: 2}
        assert count_rows(connection, [gone, orders]) == {orders: 2}
        assert count_rows(connection, []) == {}
        assert sorted(first_rows(connection, "MARTS.fct_orders", 5), key=str) == [
            {"id": 1},
            {"id": 2},
        ]


def test_the_raw_state_changes_with_each_load() -> None:
    warehouse = open_warehouse()
    with connect() as connection:
        assert raw_state(connection, DAY) == RawState("empty", {}, {})
        record = load(warehouse, product(1))
        state = raw_state(connection, DAY)
    assert state.load_ids == {"products": record.load_id} and state.rows_loaded == {"products": 1}
    assert record.load_id in state.state


# --- killed half-way


class KilledError(BaseException):
    pass


@pytest.mark.chance
@pytest.mark.parametrize("statement", range(1, 45, 1 if LONG else 3))
def test_a_publication_killed_after_any_statement_leaves_versions_that_are_whole(
    statement: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(1)
    first = publish_marts(DAY)
    build(2)
    real, left = SnowflakeSession.table, [statement]

    def die(session: Any, sql: str, parameters: Any = ()) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KilledError
        return real(session, sql, parameters)

    with monkeypatch.context() as patched:
        patched.setattr(SnowflakeSession, "table", die)
        with suppress(KilledError):
            publish_marts(DAY)
    with connect() as connection:  # after seven minutes
        if connection.rows_if_there(f"select 1 from {LEASE}"):
            connection.execute(f"update {LEASE} set held_until = cast('2026-01-01' as timestamp)")
    assert published() in ((1, 1), (2, 2))
    build(3)
    last = publish_marts(DAY)
    assert published() == (3, 3) and read_publication() == last
    for (schema,) in _schemas():
        assert read_published(f"select count(*) from {schema}.PUBLICATION") == [(1,)]
    assert rollback(first.publication_id) == first
    assert published() == (1, 1)


def test_a_schema_that_holds_what_nobody_published_is_not_replaced() -> None:
    build(1)
    with connect() as connection:
        connection.execute("create or replace table PUBLISHED.SOMEBODYS as select 1 as id")
    with pytest.raises(PublicationError, match="not ours to replace"):
        publish_marts(DAY)
