"""Marts built day by day equal marts built at once from the same raw tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.builders.marts import (
    A_DAY,
    BUILD,
    INCREMENTAL,
    MARTS,
    snapshot_of_intermediates,
    snapshot_of_marts,
)
from tests.builders.raw_shop import RawShop
from tests.builders.run_dbt import runner


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261122])
def test_twenty_days_built_one_by_one_equal_one_full_refresh(
    seed: int, tmp_path: Path, target_path: Path
) -> None:
    dbt = runner(tmp_path, target_path)
    shop = RawShop(seed, date(2026, 11, 1))
    shop.open()
    shop.write(tmp_path)
    dbt(*BUILD)
    for _ in range(20):
        shop.next_day()
        shop.write(tmp_path)
        dbt(*A_DAY)
    day_by_day, beneath = snapshot_of_marts(tmp_path), snapshot_of_intermediates(tmp_path)
    dbt(*BUILD, "--full-refresh")
    at_once, beneath_at_once = snapshot_of_marts(tmp_path), snapshot_of_intermediates(tmp_path)

    for mart in MARTS:
        assert day_by_day[mart] == at_once[mart], mart
    for table in INCREMENTAL:
        assert beneath[table] == beneath_at_once[table], table
    assert len(day_by_day["fct_orders"]) > 60
    assert any(row["valid_to"] for row in day_by_day["dim_customers"]), "no customer ever changed"
    assert any(row["refund_count"] for row in day_by_day["fct_orders"]), "nothing was ever refunded"
