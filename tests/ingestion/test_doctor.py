"""The doctor finds what is wrong, says what to do, shows no secret, leaves nothing behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alerting.check import check as check_slack
from ingestion.__main__ import main
from ingestion.csv_uploads.check import check as check_csv
from ingestion.doctor import ACT_FIRST, HEALTHY, TRY_AGAIN, check_warehouse
from ingestion.postgres.check import check as check_postgres
from ingestion.postgres.check import is_encrypted
from ingestion.stripe_api.check import check as check_stripe
from pipeline.checks import Finding
from pipeline.settings import settings
from warehouse.duckdb.lock import warehouse_lock

if TYPE_CHECKING:
    from sandbox.slack_inbox import SlackInbox
    from sandbox.stripe_emulator import StripeEmulator
    from tests.builders.source_database import SourceDatabase
    from tests.snowflake_double.server import FakeAccount

WRONG = "Wr0ng-Secret-4711"
PREFIXES = {"POSTGRES", "STRIPE", "CSV", "WAREHOUSE", "SLACK", "ALERT", "SNOWFLAKE"}
Set = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: Set, tmp_path: Path) -> Iterator[None]:
    for name in list(os.environ):
        if name.split("_")[0] in PREFIXES:
            monkeypatch.delenv(name)
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(tmp_path / "empty.env"))
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(tmp_path / "warehouse"))
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def source(source_db: SourceDatabase, monkeypatch: Set) -> SourceDatabase:
    configured = source_db.settings
    for name in ("host", "port", "db", "user"):
        monkeypatch.setenv(f"POSTGRES_{name.upper()}", str(getattr(configured, name)))
    monkeypatch.setenv("POSTGRES_PASSWORD", configured.password.get_secret_value())
    return source_db


@pytest.fixture
def stripe(stripe_emulator: StripeEmulator, monkeypatch: Set) -> StripeEmulator:
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_doctor")
    monkeypatch.setenv("STRIPE_API_BASE", stripe_emulator.url)
    return stripe_emulator


def states(found: Iterator[Finding]) -> dict[str, tuple[str, str]]:
    return {finding.what: (finding.state, finding.said) for finding in found}


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- source


def test_a_source_that_can_be_read_works(source: SourceDatabase) -> None:
    found = states(check_postgres())
    assert list(found) == [
        "sign-in",
        "encryption",
        "table orders",
        "table customers",
        "table products",
        "table order_items",
        "open transactions",
        "time zone",
    ]
    assert {state for state, _ in found.values()} == {"works"}
    assert "readable, as declared, and empty." in found["table orders"][1]


@pytest.mark.parametrize(
    ("mode", "state"), [("prefer", "look"), ("require", "works"), ("verify-full", "works")]
)
def test_a_connection_off_this_machine_is_to_be_encrypted(
    mode: str, state: str, monkeypatch: Set
) -> None:
    for name, value in (("HOST", "db.example.com"), ("USER", "u"), ("PASSWORD", "p")):
        monkeypatch.setenv(f"POSTGRES_{name}", value)
    monkeypatch.setenv("POSTGRES_SSLMODE", mode)
    found = is_encrypted()
    assert (found.state if isinstance(found, Finding) else "works") == state


def test_children_that_are_not_read_are_named(source: SourceDatabase) -> None:
    source.execute(
        "insert into orders (order_id, order_date, status, total_amount) values "
        "(1, '2026-03-01', 'paid', 1); create table orders_history () inherits (orders)"
    )
    said = states(check_postgres())["table orders"][1]
    assert "inherited children are not read: orders_history." in said


def test_stamps_that_no_clock_can_have_meant_are_told_and_tell_nothing_of_the_zone(
    source: SourceDatabase,
) -> None:
    source.execute(
        "insert into customers (customer_id, email, updated_at) values (1, 'a', 'infinity'), "
        "(2, 'b', '2099-01-01'), (3, 'c', '0044-03-15 BC'), (4, 'd', '20000-01-01'), "
        "(5, 'e', now() at time zone 'utc')"
    )
    found = states(check_postgres())
    state, said = found["table customers"]
    assert state == "look" and "4 rows have their updated_at in the future" in said
    assert found["time zone"][0] == "works"


def test_local_time_in_columns_without_zone_is_noticed(
    source: SourceDatabase, monkeypatch: Set
) -> None:
    def said_of_zones() -> tuple[str, str]:
        settings.cache_clear()
        return states(check_postgres())["time zone"]

    order = (
        "insert into orders (order_date, status, total_amount, updated_at) "
        "values (now(), 'new', 1, now())"
    )
    source.execute(order)
    state, said = said_of_zones()
    assert state == "works" and "0 h 0 min behind the server's clock" in said
    source.execute(
        f"alter database {source.settings.db} set timezone = 'America/New_York'; delete from orders"
    )
    source.execute(order)
    state, said = said_of_zones()
    assert state == "look" and "works in America/New_York" in said and "POSTGRES_TIMEZONE" in said
    assert "h 0 min behind the server's clock" in said
    monkeypatch.setenv("POSTGRES_TIMEZONE", "America/New_York")
    assert said_of_zones()[0] == "works"
    monkeypatch.setenv("POSTGRES_TIMEZONE", "Asia/Tokyo")
    assert said_of_zones()[0] == "look"
    monkeypatch.setenv("POSTGRES_TIMEZONE", "Nowhere/At_All")
    settings.cache_clear()
    (finding,) = check_postgres()
    assert finding.state == "fails" and "POSTGRES_TIMEZONE" in finding.said


def test_a_role_without_rights_is_told_which_table_it_may_not_read(
    source: SourceDatabase, monkeypatch: Set
) -> None:
    role = f"reader_{source.settings.db}"
    source.execute(
        f"create role {role} login password 'reads-little'; grant select on orders, products, "
        f"order_items to {role}"
    )
    monkeypatch.setenv("POSTGRES_USER", role)
    monkeypatch.setenv("POSTGRES_PASSWORD", "reads-little")
    try:
        found = states(check_postgres())
    finally:
        source.execute(f"drop owned by {role}; drop role {role}")
    assert found["table orders"][0] == "works"
    state, said = found["table customers"]
    assert state == "fails" and "customers" in said and "Grant USAGE" in said
    state, said = found["open transactions"]
    assert state == "look" and "GRANT pg_read_all_stats" in said and "24 hours" in said


def test_a_wrong_password_ends_the_checks_of_the_source(
    source: SourceDatabase, monkeypatch: Set
) -> None:
    role = f"liar_{source.settings.db}"
    source.execute(f"create role {role} login password 'the-right-one'")
    monkeypatch.setenv("POSTGRES_USER", role)
    monkeypatch.setenv("POSTGRES_PASSWORD", WRONG)
    try:
        (finding,) = check_postgres()
    finally:
        source.execute(f"drop role {role}")
    assert (
        finding.state == "fails"
        and "POSTGRES_PASSWORD" in finding.said
        and WRONG not in finding.said
    )


def test_a_table_that_is_not_as_declared_is_named(source: SourceDatabase) -> None:
    source.execute("alter table products alter column price type text; drop table order_items")
    found = states(check_postgres())
    assert found["table products"][0] == "fails" and "price" in found["table products"][1]
    assert (
        found["table order_items"][0] == "fails" and "order_items" in found["table order_items"][1]
    )
    assert found["table orders"][0] == "works"


def test_a_server_that_does_not_answer_may_be_tried_again(
    source: SourceDatabase, monkeypatch: Set
) -> None:
    monkeypatch.setenv("POSTGRES_PORT", str(free_port()))
    (finding,) = check_postgres()
    assert finding.state == "try again" and "did not answer" in finding.said


# --- Stripe


def test_a_key_that_may_read_everything_works(stripe: StripeEmulator) -> None:
    found = states(check_stripe())
    assert list(found) == ["key", "list charges", "list refunds", "list disputes", "list events"]
    assert {state for state, _ in found.values()} == {"works"}
    assert "sk_test_..." in found["key"][1] and "doctor" not in found["key"][1]


@pytest.mark.parametrize(
    "key", [f"pk_test_{WRONG}", f"rk_test_{WRONG}"], ids=["wrong key", "missing rights"]
)
def test_a_key_that_is_wrong_or_lacks_rights_fails_at_each_list(
    stripe: StripeEmulator, monkeypatch: Set, key: str
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", key)
    found = states(check_stripe())
    assert {found[name][0] for name in found if name.startswith("list")} == {"fails"}
    assert "STRIPE_API_KEY" in found["list charges"][1]
    assert WRONG not in str(found)


def test_what_is_not_set_is_named() -> None:
    assert [
        (finding.state, "STRIPE_API_KEY is not set" in finding.said) for finding in check_stripe()
    ] == [("fails", True)]
    (finding,) = check_postgres()
    assert finding.state == "fails" and "POSTGRES_HOST is not set" in finding.said
    assert states(check_csv())["marketing_spend*.csv"][0] == "fails"
    assert states(check_slack())["webhook"][0] == "not set"


# --- CSV, warehouse, Slack


def test_the_inbox_is_looked_into(tmp_path: Path, monkeypatch: Set) -> None:
    monkeypatch.setenv("CSV_INBOX", str(tmp_path / "inbox"))
    state, said = states(check_csv())["marketing_spend*.csv"]
    assert state == "fails" and "does not exist" in said
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "marketing_spend.csv").write_text("date,channel\n")
    settings.cache_clear()
    found = states(check_csv())
    assert found["marketing_spend*.csv"][0] == "works"
    assert found["campaign_performance*.csv"][0] == "fails"


def test_the_embedded_warehouse_can_be_written() -> None:
    found = states(check_warehouse())
    assert (found["files"][0], found["space"][0] in ("works", "look")) == ("works", True)


def test_a_warehouse_that_somebody_holds_may_be_tried_again(monkeypatch: Set) -> None:
    from warehouse.settings import WarehouseSettings

    with warehouse_lock(settings(WarehouseSettings)):
        (finding,) = check_warehouse()
    assert finding.state == "try again" and "more than 5 seconds" in finding.said


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, monkeypatch: Set) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(tmp_path / "file" / "warehouse"))
    (finding,) = check_warehouse()
    assert finding.state in ("fails", "try again") and "WAREHOUSE_DUCKDB_DIR" in finding.said


@pytest.mark.slow
def test_a_snowflake_account_is_examined_in_both_roles(
    fake_snowflake: FakeAccount, monkeypatch: Set, tmp_path: Path
) -> None:
    fake_snowflake.reset()
    for name, value in fake_snowflake.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SNOWFLAKE_MARTS_WAREHOUSE", "MARTS_WH")
    fake_snowflake.execute('drop schema "ECOMMERCE_RAW"."STRIPE" cascade')
    first = states(check_warehouse())
    assert (
        first["loader: schemas"][0] == "fails"
        and "infrastructure.snowflake apply" in first["loader: schemas"][1]
    )
    fake_snowflake.reset()
    found = states(check_warehouse())
    assert {what: state for what, (state, _) in found.items()} == dict.fromkeys(
        [
            "sign-in",
            "loader: schemas",
            "loader: tables, stage",
            "dbt: sign-in",
            "dbt: raw tables",
            "dbt: marts",
        ],
        "works",
    )
    assert "by password" in found["sign-in"][1]
    monkeypatch.setenv("SNOWFLAKE_MARTS_WAREHOUSE", "REPORTING_WH")
    settings.cache_clear()
    assert states(check_warehouse())["dbt: marts"][0] == "fails"
    assert fake_snowflake.staged_files() == []
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_FILE", str(tmp_path / "absent.p8"))
    settings.cache_clear()
    (finding,) = check_warehouse()
    assert finding.state == "fails" and "absent.p8" in finding.said


def test_the_webhook_is_asked_without_posting(slack_inbox: SlackInbox, monkeypatch: Set) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", slack_inbox.webhook_url)
    assert states(check_slack())["webhook"][0] == "works"
    assert slack_inbox.messages() == []


def test_a_webhook_that_is_gone_or_not_reached_shows_no_address(
    slack_inbox: SlackInbox, monkeypatch: Set
) -> None:
    base = slack_inbox.webhook_url.split("/services/")[0]
    monkeypatch.setenv("SLACK_WEBHOOK_URL", f"{base}/gone/{WRONG}")
    state, said = states(check_slack())["webhook"]
    assert state == "fails" and "new incoming webhook" in said
    monkeypatch.setenv("SLACK_WEBHOOK_URL", f"http://127.0.0.1:{free_port()}/services/{WRONG}")
    settings.cache_clear()
    state, other = states(check_slack())["webhook"]
    assert state == "try again" and WRONG not in said + other


# --- the command


def test_the_command_ends_with_0_when_everything_works(
    source: SourceDatabase,
    stripe: StripeEmulator,
    slack_inbox: SlackInbox,
    tmp_path: Path,
    monkeypatch: Set,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    for name in ("marketing_spend.csv", "campaign_performance.csv"):
        (inbox / name).write_text("date\n")
    monkeypatch.setenv("CSV_INBOX", str(inbox))
    monkeypatch.setenv("SLACK_WEBHOOK_URL", slack_inbox.webhook_url)
    assert main(["doctor"]) == HEALTHY
    table = capsys.readouterr().out
    assert "CONNECTION  WHAT" in table and "0 fail." in table
    monkeypatch.setenv("POSTGRES_PORT", str(free_port()))
    settings.cache_clear()
    assert main(["doctor"]) == TRY_AGAIN
    monkeypatch.setenv("STRIPE_API_KEY", f"sk_live_{WRONG}")
    settings.cache_clear()
    assert main(["doctor"]) == ACT_FIRST
    assert WRONG not in capsys.readouterr().out
