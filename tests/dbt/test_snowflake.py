"""The same project on Snowflake: it parses without credentials, signs in three ways, and its SQL is Snowflake's.

Models run here on fakesnow, through the real dbt-snowflake and the real connector. What only a real account can show
(precision of sums, merges into what is there) is not asserted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import fakesnow
import pytest
import snowflake.connector
import sqlglot
import yaml
from dbt.adapters.snowflake import SnowflakeCredentials
from dbt.cli.main import dbtRunner
from dbt.config.profile import Profile
from dbt.config.renderer import ProfileRenderer
from dbt_common.context import set_invocation_context
from raw_shop import TABLES, RawShop
from run_dbt import PROJECT, environment, failures

from ingestion.sources import METADATA_COLUMNS, ColumnType

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
SNOWFLAKE = {"integer": "integer", "bigint": "bigint", "string": "varchar", "json": "variant", "boolean": "boolean"}
SNOWFLAKE |= {"timestamp": "timestamp_ntz", "date": "date"}


def credentials(monkeypatch: pytest.MonkeyPatch, **variables: str) -> SnowflakeCredentials:
    """How dbt would sign in with these environment variables."""
    for name in ("PRIVATE_KEY_FILE", "PRIVATE_KEY_FILE_PWD", "TOKEN", "AUTHENTICATOR", "PASSWORD", "USER", "ACCOUNT"):
        monkeypatch.delenv(f"SNOWFLAKE_{name}", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    set_invocation_context(os.environ)
    raw = yaml.safe_load((PROJECT / "profiles.yml").read_text())
    profile = Profile.from_raw_profiles(raw, "ecommerce", ProfileRenderer({}), target_override="snowflake")
    assert isinstance(profile.credentials, SnowflakeCredentials)
    return profile.credentials


def test_the_project_parses_for_snowflake_without_credentials(tmp_path: Path) -> None:
    with environment(WAREHOUSE_KIND="snowflake"):
        paths = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(tmp_path)]
        result = dbtRunner().invoke(["parse", *paths, "--log-path", str(tmp_path), "--log-level", "none"])
    assert result.success, result.exception


def test_sign_in_by_key_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    given = credentials(monkeypatch, SNOWFLAKE_PRIVATE_KEY_FILE="/keys/dbt.p8", SNOWFLAKE_PRIVATE_KEY_FILE_PWD="secret")
    assert (given.private_key_path, given.private_key_passphrase) == ("/keys/dbt.p8", "secret")
    assert (given.password, given.token) == (None, None)


def test_sign_in_by_token(monkeypatch: pytest.MonkeyPatch) -> None:
    given = credentials(monkeypatch, SNOWFLAKE_TOKEN="a-token", SNOWFLAKE_USER="dbt")
    assert (given.authenticator, given.token) == ("programmatic_access_token", "a-token")
    assert (given.password, given.private_key_path) == (None, None)


def test_sign_in_by_password(monkeypatch: pytest.MonkeyPatch) -> None:
    given = credentials(monkeypatch, SNOWFLAKE_PASSWORD="a-password", SNOWFLAKE_USER="dbt")
    assert (given.user, given.password) == ("dbt", "a-password")
    assert (given.token, given.private_key_path) == (None, None)


def _snowflake_type(type_: ColumnType) -> str:
    return f"number({type_.precision},{type_.scale})" if type_.name == "decimal" else SNOWFLAKE[type_.name]


@pytest.fixture(scope="module")
def shop() -> RawShop:
    shop = RawShop(3, date(2026, 11, 1))
    shop.open(customers=5, products=3, orders=6)
    shop.next_day()
    return shop


@pytest.fixture(scope="module")
def account(shop: RawShop) -> Iterator[dict[str, Any]]:
    """A fakesnow account with the three databases and the raw tables of a small shop."""
    logging.getLogger("uvicorn").setLevel(logging.ERROR)
    with fakesnow.server() as arguments:
        with snowflake.connector.connect(**arguments) as connection, connection.cursor() as cursor:
            for database in ("ECOMMERCE_RAW", "ECOMMERCE_STAGING", "ECOMMERCE_ANALYTICS"):
                cursor.execute(f"create database {database}")
            for table in TABLES.values():
                address = f"ECOMMERCE_RAW.{table.schema}.{table.raw_name}"
                columns = [f"{column.name} {_snowflake_type(column.type)}" for column in (*table.columns, *METADATA_COLUMNS)]
                cursor.execute(f"create schema if not exists ECOMMERCE_RAW.{table.schema}")
                cursor.execute(f"create table {address} ({', '.join(columns)})")
                for row in shop.tables[table.name].values():
                    values = {name: value for name, value in row.items() if name != "payload"}
                    holes = ", ".join(["%s"] * len(values))
                    cursor.execute(f"insert into {address} ({', '.join(values)}) values ({holes})", list(values.values()))
        yield arguments


@pytest.mark.slow
def test_the_star_is_built_by_dbt_snowflake(account: dict[str, Any], shop: RawShop, tmp_path: Path) -> None:
    (tmp_path / "profiles.yml").write_text(PROFILE.format(**account))
    paths = ["--project-dir", str(PROJECT), "--profiles-dir", str(tmp_path), "--target-path", str(tmp_path / "target")]
    paths += ["--log-path", str(tmp_path), "--log-level", "none"]
    kinds = ["--resource-type", "model", "--resource-type", "seed", "--resource-type", "snapshot"]
    result = dbtRunner().invoke(["build", *kinds, *paths])
    assert result.success, result.exception or failures(result)

    with snowflake.connector.connect(**account) as connection, connection.cursor() as cursor:
        for mart, table in {"fct_orders": "orders", "fct_order_items": "order_items", "fct_payments": "charges"}.items():
            cursor.execute(f"select count(*) from ECOMMERCE_ANALYTICS.MARTS.{mart}")
            assert cursor.fetchall() == [(len(shop.alive(table)),)], mart

    for file in (tmp_path / "target" / "compiled").rglob("*.sql"):
        sqlglot.parse_one(file.read_text(), dialect="snowflake")
