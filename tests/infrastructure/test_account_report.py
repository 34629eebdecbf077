"""What `make test-snowflake` prints for the documentation."""

from __future__ import annotations

from datetime import date

from tests.builders.snowflake_admin import proven


def test_what_is_not_proven_stands_first() -> None:
    outcomes = {
        "tests/snowflake_account/test_account_day.py::test_a_full_day_through_airflow": "passed",
        "tests/snowflake_account/test_account_loader.py::test_rows_stream[1]": "failed",
    }
    found = proven("Snowflake 9.1, Standard edition, AWS_EU", date(2026, 11, 27), outcomes, 540)
    assert found.splitlines() == [
        "### 2026-11-27: 1 of 2 proven on Snowflake 9.1, Standard edition, AWS_EU",
        "",
        "`make test-snowflake`, 9 minutes.",
        "",
        "| what | |",
        "|---|---|",
        "| rows stream[1] | failed |",
        "| a full day through airflow | passed |",
    ]
