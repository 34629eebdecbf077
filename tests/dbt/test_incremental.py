"""Marts built day by day equal marts built at once from the same raw tables."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from tests.builders.dbt_days import A_DAY, BUILD, assert_equal_to_a_full_refresh, snapshot_of_marts
from tests.builders.raw_shop import RawShop
from tests.builders.run_dbt import runner


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20261122])
def test_twelve_days_built_one_by_one_equal_one_full_refresh(
    seed: int, tmp_path: Path, target_path: Path
) -> None:
    dbt = runner(tmp_path, target_path)
    shop = RawShop(seed, date(2026, 11, 1))
    shop.open()
    shop.write(tmp_path)
    dbt(*BUILD)
    for _ in range(12):
        shop.next_day()
        shop.write(tmp_path)
        dbt(*A_DAY)
    day_by_day = snapshot_of_marts(tmp_path)
    assert_equal_to_a_full_refresh(tmp_path, dbt)
    assert len(day_by_day["fct_orders"]) > 60
    assert any(row["valid_to"] for row in day_by_day["dim_customers"]), "no customer ever changed"
    assert any(row["refund_count"] for row in day_by_day["fct_orders"]), "nothing was ever refunded"
