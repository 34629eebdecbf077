"""The project on Snowflake: parses without credentials, signs in three ways, speaks its SQL.

Models run here on fakesnow, through the real dbt-snowflake and the real connector, the days after
the first one too. What only a real account can show (precision of sums, rights, locks) is not
asserted.
"""

from __future__ import annotations

import os
from argparse import Namespace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector as connector
import sqlglot
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dbt.adapters.snowflake import SnowflakeCredentials
from dbt.adapters.snowflake.auth import private_key_from_string
from dbt.cli.main import dbtRunner
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context

from pipeline.contracts import METADATA_COLUMNS, ColumnType
from tests.builders.raw_shop import TABLES, RawShop
from tests.builders.run_dbt import PROJECT, failures
from tests.snowflake_double.server import FakeAccount
from transform.dbt_runner import environment
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.warehouse import SnowflakeWarehouse

PROFILE = """
ecommerce:
  target: snowflake
  outputs:
    snowflake:
      type: snowflake
      account: fakesnow
      user: fake
      password: snow
      host: {host}
      port: {port}
      protocol: http
      role: TRANSFORMER
      warehouse: TRANSFORMING_WH
      database: ECOMMERCE_ANALYTICS
      schema: MARTS
      threads: 1
"""
MARTS = {  # without amounts: fakesnow sums decimals as floats
    "fct_orders": "order_id, customer_key, status, item_count, refund_count, payment_status",
    "fct_order_items": "order_item_id, order_id, product_id, quantity",
    "fct_payments": "charge_id, order_id, status",
    "dim_customers": (
        "customer_id, version_number, customer_key, tier, address, is_current, valid_from, valid_to"
    ),
    "fct_daily_revenue": "order_date, orders_placed, cancelled_orders, customers, refund_count",
}
SNOWFLAKE = {
    "integer": "integer",
    "bigint": "bigint",
    "string": "varchar",
    "json": "variant",
    "boolean": "boolean",
}
SNOWFLAKE |= {"timestamp": "timestamp_ntz", "date": "date"}


def key_pem(passphrase: str | None) -> str:
    key = rsa.generate_private_key(65537, 2048)
    how = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
    ).decode()


def credentials(monkeypatch: pytest.MonkeyPatch, **variables: str) -> SnowflakeCredentials:
    """How dbt would sign in with these settings of the loader."""
    for name in [name for name in os.environ if name.startswith("SNOWFLAKE_")]:
        monkeypatch.delenv(name)
    given = SnowflakeSettings(_env_file=None, account="my-account", user="loader", **variables)  # type: ignore[arg-type]
    for name, value in SnowflakeWarehouse(given).dbt_environment().items():
        monkeypatch.setenv(name, value)
    set_invocation_context(os.environ)
    set_from_args(Namespace(), None)
    raw = yaml.safe_load((PROJECT / "profiles.yml").read_text())
    profile = Profile.from_raw_profiles(
        raw, "ecommerce", ProfileRenderer({}), target_override="snowflake"
    )
    assert isinstance(profile.credentials, SnowflakeCredentials)
    return profile.credentials


def test_the_project_parses_for_snowflake_without_credentials(tmp_path: Path) -> None:
    with environment({"WAREHOUSE_KIND": "snowflake"}):
        paths = [
            "--project-dir",
            str(PROJECT),
            "--profiles-dir",
            str(PROJECT),
            "--target-path",
            str(tmp_path),
        ]
        result = dbtRunner().invoke(
            ["parse", *paths, "--log-path", str(tmp_path), "--log-level", "none"]
        )
    assert result.success, result.exception


def test_sign_in_by_the_key_of_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "dbt.p8"
    file.write_text(key_pem("secret"))
    given = credentials(
        monkeypatch, private_key_file=str(file), private_key_file_pwd="secret", password="not-used"
    )
    assert (given.private_key_path, given.private_key_passphrase, given.user) == (
        str(file),
        "secret",
        "loader",
    )
    assert (given.password, given.token, given.private_key) == (None, None, None)


@pytest.mark.parametrize("form", ["pem", "body"])
def test_sign_in_by_the_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    pem = key_pem(None)
    body = "".join(pem.splitlines()[1:-1])
    given = credentials(
        monkeypatch,
        private_key=key_pem(None),
        transform_private_key=pem if form == "pem" else body,
        transform_user="transformer",
    )
    assert given.private_key is not None and given.private_key.split() == pem.split()
    assert (given.private_key_path, given.password, given.user) == (None, None, "transformer")
    assert private_key_from_string(given.private_key).key_size == 2048


def test_sign_in_by_token(monkeypatch: pytest.MonkeyPatch) -> None:
    given = credentials(monkeypatch, token="a-token", password="not-used")
    assert (given.authenticator, given.token) == ("programmatic_access_token", "a-token")
    assert (given.password, given.private_key_path) == (None, None)


def test_sign_in_by_password(monkeypatch: pytest.MonkeyPatch) -> None:
    given = credentials(monkeypatch, password="a-password")
    assert (given.user, given.password, given.authenticator) == (
        "loader",
        "a-password",
        "snowflake",
    )
    assert (given.token, given.private_key_path) == (None, None)


