"""The account's SQL is Snowflake's, repeatable, and gives each role just what it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest
import sqlglot
from sqlglot import exp

from infrastructure.snowflake.__main__ import DONE, FAILED, main
from infrastructure.snowflake.statements import (
    FOLDER,
    USERS,
    Account,
    public_key_body,
    read,
    statements,
)
from pipeline.sources import SOURCES

ACCOUNT = Account(
    allowed_ips=("203.0.113.10", "198.51.100.0/24"), public_keys={"ECOMMERCE_LOADER": "MIIB"}
)
SET = re.compile(r"\bon (all|future) (\w+) in (database|schema) ")


@dataclass(frozen=True)
class Right:
    """``kind`` and ``name`` of what it is on; ``of``: all or future ``tables`` or ``schemas``."""

    role: str
    privilege: str
    kind: str
    name: str
    of: str = ""


def rights(account: Account = ACCOUNT) -> set[Right]:
    """Every right on an object, as sqlglot reads the grants."""
    found = set()
    for statement in statements(account):
        if not statement.startswith("grant ") or statement.startswith(
            ("grant role ", "grant database role ")
        ):
            continue
        several = SET.search(statement)
        # sqlglot does not know `all` and `future`: they are read as a right on what they are in.
        grant = sqlglot.parse_one(SET.sub(r"on \3 ", statement), dialect="snowflake")
        assert isinstance(grant, exp.Grant), statement
        (principal,) = grant.args["principals"]
        for privilege in grant.args["privileges"]:
            of = several[2] if several else ""
            kind = str(grant.args["kind"])
            found.add(
                Right(
                    principal.this.name,
                    privilege.name.upper(),
                    kind,
                    grant.args["securable"].sql(),
                    of,
                )
            )
    return found


RIGHTS = rights()


def of(role: str) -> set[Right]:
    """The role's own rights and those of the roles it was granted."""
    inherited = re.findall(rf"grant role (\w+) to role {role}\b", "\n".join(statements(ACCOUNT)))
    return {right for right in RIGHTS if right.role == role}.union(
        *(of(other) for other in inherited)
    )


def databases(role: str) -> set[str]:
    return {
        right.name.split(".")[0]
        for right in of(role)
        if right.kind in ("DATABASE", "SCHEMA", "TABLE")
    }


def test_every_statement_is_one_that_snowflake_reads() -> None:
    found = statements(ACCOUNT)
    assert len(found) > 60
    for statement in found:
        assert "$" not in statement
        sqlglot.parse_one(statement, dialect="snowflake")


def test_everything_can_be_run_again() -> None:
    for statement in statements(ACCOUNT):
        if statement.startswith("create "):
            assert " if not exists " in statement, statement
            assert "or replace" not in statement
        else:
            assert statement.split()[0] in ("use", "grant", "alter"), statement


def test_the_loader_reaches_the_raw_database_only() -> None:
    assert databases("LOADER") == {"ECOMMERCE_RAW"}
    assert {right.privilege for right in of("LOADER")} == {"USAGE", "CREATE TABLE", "CREATE STAGE"}


def test_the_loader_may_fill_every_schema_the_sources_name() -> None:
    for schema in {table.schema for source in SOURCES for table in source.tables} | {"LOADS"}:
        assert Right("LOADER", "CREATE TABLE", "SCHEMA", f"ECOMMERCE_RAW.{schema}") in RIGHTS


def test_the_analyst_reaches_no_raw_table_and_nothing_that_is_not_published() -> None:
    assert of("ANALYST") == {
        Right("ANALYST", "USAGE", "WAREHOUSE", "REPORTING_WH"),
        Right("ANALYST", "USAGE", "DATABASE", "ECOMMERCE_ANALYTICS"),
    }


def test_the_transformer_reads_raw_tables_those_of_tomorrow_too_and_changes_none() -> None:
    raw = {right for right in of("TRANSFORMER") if right.name.startswith("ECOMMERCE_RAW")}
    assert {right.privilege for right in raw} == {"USAGE", "SELECT"}
    for statement in ("select on future tables", "select on all tables", "usage on future schemas"):
        assert f"grant {statement} in database ECOMMERCE_RAW to role TRANSFORMER" in statements(
            ACCOUNT
        )


