"""All six sources reconciled from the shell: real shop, real loads, one command."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ingestion.__main__ import main
from pipeline.days import current_day, upper_bound
from pipeline.settings import settings
from pipeline.sources import SOURCES
from sandbox.shop import open_shop
from sandbox.stripe_emulator import StripeEmulator

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

pytestmark = pytest.mark.slow

Output = Callable[[], str]


@pytest.fixture
def inbox(
    source_db: SourceDatabase,
    stripe_emulator: StripeEmulator,
    warehouse: DuckDBWarehouse,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Path]:
    """A small shop with settings of this test alone; yields the folder of its CSV files."""
    inbox, given = tmp_path / "inbox", source_db.settings
    inbox.mkdir()
    (tmp_path / "empty.env").touch()
    values = {
        "ECOMMERCE_ENV_FILE": tmp_path / "empty.env",
        "WAREHOUSE_DUCKDB_DIR": warehouse.settings.duckdb_dir,
        "POSTGRES_HOST": given.host,
        "POSTGRES_PORT": given.port,
        "POSTGRES_DB": given.db,
        "POSTGRES_USER": given.user,
        "POSTGRES_PASSWORD": given.password.get_secret_value(),
        "STRIPE_API_KEY": "sk_test_x",
        "STRIPE_API_BASE": stripe_emulator.url,
        "STRIPE_MAX_REQUESTS_PER_SECOND": 10_000,
        "CSV_INBOX": inbox,
    }
    for name, value in values.items():
        monkeypatch.setenv(name, str(value))
    settings.cache_clear()
    open_shop(
        source_db.dsn, stripe_emulator.url, inbox, scale=0.002, until=upper_bound(current_day())
    )
    yield inbox
    settings.cache_clear()


def test_what_was_changed_behind_every_load_is_found_and_repaired_by_one_command(
    inbox: Path,
    source_db: SourceDatabase,
    stripe_emulator: StripeEmulator,
    warehouse: DuckDBWarehouse,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["all"]) == 0
    capsys.readouterr()
    assert main(["reconcile"]) == 0
    assert capsys.readouterr().out.count("source and warehouse are equal") == len(SOURCES)

    source_db.execute("update orders set total_amount = total_amount + 1 where order_id = 1")
    source_db.execute("delete from order_items where order_item_id = 1")
    source_db.execute("update customers set first_name = 'Renamed' where customer_id = 1")
    source_db.execute("update products set price = price + 1 where product_id = 1")
    store = stripe_emulator.account.store
    charge = store["charge"].get(next(iter(store["charge"]._bodies)))
    assert charge is not None
    store.put({**charge, "amount_refunded": charge["amount_refunded"] + 1})
    file = next(inbox.glob("marketing_spend*.csv"))
    modified = file.stat().st_mtime
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    os.utime(file, (modified, modified))

    assert main(["reconcile"]) == 1
    said = capsys.readouterr().out
    assert said.count(": 1 rows in 1 buckets differ.") == len(SOURCES)
    assert said.count(": 1 changed (") == 4 and said.count(": 1 deleted in the source (") == 2
    assert charge["id"] in said

    assert main(["reconcile", "--repair"]) == 0
    assert capsys.readouterr().out.count("Repaired: ") == len(SOURCES)
    assert main(["reconcile"]) == 0
    assert {record.source for record in warehouse.load_records(current_day())} == {
        source.name for source in SOURCES
    }


def test_a_source_that_cannot_be_reached_does_not_hide_the_others(
    inbox: Path,
    stripe_emulator: StripeEmulator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["all"]) == 0
    monkeypatch.setenv("STRIPE_API_KEY", "rk_test_without_rights")
    settings.cache_clear()
    capsys.readouterr()
    assert main(["reconcile"]) == 1
    said = capsys.readouterr()
    assert said.out.count("source and warehouse are equal") == len(SOURCES) - 1
    assert "charges reconcile: Stripe does not let this API key read" in said.err


def test_a_table_is_loaded_in_parts_through_the_functions_that_the_dag_calls(
    inbox: Path,
    source_db: SourceDatabase,
    warehouse: DuckDBWarehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from ingestion.postgres.load import commit_parts, load_part, plan_parts

    monkeypatch.setenv("POSTGRES_SPLIT_ROWS", "50")
    settings.cache_clear()
    source_db.execute("analyze orders")
    parts = plan_parts("orders", current_day())
    assert len(parts) > 1
    rows = [load_part(part) for part in reversed(parts)]
    assert warehouse.load_records(current_day()) == ()
    record = commit_parts(parts)
    assert record == commit_parts(parts)
    assert (
        record.rows_extracted == sum(rows) == source_db.query("select count(*) from orders")[0][0]
    )
    assert main(["reconcile", "orders"]) == 0