def test_a_private_link_is_dbts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    given = credentials(monkeypatch, password="a-password")
    assert (given.host, given.port, given.protocol) == (None, 443, "https")
    given = credentials(
        monkeypatch, password="a-password", host="my.privatelink.example", port=8443
    )
    assert (given.host, given.port) == ("my.privatelink.example", 8443)


def test_another_environment_of_the_account_has_its_own_databases(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = credentials(
        monkeypatch, password="a-password", name_prefix="test_", marts_warehouse="BIG_WH"
    )
    assert (given.database, given.role, given.warehouse) == (
        "test_ECOMMERCE_ANALYTICS",
        "TEST_TRANSFORMER",
        "TEST_TRANSFORMING_WH",
    )
    assert os.environ["SNOWFLAKE_MARTS_WAREHOUSE"] == "TEST_BIG_WH"


def _snowflake_type(type_: ColumnType) -> str:
    return (
        f"number({type_.precision},{type_.scale})"
        if type_.name == "decimal"
        else SNOWFLAKE[type_.name]
    )


@pytest.fixture(scope="module")
def account(fake_snowflake: FakeAccount) -> dict[str, Any]:
    """A fakesnow account with the three databases."""
    fake_snowflake.reset()
    arguments: dict[str, Any] = {
        "account": "fakesnow",
        "user": "fake",
        "password": "Fake-Pass-4711",
        "protocol": "http",
    }
    arguments |= {"host": "127.0.0.1", "port": fake_snowflake.port, "network_timeout": 5}
    with connector.connect(**arguments) as connection, connection.cursor() as cursor:
        for database in ("ECOMMERCE_RAW", "ECOMMERCE_STAGING", "ECOMMERCE_ANALYTICS"):
            cursor.execute(f"create database if not exists {database}")
    return arguments


def write(shop: RawShop, account: dict[str, Any]) -> None:
    """The raw tables of a shop as they are now."""
    with connector.connect(**account) as connection, connection.cursor() as cursor:
        for table in TABLES.values():
            address = f"ECOMMERCE_RAW.{table.schema}.{table.raw_name}"
            columns = [
                f"{column.name} {_snowflake_type(column.type)}"
                for column in (*table.columns, *METADATA_COLUMNS)
            ]
            cursor.execute(f"create schema if not exists ECOMMERCE_RAW.{table.schema}")
            cursor.execute(f"create or replace table {address} ({', '.join(columns)})")
            filled = [
                column.name
                for column in (*table.columns, *METADATA_COLUMNS)
                if column.name != "payload"
            ]
            rows = [[row.get(name) for name in filled] for row in shop.tables[table.name].values()]
            if rows:
                one = f"({', '.join(['%s'] * len(filled))})"
                values = [value for row in rows for value in row]
                cursor.execute(
                    f"insert into {address} ({', '.join(filled)}) values "
                    f"{', '.join([one] * len(rows))}",
                    values,
                )


def in_marts(account: dict[str, Any], question: str) -> list[Any]:
    """Rows of a question that says ``{}`` where the marts' schema belongs."""
    with connector.connect(**account) as connection, connection.cursor() as cursor:
        return list(cursor.execute(question.format("ECOMMERCE_ANALYTICS.MARTS")).fetchall())


@pytest.mark.slow
def test_the_star_is_built_by_dbt_snowflake_day_by_day(
    account: dict[str, Any], fake_snowflake: FakeAccount, tmp_path: Path
) -> None:
    """The first day creates, the next delete, insert and keep history, as a full refresh would."""
    (tmp_path / "profiles.yml").write_text(PROFILE.format(**account))
    paths = [
        "--project-dir",
        str(PROJECT),
        "--profiles-dir",
        str(tmp_path),
        "--target-path",
        str(tmp_path / "target"),
    ]
    paths += ["--log-path", str(tmp_path), "--log-level", "none"]
    kinds = ["--resource-type", "model", "--resource-type", "seed", "--resource-type", "snapshot"]
    shop = RawShop(3, date(2026, 11, 1))
    shop.open(customers=5, products=3, orders=6)

    def build(*options: str) -> dict[str, list[Any]]:
        write(shop, account)
        result = dbtRunner().invoke(["build", *kinds, *paths, *options])
        assert result.success, result.exception or failures(result)
        compiled = [file.read_text() for file in (tmp_path / "target" / "compiled").rglob("*.sql")]
        assert len(compiled) > 30
        for sql in compiled:
            sqlglot.parse_one(sql, dialect="snowflake")
        return {
            mart: in_marts(account, f"select {columns} from {{}}.{mart} order by 1, 2")
            for mart, columns in MARTS.items()
        }

    build()
    for _ in range(2):
        shop.next_day()
        fake_snowflake.statements.clear()
        day_by_day = build()
        for mart, table in {
            "fct_orders": "orders",
            "fct_order_items": "order_items",
            "fct_payments": "charges",
        }.items():
            assert len(day_by_day[mart]) == len(shop.alive(table)), mart
            assert any(
                f"delete from ecommerce_analytics.marts.{mart}" in sent.lower()
                for sent in fake_snowflake.statements
            )
    assert any(version > 1 for _, version, *_ in day_by_day["dim_customers"]), (
        "no customer ever changed"
    )
    assert build("--full-refresh") == day_by_day
