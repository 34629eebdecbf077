"""A month on the double: a first load, days with corrections and deletions, a full refresh, a
publication that fails at each of its statements, a rollback. The marts equal DuckDB's row by row.

Three days beside every change; the whole month with ``make test-long``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import transform
from infrastructure.snowflake.statements import Account, statements
from pipeline.contracts import METADATA_COLUMNS, Column
from pipeline.settings import PROJECT, settings
from tests.builders.chance import LONG
from tests.builders.dbt_days import A_DAY, BUILD, MARTS, rows_of
from tests.builders.raw_shop import TABLES, RawShop
from tests.builders.run_dbt import Dbt, runner, warehouse
from tests.snowflake_double.rules import findings
from tests.snowflake_double.server import FakeAccount
from warehouse import open_warehouse
from warehouse.tables import address, create_table

DAYS = 31 if LONG else 3
FIRST = date(2026, 11, 1)

pytestmark = [pytest.mark.slow, pytest.mark.chance, pytest.mark.timeout(120 + DAYS * 240)]


@dataclass
class Month:
    """The same shop in both warehouses, and every statement that Snowflake's was sent."""

    account: FakeAccount
    folder: Path
    dbt: Dbt
    shop: RawShop
    sent: list[str] = field(default_factory=list)
    counted: list[dict[str, int]] = field(default_factory=list)
    tests: list[transform.TestResult] = field(default_factory=list)
    publications: list[transform.Publication] = field(default_factory=list)

    def load(self) -> None:
        """The shop as it is now, in both: Snowflake's tables are made by the loader."""
        self.shop.write(self.folder)
        with open_warehouse().session("make raw tables", writes=True) as session:
            for table in TABLES.values():
                declared = [
                    Column(c.name, c.type, nullable=c.name not in table.key) for c in table.columns
                ]
                create_table(session, address(session, table), [*declared, *METADATA_COLUMNS])
        file = self.folder / "ecommerce_raw.duckdb"
        self.account.execute(f"attach '{file}' as shop (read_only)")
        for table in TABLES.values():
            there = f"ECOMMERCE_RAW.{table.schema}.{table.raw_name}"
            here = f"shop.{table.schema.lower()}.{table.raw_name.lower()}"
            self.account.execute(f"delete from {there}")
            self.account.execute(f"insert into {there} by name select * from {here}")
        self.account.execute("delete from ECOMMERCE_RAW.LOADS.LOAD_RECORDS")
        self.account.execute(
            "insert into ECOMMERCE_RAW.LOADS.LOAD_RECORDS select load_id, source, day, null, "
            "committed_at, null, committed_at, committed_at, committed_at, 1, 1, 0, 0, 0, '[]', '' "
            "from shop.loads.load_records"
        )
        self.account.execute("detach shop")

    def build(self, *, full_refresh: bool = False) -> None:
        """Both warehouses build the day; Snowflake's also tests and publishes it."""
        day = self.shop.day
        self.counted.append({})
        for layer in ("staging", "intermediate", "marts"):
            with self.counting(layer):
                transform.run_layer(layer, day, full_refresh=full_refresh)  # type: ignore[arg-type]
        with self.counting("tests"):
            self.tests.append(transform.test_all(day))
        with self.counting("publication"):
            self.publications.append(transform.publish_marts(day))
        whole = full_refresh or len(self.publications) == 1
        self.dbt(*(BUILD if whole else A_DAY), *(["--full-refresh"] if full_refresh else []))

    @contextmanager
    def counting(self, step: str) -> Iterator[None]:
        self.account.statements.clear()
        yield
        self.counted[-1][step] = len(self.account.statements)
        self.sent += self.account.statements

    def marts_here(self) -> dict[str, list[Any]]:
        found = {}
        for mart in MARTS:
            with warehouse(self.folder) as connection:
                found[mart] = [tuple(row.values()) for row in rows_of(connection, mart)]
        return found

    def marts_there(self) -> dict[str, list[Any]]:
        """What is published, as it is stored."""
        return {
            mart: self.account.query(
                f'select * from ECOMMERCE_ANALYTICS."PUBLISHED".{mart} order by all'
            )
            for mart in MARTS
        }


@pytest.fixture(scope="module")
def month(fake_snowflake: FakeAccount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Month]:
    """All days built, tested, published and compared."""
    before, folder = dict(os.environ), tmp_path_factory.mktemp("month")
    for name in before:
        if name.split("_")[0] in ("SNOWFLAKE", "WAREHOUSE", "DBT"):
            del os.environ[name]
    (folder / "empty.env").touch()
    os.environ |= {
        **fake_snowflake.variables,
        "ECOMMERCE_ENV_FILE": str(folder / "empty.env"),
        "SNOWFLAKE_STAGING_DIR": str(folder / "staged"),
        "DBT_THREADS": "1",
        "DBT_TARGET_PATH": str(folder / "snowflake"),
        "DBT_LOG_PATH": str(folder / "logs"),
        "DBT_KEEP_PUBLICATIONS": "3",
    }
    settings.cache_clear()
    fake_snowflake.reset()
    shop = RawShop(3, FIRST)
    found = Month(
        fake_snowflake, folder / "duckdb", runner(folder / "duckdb", folder / "duck"), shop
    )
    try:
        shop.open(customers=12, products=4, orders=20)
        found.load()
        found.build()
        for number in range(1, DAYS):
            shop.next_day()
            found.load()
            found.build(full_refresh=number == DAYS - 1)
            assert found.marts_there() == found.marts_here(), shop.day
        yield found
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


def test_every_day_is_tested_and_published(month: Month) -> None:
    assert len(month.publications) == DAYS
    for result in month.tests:
        assert len(result.tests) > 100 and result.passed > 90
        assert {test.status for test in result.tests} <= {"pass", "warn"}


def test_the_days_after_the_first_take_in_what_changed(month: Month) -> None:
    sent = [" ".join(statement.lower().split()) for statement in month.sent]
    for mart in ("fct_orders", "fct_order_items", "fct_payments"):
        assert any(s.startswith(f"delete from ecommerce_analytics.marts.{mart}") for s in sent), (
            mart
        )
    versions = month.account.query(
        "select count(*) > count(distinct customer_id) "
        "from ECOMMERCE_ANALYTICS.SNAPSHOTS.CUSTOMER_HISTORY"
    )
    assert versions == [(True,)], "no customer ever changed"


def test_every_statement_keeps_the_rules(month: Month) -> None:
    found = {}
    for statement in {*month.sent, *statements(Account(allowed_ips=("203.0.113.1",)))}:
        for finding in findings(statement):
            found[finding] = " ".join(statement.split())[:300]
    assert not found, "\n".join(f"{finding}: {in_}" for finding, in_ in found.items())


def test_a_rollback_brings_back_what_was_published_before_and_can_be_undone(month: Month) -> None:
    *_, before, current = month.publications
    published = month.marts_there()
    assert transform.rollback() == before
    assert {mart: len(rows) for mart, rows in month.marts_there().items()} == before.models
    assert transform.rollback(current.publication_id) == current
    assert month.marts_there() == published


def test_the_page_about_costs_counts_the_statements_of_an_ordinary_day(month: Month) -> None:
    page = (PROJECT / "docs" / "cost.md").read_text()
    said = {name: int(n) for name, n in re.findall(r"^\| (\w+) \| (\d+) \|", page, re.M)}
    assert said == pytest.approx(month.counted[1], rel=0.3)
