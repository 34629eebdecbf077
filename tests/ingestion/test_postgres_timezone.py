"""Columns without a zone in local time: nothing missed or shifted, at clock changes too."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest

from ingestion.postgres.reconcile import reconcile_table
from ingestion.postgres.zone import first_wall_after, last_wall_until
from pipeline.sources import source
from tests.builders.postgres_shop import Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

NEW_YORK = "America/New_York"
HALF_HOUR = timedelta(minutes=30)


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    source_db.settings.__dict__["timezone"] = NEW_YORK
    return Shop(source_db, warehouse)


def wall(moment: datetime) -> str:
    local = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(NEW_YORK))
    return local.replace(tzinfo=None).isoformat(" ")


def test_orders_of_the_night_are_loaded_with_their_day(shop: Shop) -> None:
    shop.order(1, "2026-11-24 12:00:00")
    shop.load(date(2026, 11, 25))
    for order_id, stamp in enumerate(("00:59", "01:00", "01:30", "03:00", "04:59"), 2):
        shop.order(order_id, f"2026-11-25 {stamp}:00")
    shop.load(date(2026, 11, 25))
    assert shop.statuses().keys() == {1, 2, 3}, "06:00 UTC is 01:00 in New York"
    shop.load(date(2026, 11, 26))
    assert shop.raw("order_id, created_at::varchar", where="order_id > 1") == [
        (2, "2026-11-25 05:59:00"),
        (3, "2026-11-25 06:00:00"),
        (4, "2026-11-25 06:30:00"),
        (5, "2026-11-25 08:00:00"),
        (6, "2026-11-25 09:59:00"),
    ]
    assert reconcile_table(source("orders"), shop.settings(), shop.warehouse).is_equal


def test_a_column_with_a_zone_is_read_as_it_is(shop: Shop) -> None:
    shop.source.execute(
        "alter table orders alter updated_at type timestamptz using updated_at at time zone 'UTC'"
    )
    shop.order(1, "2026-11-25 01:00:00", "2026-11-25 06:00:00+00")
    shop.order(2, "2026-11-25 01:00:01", "2026-11-25 06:00:01+00")
    shop.load(date(2026, 11, 25))
    assert shop.raw("order_id, created_at = updated_at") == [(1, True)]


@pytest.mark.parametrize("day", [date(2026, 11, 1), date(2026, 3, 8)])
def test_a_day_on_which_clocks_change_brings_each_order_once_and_on_time(
    shop: Shop, day: date
) -> None:
    """An order every half hour, loaded as they come: each day holds what was there at 06:00."""
    first = datetime(day.year, day.month, day.day) - timedelta(hours=24)
    moments = [first + HALF_HOUR * number for number in range(120)]
    written = 0
    for loaded in (day - timedelta(days=1), day, day + timedelta(days=1), day + timedelta(days=2)):
        now = datetime(loaded.year, loaded.month, loaded.day, 6)
        for order_id, moment in enumerate(moments, 1):
            if written < order_id and moment <= now:
                shop.order(order_id, wall(moment))
                written = order_id
        shop.load(loaded)
        there = shop.statuses().keys()
        assert there == {n for n, moment in enumerate(moments, 1) if moment <= now}
    assert reconcile_table(source("orders"), shop.settings(), shop.warehouse).is_equal


@pytest.mark.parametrize("zone", [NEW_YORK, "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"])
def test_no_wall_time_lies_outside_of_its_bounds(zone: str) -> None:
    moments = [datetime(2026, 1, 1) + timedelta(minutes=15) * number for number in range(4 * 8760)]
    walls = [
        moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)
        for moment in moments
    ]
    for number in range(100, len(moments) - 100, 7):
        around = slice(number - 96, number + 1), slice(number + 1, number + 97)
        assert max(walls[around[0]]) <= last_wall_until(moments[number], zone)
        assert min(walls[around[1]]) > first_wall_after(moments[number], zone)
