"""Who may announce a day: one round of six by themselves, after that only all six together."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.sources import SOURCES, source
from warehouse import Warehouse

DAY, NEXT = date(2026, 11, 2), date(2026, 11, 3)


@pytest.fixture(params=["duckdb", pytest.param("snowflake", marks=pytest.mark.slow)])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """Each test runs on both: DuckDB, and Snowflake's connector on a fake account."""
    found: Warehouse = request.getfixturevalue(
        "warehouse" if request.param == "duckdb" else "snowflake_warehouse"
    )
    return found


def announce_all(warehouse: Warehouse, day: date) -> None:
    for each in SOURCES:
        assert warehouse.announce(f"load-{each.name}-{day}", day, each)


def test_each_source_announces_its_day_alone_once(warehouse: Warehouse) -> None:
    announce_all(warehouse, DAY)
    assert warehouse.day_state(DAY).announced_by_all
    assert not warehouse.announce("load-2", DAY, source("orders"))


def test_a_source_loaded_again_before_the_day_is_complete_announces_alone(
    warehouse: Warehouse,
) -> None:
    assert warehouse.announce("load-1", DAY, source("orders"))
    assert warehouse.announce("load-2", DAY, source("orders"))
    assert set(warehouse.day_state(DAY).announced) == {"orders"}


def test_days_do_not_mix(warehouse: Warehouse) -> None:
    announce_all(warehouse, DAY)
    assert warehouse.announce("next", NEXT, source("orders"))
    assert warehouse.pending_days(DAY) == [NEXT]
    assert warehouse.pending_days(date(2026, 11, 4)) == []


def test_a_retry_of_the_sixth_announcement_announces_again(warehouse: Warehouse) -> None:
    announce_all(warehouse, DAY)
    last = SOURCES[-1]
    assert warehouse.announce(
        f"load-{last.name}-{DAY}", DAY, last
    )  # its first try died before the event was sent


def test_corrections_before_a_build_begins_are_read_by_it(warehouse: Warehouse) -> None:
    announce_all(warehouse, DAY)
    assert warehouse.announce_again("correction-1", [DAY], unless_due=True) == []
    warehouse.begin_build("run-1", DAY)
    assert warehouse.announce_again("correction-2", [DAY], unless_due=True) == [DAY]
    assert (
        warehouse.announce_again("correction-3", [DAY], unless_due=True) == []
    )  # the build of the second reads it


def test_a_retry_of_a_correction_announces_again(warehouse: Warehouse) -> None:
    announce_all(warehouse, DAY)
    warehouse.begin_build("run-1", DAY)
    assert warehouse.announce_again("correction-1", [DAY], unless_due=True) == [DAY]
    assert warehouse.announce_again("correction-1", [DAY], unless_due=True) == [DAY]


def test_a_person_can_have_a_day_announced_whatever_is_due(warehouse: Warehouse) -> None:
    announce_all(warehouse, DAY)
    assert warehouse.announce_again("by-hand", [DAY, NEXT], unless_due=False) == [DAY, NEXT]
