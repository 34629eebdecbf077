"""An environment of its own in a real Snowflake account; skipped, loudly, where none is set.

Needs SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and a sign-in of a user who may use ACCOUNTADMIN in a trial
or test account.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from infrastructure.snowflake.statements import FOLDER, Account, read, statements
from pipeline.settings import settings
from tests.builders.snowflake_admin import about_the_account, proven, run_as_admin
from warehouse.session import utc_now
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.warehouse import SnowflakeWarehouse

UNPROVEN = """
NOT RUN: no Snowflake account is set
(SNOWFLAKE_ACCOUNT, SNOWFLAKE_USER and a key, token or password).
Unproven without one, because the test double cannot show it:
  - that Snowflake takes the SQL of infrastructure/snowflake as it stands,
    and that running it twice changes nothing
  - that the rights hold: the analyst is refused raw tables
    and unpublished marts, the loader is refused the marts
  - MERGE on real data: guarded by version, exact decimals, JSON compared as VARIANT,
    two loads of one source at once
  - COPY with logical types: microseconds and decimals as they left the source
  - that an upload, a COPY and a 10,000,000-row load stream within the time limits
  - dbt a second time, with exact sums and under locks: merges, the snapshot of customers, grants,
    clustering, query tags
  - publication by zero-copy clone and SWAP under a reader's eyes, with the reader's rights
  - sign-in by key pair and token against the real service
  - a full day through Airflow with Snowflake as its warehouse
"""

_account: list[str] = []  # version, edition and region, once it was reached
_began = time.monotonic()


def account_is_set() -> bool:
    ways = (
        "SNOWFLAKE_PRIVATE_KEY_FILE",
        "SNOWFLAKE_PRIVATE_KEY",
        "SNOWFLAKE_TOKEN",
        "SNOWFLAKE_PASSWORD",
    )
    return all(os.environ.get(name) for name in ("SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER")) and any(
        map(os.environ.get, ways)
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.snowflake)
            if not account_is_set():
                item.add_marker(
                    pytest.mark.skip(
                        reason="no Snowflake account: `make test-snowflake` says what is unproven"
                    )
                )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    outcomes = {
        report.nodeid: outcome
        for outcome in ("passed", "skipped", "failed", "error")
        for report in terminalreporter.stats.get(outcome, [])
        if "snowflake_account" in report.nodeid
    }
    if outcomes and _account:
        terminalreporter.section("Snowflake, for docs/snowflake.md", sep="=")
        seconds = time.monotonic() - _began
        terminalreporter.write_line(proven(_account[0], utc_now().date(), outcomes, seconds))
    elif outcomes and not account_is_set():
        terminalreporter.section("Snowflake", sep="!", red=True, bold=True)
        terminalreporter.write_line(UNPROVEN, red=True)


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Databases, roles and warehouses under a prefix of this run, gone afterwards."""
    prefix = f"T{secrets.token_hex(3).upper()}_"
    made = Account(prefix=prefix, loading_credits=2, transforming_credits=2, reporting_credits=2)
    settings.cache_clear()
    user = settings(SnowflakeSettings).user
    os.environ["SNOWFLAKE_NAME_PREFIX"] = prefix
    os.environ["WAREHOUSE_KIND"] = "snowflake"
    os.environ["SNOWFLAKE_STAGING_DIR"] = str(tmp_path_factory.mktemp("staged"))
    grants = [
        f'grant role {prefix}{role} to user "{user.upper()}"'
        for role in ("LOADER", "TRANSFORMER", "ANALYST", "ADMIN")
    ]
    try:
        run_as_admin([*statements(made), "use role ACCOUNTADMIN", *grants])
        _account.append(about_the_account(f"{prefix}ECOMMERCE_RAW"))
        settings.cache_clear()
        yield made
    finally:
        run_as_admin(list(read(FOLDER / "destroy.sql", made)))
        for name in ("SNOWFLAKE_NAME_PREFIX", "WAREHOUSE_KIND", "SNOWFLAKE_STAGING_DIR"):
            os.environ.pop(name, None)
        settings.cache_clear()


class _InThisEnvironment(SnowflakeWarehouse):
    """Tests name the raw database as it is called in production."""

    def query(self, sql: str, parameters: Any = ()) -> list[tuple[object, ...]]:
        return super().query(
            sql.replace("ecommerce_raw.", f"{self.settings.named('ECOMMERCE_RAW')}."), parameters
        )


@pytest.fixture
def warehouse(environment: Account) -> SnowflakeWarehouse:
    """The real warehouse, empty."""
    found = _InThisEnvironment(settings(SnowflakeSettings))
    with found.session("empty the raw database", writes=True) as session:
        tables = session.rows(
            "select table_schema, table_name from information_schema.tables where table_type = "
            "'BASE TABLE'"
        )
        for schema, name in tables:
            if schema != "LOADS":
                session.execute(f'drop table "{schema}"."{name}"')
            elif not name.startswith("LOCK_"):
                session.execute(f'truncate table "{schema}"."{name}"')
    return found
