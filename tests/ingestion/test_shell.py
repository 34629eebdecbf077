"""``python -m ingestion``: a line per source, a sentence per error, a telling exit code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.days import current_day
from pipeline.settings import PROJECT
from pipeline.sources import SOURCES
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from sandbox.stripe_emulator import StripeEmulator
    from tests.builders.source_database import SourceDatabase

DAY = "2026-01-20"
SPEND = "date,channel,campaign_name,spend,impressions,clicks\n2026-01-01,google,Brand,1.50,10,1\n"
PERFORMANCE = (
    "date,campaign_id,campaign_name,channel,conversions,revenue_attributed\n"
    "2026-01-01,c-1,Brand,google,3,120.50\n"
)
RESULT = re.compile(
    r"^(\w+) (\d{4}-\d\d-\d\d): ([\d,]+) rows read \(.*\) in [\d.]+ s, load \S+$", re.MULTILINE
)
TRY_AGAIN = 75

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs the shell in a process of its own, with these settings and no others."""

    def running(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        empty = tmp_path / "empty.env"
        empty.touch()
        names = ("PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment |= {
            "ECOMMERCE_ENV_FILE": str(empty),
            "WAREHOUSE_DUCKDB_DIR": str(tmp_path / "warehouse"),
            **settings,
        }
        command = [sys.executable, "-m", "ingestion", *arguments]
        return subprocess.run(
            command,
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return running


@pytest.fixture
def csv_inbox(tmp_path: Path) -> Path:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "marketing_spend.csv").write_text(SPEND)
    (inbox / "campaign_performance.csv").write_text(PERFORMANCE)
    return inbox


def postgres_settings(source_db: SourceDatabase) -> dict[str, str]:
    settings = source_db.settings
    return {
        "POSTGRES_HOST": settings.host,
        "POSTGRES_PORT": str(settings.port),
        "POSTGRES_DB": settings.db,
        "POSTGRES_USER": settings.user,
        "POSTGRES_PASSWORD": settings.password.get_secret_value(),
    }


def failed_with_a_sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on standard error."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert RESULT.search(done.stdout) is None
    return done.stderr.strip()


def test_a_source_is_loaded_and_said_in_one_line(run: Run, csv_inbox: Path) -> None:
    done = run("marketing", "--day", DAY, CSV_INBOX=str(csv_inbox))
    assert (done.returncode, done.stderr) == (0, "")
    assert RESULT.findall(done.stdout) == [("marketing", DAY, "2")]
    assert "(2 new, 0 changed, 0 unchanged)" in done.stdout
    again = run("marketing", "--day", DAY, "--full-refresh", CSV_INBOX=str(csv_inbox))
    assert again.returncode == 0


def test_without_a_day_the_current_one_is_loaded(run: Run, csv_inbox: Path) -> None:
    before = current_day()
    done = run("marketing", CSV_INBOX=str(csv_inbox))
    assert RESULT.findall(done.stdout)[0][1] in {str(before), str(current_day())}


def test_all_six_are_loaded_one_line_each(
    run: Run, csv_inbox: Path, source_db: SourceDatabase, stripe_emulator: StripeEmulator
) -> None:
    stripe = {"STRIPE_API_KEY": "sk_test_shell", "STRIPE_API_BASE": stripe_emulator.url}
    done = run(
        "all", "--day", DAY, CSV_INBOX=str(csv_inbox), **postgres_settings(source_db), **stripe
    )
    assert done.returncode == 0, done.stderr
    assert [name for name, _, _ in RESULT.findall(done.stdout)] == [
        source.name for source in SOURCES
    ]

    from warehouse.duckdb.warehouse import DuckDBWarehouse

    folder = csv_inbox.parent / "warehouse"
    records = DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=folder)).load_records(
        date.fromisoformat(DAY)
    )  # type: ignore[call-arg]
    assert [record.source for record in records] == [source.name for source in SOURCES]