def test_the_developer_reads_raw_and_makes_schemas_and_has_no_right_on_the_pipelines() -> None:
    own = {r for r in of("DEVELOPER") if not r.name.startswith("ECOMMERCE_RAW")}
    assert {(r.privilege, r.kind) for r in own if r.kind != "WAREHOUSE"} == {
        ("USAGE", "DATABASE"),
        ("CREATE SCHEMA", "DATABASE"),
    }
    raw = {r.privilege for r in of("DEVELOPER") if r.name.startswith("ECOMMERCE_RAW")}
    assert raw == {"USAGE", "SELECT"}


def test_only_the_admin_has_the_rights_of_the_others() -> None:
    assert of("ADMIN") >= of("LOADER") | of("TRANSFORMER") | of("ANALYST")
    text = "\n".join(statements(ACCOUNT))
    assert set(re.findall(r"grant role (\w+) to role (\w+)", text)) == {
        ("LOADER", "ADMIN"),
        ("TRANSFORMER", "ADMIN"),
        ("ANALYST", "ADMIN"),
        ("ADMIN", "SYSADMIN"),
        ("DEVELOPER", "SYSADMIN"),
    }
    assert (
        "to role PUBLIC" not in text
        and "ownership" not in text.lower()
        and "all privileges" not in text.lower()
    )


def test_each_service_user_has_one_role_no_password_and_no_second_role() -> None:
    users = [statement for statement in statements(ACCOUNT) if statement.startswith("create user")]
    assert len(users) == 3
    for statement in users:
        assert "type = service" in statement and "default_secondary_roles = ()" in statement
        assert "password" not in statement
    granted = re.findall(r"grant role (\w+) to user (\w+)", "\n".join(statements(ACCOUNT)))
    assert granted == [
        ("LOADER", "ECOMMERCE_LOADER"),
        ("TRANSFORMER", "ECOMMERCE_TRANSFORMER"),
        ("ANALYST", "ECOMMERCE_REPORTING"),
    ]


def test_the_sessions_of_each_service_user_have_utc_no_zone_and_no_statement_without_a_client() -> (
    None
):
    """dbt opens its sessions without parameters: they come from the user."""
    for user in USERS:
        (found,) = [
            s for s in statements(ACCOUNT) if s.startswith(f"alter user {user} set timezone")
        ]
        assert "timezone = 'UTC'" in found and "timestamp_type_mapping = 'TIMESTAMP_NTZ'" in found
        assert "timestamp_ntz_output_format = 'YYYY-MM-DD HH24:MI:SS.FF9'" in found
        assert "abort_detached_query = true" in found


def test_the_warehouse_of_the_marts_is_dbts_and_has_a_budget() -> None:
    assert Right("TRANSFORMER", "USAGE", "WAREHOUSE", "MARTS_WH") in RIGHTS
    assert Right("ADMIN", "OPERATE", "WAREHOUSE", "MARTS_WH") in RIGHTS
    found = "\n".join(statements(ACCOUNT))
    assert "alter warehouse MARTS_WH set resource_monitor = TRANSFORMING_BUDGET" in found
    made = re.search(r"create warehouse if not exists MARTS_WH .*", found)
    assert made and "auto_suspend = 60" in made[0] and "initially_suspended = true" in made[0]


@pytest.mark.parametrize("warehouse", ["LOADING", "TRANSFORMING", "REPORTING"])
def test_each_warehouse_sleeps_and_has_a_budget_with_three_thresholds(warehouse: str) -> None:
    found = "\n".join(statements(ACCOUNT))
    made = re.search(rf"create warehouse if not exists {warehouse}_WH .*", found)
    assert made and "auto_suspend = 60" in made[0] and "initially_suspended = true" in made[0]
    assert f"alter warehouse {warehouse}_WH set resource_monitor = {warehouse}_BUDGET" in found
    budget = re.search(
        rf"create resource monitor if not exists {warehouse}_BUDGET[^;]*?suspend_immediate",
        found,
        re.DOTALL,
    )
    assert budget
    assert re.findall(r"on (\d+) percent do (\w+)", budget[0]) == [
        ("75", "notify"),
        ("90", "suspend"),
        ("100", "suspend_immediate"),
    ]


