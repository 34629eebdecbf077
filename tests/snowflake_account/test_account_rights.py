"""What each role may do, asked of the real account; a second set-up changes nothing."""

from __future__ import annotations

import pytest
import snowflake.connector
import snowflake.connector.errors

from infrastructure.snowflake.statements import Account, statements
from ingestion.doctor import examine
from pipeline.settings import settings
from tests.builders.loads import load, product
from tests.builders.snowflake_admin import run_as_admin
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.sign_in import sign_in
from warehouse.snowflake.warehouse import SnowflakeWarehouse

WAREHOUSES = {"LOADER": "LOADING_WH", "TRANSFORMER": "TRANSFORMING_WH", "ANALYST": "REPORTING_WH"}


def may(environment: Account, role: str, statement: str) -> bool:
    """Whether the role may run the statement; other refusals than for missing rights are errors."""
    given, prefix = settings(SnowflakeSettings), environment.prefix
    arguments = {"account": given.account, "user": given.user, **sign_in(given).arguments()}
    named = {"role": prefix + role, "warehouse": prefix + WAREHOUSES[role]}
    with snowflake.connector.connect(**arguments, **named) as connection:
        connection.cursor().execute("use secondary roles none")
        try:
            connection.cursor().execute(statement.format(p=prefix))
        except snowflake.connector.errors.ProgrammingError as error:
            if error.errno in (2003, 3001, 3003, 2043, 3041):
                return False
            raise
        return True


@pytest.mark.parametrize(
    ("role", "statement", "expected"),
    [
        ("LOADER", "select count(*) from {p}ECOMMERCE_RAW.POSTGRES.RAW_PRODUCTS", True),
        ("LOADER", "show tables in schema {p}ECOMMERCE_ANALYTICS.MARTS", False),
        ("LOADER", "create table {p}ECOMMERCE_ANALYTICS.MARTS.X (a int)", False),
        ("LOADER", "create schema {p}ECOMMERCE_RAW.X", False),
        ("TRANSFORMER", "select count(*) from {p}ECOMMERCE_RAW.POSTGRES.RAW_PRODUCTS", True),
        ("TRANSFORMER", "delete from {p}ECOMMERCE_RAW.POSTGRES.RAW_PRODUCTS", False),
        ("TRANSFORMER", "create or replace table {p}ECOMMERCE_ANALYTICS.MARTS.PROBE (a int)", True),
        ("ANALYST", "select count(*) from {p}ECOMMERCE_RAW.POSTGRES.RAW_PRODUCTS", False),
        ("ANALYST", "select count(*) from {p}ECOMMERCE_RAW.LOADS.LOAD_RECORDS", False),
        ("ANALYST", "select count(*) from {p}ECOMMERCE_ANALYTICS.MARTS.PROBE", False),
    ],
)
def test_a_role_may_do_what_its_work_needs_and_nothing_else(
    environment: Account, warehouse: SnowflakeWarehouse, role: str, statement: str, expected: bool
) -> None:
    load(warehouse, product(1))
    if "MARTS.PROBE" in statement and role == "ANALYST":
        assert may(
            environment,
            "TRANSFORMER",
            "create or replace table {p}ECOMMERCE_ANALYTICS.MARTS.PROBE (a int)",
        )
    assert may(environment, role, statement) is expected


def test_setting_the_account_up_again_changes_nothing(
    environment: Account, warehouse: SnowflakeWarehouse
) -> None:
    load(warehouse, product(1))
    run_as_admin(statements(environment))
    assert warehouse.query("select count(*) from postgres.raw_products") == [(1,)]


def test_the_doctor_finds_the_account_healthy(environment: Account) -> None:
    found = [finding for finding in examine() if finding.connection == "snowflake"]
    assert len(found) == 6
    assert {finding.state for finding in found} == {"works"}, found
