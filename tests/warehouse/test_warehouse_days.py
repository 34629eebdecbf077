"""Who may announce a day: each source, until all six have; and which days nobody has built."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from pipeline.contracts import Source
from pipeline.days import upper_bound
from pipeline.records import Window
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
    assert set(warehouse.day_state(NEXT).announced) == {"orders"}


def test_a_retry_of_the_sixth_announcement_announces_again(warehouse: Warehouse) -> None:
    announce_all(warehouse, DAY)
    last = SOURCES[-1]
    assert warehouse.announce(
        f"load-{last.name}-{DAY}", DAY, last
    )  # its first try died before the event was sent


def test_a_build_is_known_by_its_run_and_by_when_it_last_began(warehouse: Warehouse) -> None:
    warehouse.begin_build("run-1", DAY)
    between = datetime.now(UTC)
    warehouse.begin_build("run-2", DAY)
    warehouse.begin_build("run-3", NEXT)
    assert warehouse.day_state(DAY).builds_since(between) == ["run-2"]
    warehouse.begin_build("run-1", DAY)  # cleared, or tried again
    assert set(warehouse.day_state(DAY).builds_since(between)) == {"run-1", "run-2"}


def test_a_complete_day_is_to_be_built_until_a_build_has_read_its_newest_load(
    warehouse: Warehouse,
) -> None:
    for each in SOURCES[:-1]:
        load_nothing(warehouse, each, DAY)
    assert warehouse.days_to_build(DAY, NEXT) == {}
    newest = load_nothing(warehouse, SOURCES[-1], DAY)
    assert warehouse.days_to_build(DAY, NEXT) == {DAY: newest}
    assert warehouse.days_to_build(NEXT, NEXT) == {}
    warehouse.begin_build("run-1", DAY)
    assert warehouse.days_to_build(DAY, NEXT) == {}
    corrected = load_nothing(warehouse, SOURCES[0], DAY)
    assert warehouse.days_to_build(DAY, NEXT) == {DAY: corrected}


def load_nothing(warehouse: Warehouse, of: Source, day: date) -> str:
    """A load of no rows; its id."""
    with warehouse.begin_load(of, day, Window(None, upper_bound(day))) as load:
        return load.commit(None).load_id