def test_of_all_six_one_that_fails_does_not_stop_the_rest(run: Run, csv_inbox: Path) -> None:
    done = run("all", "--day", DAY, CSV_INBOX=str(csv_inbox))
    assert done.returncode == 1
    assert [name for name, _, _ in RESULT.findall(done.stdout)] == ["marketing"]
    assert len(done.stderr.strip().splitlines()) == 5
    assert "orders 2026-01-20: POSTGRES_HOST is not set" in done.stderr
    assert "charges 2026-01-20: STRIPE_API_KEY is not set" in done.stderr


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2027-13-01", "is not a day"),
        ("tomorrow", "is not a day"),
        ("2199-01-01", "has not come yet"),
    ],
)
def test_a_day_that_is_none_or_has_not_come_is_refused(run: Run, day: str, words: str) -> None:
    assert words in failed_with_a_sentence(run("orders", "--day", day), 1)


@pytest.mark.parametrize(
    "arguments", [(), ("ordres",), ("orders", "--dya", DAY), ("orders", "customers")]
)
def test_a_command_that_is_not_understood_shows_the_usage(
    run: Run, arguments: tuple[str, ...]
) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert "usage: python -m ingestion" in done.stderr


def test_a_missing_setting_is_named(run: Run) -> None:
    assert "CSV_INBOX is not set" in failed_with_a_sentence(run("marketing", "--day", DAY), 1)


def test_an_empty_inbox_says_where_it_looked(run: Run, tmp_path: Path) -> None:
    sentence = failed_with_a_sentence(run("marketing", "--day", DAY, CSV_INBOX=str(tmp_path)), 1)
    assert f"no marketing_spend*.csv in the CSV inbox {tmp_path}" in sentence


def test_a_database_that_is_not_there_is_worth_another_try(run: Run) -> None:
    nobody = {
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": "1",
        "POSTGRES_USER": "loader",
        "POSTGRES_PASSWORD": "hunter2-sesame",
    }
    sentence = failed_with_a_sentence(run("orders", "--day", DAY, **nobody), TRY_AGAIN)
    assert "127.0.0.1:1" in sentence
    assert "hunter2-sesame" not in sentence


def test_a_wrong_password_is_for_somebody_to_correct_and_is_not_shown(
    run: Run, source_db: SourceDatabase
) -> None:
    settings = postgres_settings(source_db) | {"POSTGRES_PASSWORD": "hunter2-sesame"}
    for verbose in ([], ["--verbose"]):
        done = run("orders", "--day", DAY, *verbose, **settings)
        assert done.returncode == 1
        assert "POSTGRES_PASSWORD" in done.stderr
        assert "hunter2-sesame" not in done.stdout + done.stderr
        assert ("Traceback" in done.stderr) is bool(verbose)


def test_a_missing_table_is_named(run: Run, source_db: SourceDatabase) -> None:
    source_db.execute("drop table order_items")
    sentence = failed_with_a_sentence(
        run("order_items", "--day", DAY, **postgres_settings(source_db)), 1
    )
    assert "public.order_items" in sentence


def test_a_key_that_stripe_refuses_is_for_somebody_to_correct(
    run: Run, stripe_emulator: StripeEmulator
) -> None:
    settings = {"STRIPE_API_KEY": "wrong-hunter2-sesame", "STRIPE_API_BASE": stripe_emulator.url}
    sentence = failed_with_a_sentence(run("charges", "--day", DAY, **settings), 1)
    assert "STRIPE_API_KEY" in sentence
    assert "hunter2-sesame" not in sentence


def test_a_warehouse_folder_that_cannot_be_made_is_said(run: Run, csv_inbox: Path) -> None:
    blocked = csv_inbox / "marketing_spend.csv"
    done = run(
        "marketing",
        "--day",
        DAY,
        CSV_INBOX=str(csv_inbox),
        WAREHOUSE_DUCKDB_DIR=str(blocked / "warehouse"),
    )
    assert done.returncode in {1, TRY_AGAIN}
    assert "Traceback" not in done.stderr
    assert str(blocked) in done.stderr
