"""One process at a time builds or publishes on Snowflake; a killed one loses its lease."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import pytest

from pipeline.errors import WarehouseUnavailableError
from tests.builders.loads import load, product
from warehouse.session import Session
from warehouse.snowflake import lease as leases
from warehouse.snowflake.lease import TABLE, lease

if TYPE_CHECKING:
    from tests.snowflake_double.server import FakeAccount
    from warehouse.snowflake.warehouse import SnowflakeWarehouse


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "ASKED_SECONDS", 0.05)


def holder(warehouse: SnowflakeWarehouse) -> tuple[str, bool]:
    """Who holds the marts, or held them last, and whether the lease still runs."""
    with warehouse.marts() as session:
        ((name, runs),) = session.rows(f"select holder, held_until > sysdate() from {TABLE}")
    return str(name), bool(runs)


def test_a_second_one_waits_and_says_who_builds(snowflake_warehouse: SnowflakeWarehouse) -> None:
    with snowflake_warehouse.lock():
        name, runs = holder(snowflake_warehouse)
        assert runs and name.startswith("process ")
        with (
            pytest.raises(WarehouseUnavailableError, match="being built or published by process "),
            lease(snowflake_warehouse.marts, 0.2),
        ):
            pass
    assert holder(snowflake_warehouse) == (name, False)
    with snowflake_warehouse.lock():
        assert holder(snowflake_warehouse)[0] != name


def test_who_waits_begins_when_the_first_has_ended(snowflake_warehouse: SnowflakeWarehouse) -> None:
    done: list[str] = []

    def build() -> None:
        with lease(snowflake_warehouse.marts, 30):
            done.append("second")

    with snowflake_warehouse.lock():
        waiting = threading.Thread(target=build)
        waiting.start()
        waiting.join(0.5)
        assert done == []
        done.append("first")
    waiting.join(30)
    assert done == ["first", "second"]


def test_a_lease_lasts_longer_than_a_statement_without_a_client() -> None:
    """ABORT_DETACHED_QUERY ends those after five minutes."""
    assert leases.LASTS_SECONDS >= 300 + leases.RENEWED_SECONDS


def test_a_lease_is_renewed_while_its_holder_works_and_ends_with_a_killed_one(
    snowflake_warehouse: SnowflakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LASTS_SECONDS", 2)
    monkeypatch.setattr(leases, "RENEWED_SECONDS", 0.3)
    waited = threading.Event()
    with snowflake_warehouse.lock():
        waited.wait(3)
        assert holder(snowflake_warehouse)[1]

    def killed(*arguments: object) -> None:
        """Nobody renews it."""

    monkeypatch.setattr(leases, "_renew", killed)
    with snowflake_warehouse.lock(), lease(snowflake_warehouse.marts, 30):
        pass  # after two seconds


def test_a_lease_that_cannot_be_renewed_is_a_warning(
    snowflake_warehouse: SnowflakeWarehouse,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(leases, "RENEWED_SECONDS", 0.05)
    opened: list[int] = []

    def marts() -> AbstractContextManager[Session]:
        opened.append(1)
        if len(opened) == 2:
            raise WarehouseUnavailableError("not now")
        return snowflake_warehouse.marts()

    with lease(marts, 1):
        for _ in range(100):
            if len(opened) > 3:
                break
            threading.Event().wait(0.05)
    assert "could not be renewed: not now" in caplog.text
    assert not holder(snowflake_warehouse)[1]


def test_locks_that_nobody_takes_any_more_are_dropped(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    """Each source had one of its own once."""
    load(snowflake_warehouse, product(1))
    fake_snowflake.execute(
        'create table "ECOMMERCE_RAW"."LOADS"."LOCK_ORDERS" (held_since timestamp)'
    )
    again = type(snowflake_warehouse)(snowflake_warehouse.settings)
    load(again, product(2))
    locks = (
        "select table_name from information_schema.tables "
        "where startswith(table_name, 'LOCK_') order by 1"
    )
    assert again.query(locks) == [("LOCK_COMMITS",), ("LOCK_DAYS",)]
