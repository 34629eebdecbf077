"""Loader, dbt and business view sign in with keys of their own: one key, one role."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import snowflake.connector.errors as connector
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from dashboard import marts
from dashboard.settings import ReportSettings
from infrastructure.snowflake.statements import Account, statements
from pipeline.errors import CredentialsError, SettingsError
from warehouse.snowflake import session
from warehouse.snowflake.errors import explain
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.warehouse import SnowflakeWarehouse


def pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


LOADER, TRANSFORMER, REPORTING = pem(), pem(), pem()


def account(**given: Any) -> SnowflakeSettings:
    """The settings; the loader signs in by its key unless told otherwise."""
    given.setdefault("transform_user", "ECOMMERCE_TRANSFORMER")
    if "token" not in given and "password" not in given:
        given["private_key"] = LOADER
    return SnowflakeSettings(_env_file=None, account="my-account", user="ECOMMERCE_LOADER", **given)


class NotReachedError(Exception):
    pass


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the connector was given by the last session that was opened."""
    seen: dict[str, Any] = {}

    def connect(**arguments: Any) -> None:
        seen.clear()
        seen.update(arguments)
        raise NotReachedError

    monkeypatch.setattr("snowflake.connector.connect", connect)
    return seen


def open_session(settings: SnowflakeSettings, purpose: session.Purpose) -> None:
    with pytest.raises(NotReachedError), session.session(settings, purpose, doing="sign in"):
        pass


def test_dbt_signs_in_with_its_own_key(given: dict[str, Any]) -> None:
    settings = account(transform_private_key=TRANSFORMER)
    open_session(settings, "load")
    assert given["user"] == "ECOMMERCE_LOADER"
    loaders_key = given["private_key"]
    open_session(settings, "transform")
    assert given["user"] == "ECOMMERCE_TRANSFORMER" and given["private_key"] != loaders_key
    assert (
        SnowflakeWarehouse(settings).dbt_environment()["SNOWFLAKE_PRIVATE_KEY"]
        == TRANSFORMER.strip()
    )


def test_a_passphrase_is_of_one_key(given: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "transformer.p8"
    file.write_text(TRANSFORMER)
    settings = account(
        token="loaders-token", private_key_file_pwd="secret", transform_private_key_file=str(file)
    )
    open_session(settings, "transform")
    assert given["authenticator"] == "SNOWFLAKE_JWT"
    assert SnowflakeWarehouse(settings).dbt_environment()["SNOWFLAKE_PRIVATE_KEY_FILE_PWD"] == ""


def test_each_role_has_a_token_of_its_own(given: dict[str, Any]) -> None:
    settings = account(token="loaders-token", transform_token="transformers-token")
    open_session(settings, "load")
    assert given["token"] == "loaders-token"
    open_session(settings, "transform")
    assert given["token"] == "transformers-token"
    environment = SnowflakeWarehouse(settings).dbt_environment()
    assert environment["SNOWFLAKE_TOKEN"] == "transformers-token"


@pytest.mark.parametrize("loaders", [{}, {"token": "a-token"}, {"password": "a-password"}])
def test_another_user_never_signs_in_with_what_is_the_loaders(loaders: dict[str, str]) -> None:
    settings = account(**loaders)
    for use in (
        lambda: SnowflakeWarehouse(settings).dbt_environment(),
        lambda: SnowflakeWarehouse(settings).marts().__enter__(),
    ):
        with pytest.raises(
            SettingsError, match="SNOWFLAKE_TRANSFORM_USER is ECOMMERCE_TRANSFORMER"
        ):
            use()
    report = ReportSettings(_env_file=None, user="ECOMMERCE_REPORTING")  # type: ignore[call-arg]
    with (
        pytest.raises(SettingsError, match="SNOWFLAKE_REPORT_PRIVATE_KEY_FILE"),
        marts._snowflake(settings, report),
    ):
        pass


def test_one_user_in_both_roles_has_one_password(given: dict[str, Any]) -> None:
    settings = account(password="a-password", transform_user="ecommerce_loader")
    open_session(settings, "transform")
    assert (given["user"], given["password"]) == ("ECOMMERCE_LOADER", "a-password")


def test_the_business_view_signs_in_with_its_own_key(given: dict[str, Any]) -> None:
    settings = account()
    open_session(settings, "load")
    loaders_key = given["private_key"]
    report = ReportSettings(  # type: ignore[call-arg]
        _env_file=None, user="ECOMMERCE_REPORTING", private_key=REPORTING
    )
    with pytest.raises(NotReachedError), marts._snowflake(settings, report):
        pass
    assert (given["user"], given["role"]) == ("ECOMMERCE_REPORTING", "ANALYST")
    assert given["private_key"] != loaders_key


def test_two_users_of_the_account_may_not_have_one_key() -> None:
    keys = {"ECOMMERCE_LOADER": "MIIB", "ECOMMERCE_TRANSFORMER": "MIIB"}
    with pytest.raises(ValueError, match="the roles of both"):
        statements(Account(public_keys=keys))


def test_a_token_without_a_network_policy_says_what_is_missing() -> None:
    error = connector.DatabaseError(msg="Network policy is required.", errno=250001)
    found = explain(error, account(token="a-token"), "sign in")
    assert type(found) is CredentialsError and "apply --allow-ip" in str(found)