def test_the_standard_edition_takes_the_retention_unless_more_is_asked_for() -> None:
    found = "\n".join(statements(Account()))
    assert set(re.findall(r"data_retention_time_in_days = (\d+)", found)) == {"0", "1"}
    longer = "\n".join(statements(Account(retention_days=7)))
    assert "alter database ECOMMERCE_RAW set data_retention_time_in_days = 7" in longer
    assert (
        "alter schema ECOMMERCE_ANALYTICS.SNAPSHOTS set data_retention_time_in_days = 7" in longer
    )


def test_a_second_environment_shares_no_name_with_the_first() -> None:
    created = re.compile(r"create (?:\w+ )*?if not exists (\S+)|create \w+ if not exists (\S+)")
    for statement in statements(Account(prefix="test_")):
        if match := created.match(statement):
            assert (match[1] or match[2]).startswith("TEST_"), statement


def test_destroying_takes_away_all_that_was_made_and_needs_a_prefix(
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = re.findall(
        r"^create (database|user|warehouse|resource monitor|network policy|role)"
        r" if not exists (\S+)",
        "\n".join(statements(Account(prefix="X_", allowed_ips=("203.0.113.10",)))),
        re.MULTILINE,
    )
    gone = "\n".join(read(FOLDER / "destroy.sql", Account(prefix="X_")))
    assert len(made) == 3 + 3 + 4 + 3 + 1 + 5
    for kind, name in made:
        assert f"drop {kind} if exists {name}" in gone
    assert main(["destroy", "--dry-run"]) == FAILED
    assert "needs a --prefix" in capsys.readouterr().err


def test_without_addresses_no_network_policy_locks_anybody_out() -> None:
    assert not [statement for statement in statements(Account()) if "network" in statement]
    assert [
        statement
        for statement in statements(ACCOUNT)
        if "allowed_ip_list = ('203.0.113.10', '198.51.100.0/24')" in statement
    ]


def test_a_dry_run_prints_what_would_run(
    capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    key = tmp_path_factory.mktemp("keys") / "loader.pub"
    key.write_text("-----BEGIN PUBLIC KEY-----\nMIIB\nAQAB\n-----END PUBLIC KEY-----\n")
    arguments = [
        "apply",
        "--dry-run",
        "--allow-ip",
        "203.0.113.10",
        "--public-key",
        f"ecommerce_loader={key}",
    ]
    assert main([*arguments, "--loading-credits", "7"]) == DONE
    printed = capsys.readouterr().out
    assert "credit_quota = 7 " in printed
    assert "alter user ECOMMERCE_LOADER set rsa_public_key = 'MIIBAQAB';" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["apply"], "Say who signs in"),
        (
            ["apply", "--dry-run", "--allow-ip", "anywhere"],
            "does not appear to be an IPv4 or IPv6 network",
        ),
        (["apply", "--dry-run", "--prefix", "x; drop"], "letters, digits and underscores only"),
        (["apply", "--dry-run", "--public-key", "NOBODY=/nowhere"], "No such file"),
    ],
)
def test_what_cannot_be_run_is_said(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == FAILED
    assert says in capsys.readouterr().err


def test_a_private_key_is_never_taken_for_a_public_one() -> None:
    with pytest.raises(ValueError, match="private key"):
        public_key_body("-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----")


def test_the_monitoring_queries_are_snowflakes() -> None:
    queries = sorted((FOLDER / "monitoring").glob("*.sql"))
    assert [query.stem for query in queries] == [
        "cost_by_task",
        "failed_loads",
        "slowest_models",
        "warehouse_credits",
    ]
    for query in queries:
        (statement,) = sqlglot.parse(
            query.read_text().rstrip().removesuffix(";"), dialect="snowflake"
        )
        assert isinstance(statement, exp.Select), query
