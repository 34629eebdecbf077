"""The first day: built from nothing, refunds and disputes still empty, every test runs."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.builders.raw_shop import RawShop
from tests.builders.run_dbt import runner, statuses, warehouse

pytestmark = pytest.mark.slow
GUIDE = Path(__file__).resolve().parents[2] / "docs" / "marts.md"
EXAMPLES = re.findall(r"```sql\n-- (.+?)\n(.+?)```", GUIDE.read_text(), flags=re.DOTALL)


@pytest.fixture(scope="module")
def first_day(tmp_path_factory: pytest.TempPathFactory, target_path: Path) -> Path:
    """A warehouse after its first build."""
    folder = tmp_path_factory.mktemp("warehouse")
    shop = RawShop(7, date(2026, 11, 1))
    shop.open()
    assert not shop.tables["refunds"] and not shop.tables["disputes"]
    shop.write(folder)
    kinds = ("--resource-type", "model", "--resource-type", "seed", "--resource-type", "snapshot")
    runner(folder, target_path)("build", *kinds)
    return folder


def test_every_test_of_the_project_runs_and_none_stops_the_day(
    first_day: Path, target_path: Path
) -> None:
    results = statuses(runner(first_day, target_path)("test"))
    assert set(results.values()) == {"pass", "warn"}
    assert results["orphan_charges"] == results["customers_with_a_shared_email"] == "warn"
    assert len(results) > 100


def copied(folder: Path, name: str) -> Path:
    copy = folder.with_name(f"{folder.name}-{name}")
    copy.mkdir()
    for file in folder.glob("*.duckdb"):
        (copy / file.name).write_bytes(file.read_bytes())
    return copy


def test_days_of_many_orders_equal_their_orders(first_day: Path, target_path: Path) -> None:
    """More orders in a day than the mart has days: DuckDB 2.0.0 held such sums for impossible."""
    copy = copied(first_day, "busy")
    with duckdb.connect(str(copy / "ecommerce_analytics.duckdb")) as connection:
        connection.execute(
            "create or replace table marts.fct_orders as "
            "select date '2026-10-01' + cast(n % 3 as integer) as order_date, "
            "false as is_cancelled, 10.00 as total_amount from range(1500) as orders (n)"
        )
        connection.execute(
            "create or replace table marts.fct_daily_revenue as select order_date, "
            "count(*) as orders, sum(total_amount) as gross_revenue "
            "from marts.fct_orders group by order_date"
        )
    runner(copy, target_path)("test", "--select", "daily_revenue_equals_orders")


def stops(
    folder: Path, target_path: Path, test: str, breakage: Callable[[duckdb.DuckDBPyConnection], Any]
) -> bool:
    """Whether a test fails once something was broken in a copy of the warehouse's marts."""
    copy = copied(folder, f"{test}-{secrets.token_hex(2)}")
    with duckdb.connect(str(copy / "ecommerce_analytics.duckdb")) as connection:
        breakage(connection)
    result = runner(copy, target_path)("test", "--select", test, succeeds=False)
    return statuses(result) == {test: "fail"} and not result.success


@pytest.mark.parametrize(
    ("test", "breakage"),
    [
        ("no_order_lost_between_raw_and_mart", "delete from marts.fct_orders where order_id = 1"),
        (
            "no_order_item_lost_between_raw_and_mart",
            "delete from marts.fct_order_items where order_item_id = 1",
        ),
        (
            "no_payment_lost_between_raw_and_mart",
            "delete from marts.fct_payments where charge_id = 'ch_1'",
        ),
        (
            "daily_revenue_equals_orders",
            "update marts.fct_daily_revenue set gross_revenue = gross_revenue + 0.01",
        ),
        (
            "daily_revenue_equals_orders",
            "delete from marts.fct_daily_revenue where order_date = '2026-10-15'",
        ),
        (
            "daily_revenue_equals_payments",
            "update marts.fct_daily_revenue set payments = payments + 0.01",
        ),
        (
            "orders_equal_their_lines",
            "update marts.fct_order_items set line_total = line_total + 0.01",
        ),
        (
            "orders_equal_their_payments",
            "update marts.fct_payments set captured_amount = captured_amount + 0.01",
        ),
        (
            "customer_lifetime_equals_orders",
            "update marts.dim_customers set net_revenue = net_revenue + 0.01",
        ),
        (
            "every_customer_has_one_current_version",
            "update marts.dim_customers set is_current = false where customer_id = 1",
        ),
        (
            "order_items_equal_their_orders",
            "update marts.fct_order_items set order_status = 'lost' where order_item_id = 1",
        ),
        ("calendar_has_every_day", "delete from marts.dim_dates where date_day = '2026-11-01'"),
        (
            "customer_versions_follow_each_other",
            "insert into marts.dim_customers by name select * replace (2 as version_number, true "
            "as is_current) "
            "from marts.dim_customers where customer_id = 1",
        ),
    ],
)
def test_a_broken_invariant_stops_the_day(
    first_day: Path, target_path: Path, test: str, breakage: str
) -> None:
    assert stops(first_day, target_path, test, lambda connection: connection.execute(breakage))


@pytest.mark.parametrize(("title", "query"), EXAMPLES, ids=[title for title, _ in EXAMPLES])
def test_an_example_of_the_analysts_guide_runs(first_day: Path, title: str, query: str) -> None:
    with warehouse(first_day) as connection:
        connection.execute("use ecommerce_analytics")
        rows = connection.execute(query.replace("published.", "marts.")).fetchall()
    assert rows or title == "who moved up in the last 30 days of data"


def test_the_guide_explains_every_mart() -> None:
    marts = {
        path.stem
        for path in (GUIDE.parents[1] / "dbt_ecommerce" / "models" / "marts").glob("*.sql")
    }
    assert marts == set(
        re.findall(r"^## ((?:dim|fct)_\w+)$", GUIDE.read_text(), flags=re.MULTILINE)
    )


def test_the_guide_quotes_every_measure_as_the_columns_do() -> None:
    measures = GUIDE.parents[1] / "dbt_ecommerce" / "models" / "measures.md"
    texts = re.findall(r"{% docs \w+ %}\n(.+?)\n{% enddocs %}", measures.read_text(), re.DOTALL)
    assert len(texts) > 5
    assert [text for text in texts if f"| {text} |" not in GUIDE.read_text()] == []
