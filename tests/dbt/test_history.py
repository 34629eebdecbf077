"""History of customers: valid from times in the data, the same whenever dbt runs."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.builders.raw_shop import RawShop, Row
from tests.builders.run_dbt import runner, warehouse

pytestmark = pytest.mark.slow
BUILD = (
    "build",
    "--resource-type",
    "model",
    "--resource-type",
    "seed",
    "--resource-type",
    "snapshot",
)
HISTORY = (*BUILD, "--select", "path:models/intermediate", "path:snapshots", "dim_customers")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


class Diary:
    """One customer, seen by dbt after each change."""

    def __init__(self, folder: Path, target_path: Path) -> None:
        self.folder, self.dbt = folder, runner(folder, target_path)
        self.shop = RawShop(1, date(2026, 11, 1))
        self.customer(
            address="1 Main Street", created_at=at("2026-01-01"), updated_at=at("2026-01-01")
        )
        self.shop.write(folder)
        self.dbt(*BUILD)

    def customer(self, **values: Any) -> Row:
        return self.shop.put("customers", customer_id=1, email="a@example.com", **values)

    def order(self, number: int, total: int, ordered_at: str, **values: Any) -> Row:
        moment = at(ordered_at)
        values = {"status": "completed", "updated_at": moment} | values
        return self.shop.put(
            "orders",
            order_id=number,
            customer_id=1,
            order_date=moment,
            total_amount=Decimal(total),
            created_at=moment,
            **values,
        )

    def next_day(self) -> None:
        self.shop.day += timedelta(days=1)
        self.shop.start_load()

    def run(self) -> list[tuple[Any, ...]]:
        self.shop.write(self.folder)
        self.dbt(*HISTORY)
        with warehouse(self.folder) as connection:
            return connection.execute(
                "select tier, address, valid_from, valid_to, is_current from "
                "ecommerce_analytics.marts.dim_customers order by 3"
            ).fetchall()


@pytest.fixture
def diary(tmp_path: Path, target_path: Path) -> Diary:
    return Diary(tmp_path, target_path)


def test_a_version_begins_when_the_data_says_so(diary: Diary) -> None:
    diary.next_day()
    diary.customer(address="2 New Street", updated_at=at("2026-11-01 20:00"))
    diary.run()
    diary.next_day()
    diary.order(1, 600, "2026-11-02 09:30")
    assert diary.run() == [
        ("bronze", "1 Main Street", at("2026-01-01"), at("2026-11-01 20:00"), False),
        ("bronze", "2 New Street", at("2026-11-01 20:00"), at("2026-11-02 09:30"), False),
        ("silver", "2 New Street", at("2026-11-02 09:30"), None, True),
    ]


def test_running_again_changes_nothing(diary: Diary) -> None:
    diary.next_day()
    diary.order(1, 600, "2026-11-01 09:30")
    once = diary.run()
    assert diary.run() == once


def test_a_change_that_leaves_no_time_behind_counts_from_the_load(diary: Diary) -> None:
    diary.next_day()
    order = diary.order(1, 600, "2026-11-01 09:30")
    diary.run()
    diary.next_day()
    # The source no longer has it: the tier falls, and no updated_at says when.
    diary.shop.delete(order)
    diary.customer(address="1 Main Street", updated_at=at("2026-01-01"))
    rows = diary.run()
    assert [row[0] for row in rows] == ["bronze", "silver", "bronze"]
    assert rows[2][2] == rows[1][3]
    assert rows[2][2] == diary.shop.tables["customers"][(1,)]["_loaded_at"]


def test_a_deleted_customer_ends_and_comes_back(diary: Diary) -> None:
    diary.next_day()
    diary.shop.delete(diary.shop.tables["customers"][(1,)])
    (row,) = diary.run()
    assert row[3:] == (diary.shop.tables["customers"][(1,)]["_deleted_at"], False)
    diary.next_day()
    diary.customer(address="1 Main Street", updated_at=at("2026-01-01"))
    (row,) = diary.run()
    assert row[3:] == (None, True)
