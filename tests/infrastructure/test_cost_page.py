"""The page about costs says what the computation says."""

from __future__ import annotations

import pytest

from infrastructure.snowflake.cost import Month, items, main, stored_bytes, table
from infrastructure.snowflake.statements import Account
from pipeline.settings import PROJECT


def test_the_page_shows_the_computed_table() -> None:
    assert table(Month()) in (PROJECT / "docs" / "cost.md").read_text()


def test_the_budgets_leave_room_for_what_a_month_takes() -> None:
    loading, building, reading, _ = (item.credits for item in items(Month()))
    account = Account()
    assert loading < 0.75 * account.loading_credits
    assert building < 0.75 * account.transforming_credits
    assert reading < 0.75 * account.reporting_credits


def test_more_orders_take_more_space_and_more_reading_more_credits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert stored_bytes(Month(orders=1_000_000)) == pytest.approx(2 * stored_bytes(Month()))
    assert main(["--reading-hours", "8"]) == 0
    assert "| 176.0 | 352.00 |" in capsys.readouterr().out
