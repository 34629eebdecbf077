"""What `make demo` prints: a line per change of a step, and the day's figures at the end."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from sandbox.day import Step
from sandbox.screen import Screen, Summary


def test_a_step_is_named_once_for_each_state(capsys: pytest.CaptureFixture[str]) -> None:
    screen, load = Screen(), "extract_postgres_orders"
    waiting = Step("ecommerce_dbt", "publish_marts")
    screen.show([Step(load, load, "running"), waiting])
    screen.show([Step(load, load, "running"), waiting])
    screen.show([Step(load, load, "success", 1600, 2.25), waiting])
    said = [line.split("] ")[1] for line in capsys.readouterr().out.splitlines()]
    assert said == [f" 0/2 {load}: running", f" 1/2 {load}: success, 1,600 rows, 2.2 s"]


def test_the_summary_has_the_days_figures_and_where_to_look() -> None:
    text = str(
        Summary(
            day=date(2026, 11, 22),
            rows={"orders": 1600, "marketing": 20},
            rejected={"orders": 0, "marketing": 35},
            tests_passed=300,
            tests_warned=4,
            revenue=[(date(2026, 11, 21), 1234, Decimal("56789.10"))],
            total_seconds=75.25,
            addresses={"Airflow": "http://127.0.0.1:8080"},
        )
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in ("marketing 20 35", "2026-11-21 1,234 56,789.10", "Airflow http://127.0.0.1:8080"):
        assert line in lines
    assert "300 passed, 4 with a warning" in text
