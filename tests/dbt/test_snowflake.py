"""The project on Snowflake: parses without credentials, signs in three ways.

``tests/snowflake_double`` runs it, day by day.
"""

from __future__ import annotations

import os
from argparse import Namespace
from pathlib import Path

import pytest
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

from tests.builders.run_dbt import PROJECT
from transform.dbt_runner import environment
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.warehouse import SnowflakeWarehouse


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
