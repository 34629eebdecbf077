"""The loader and dbt may each have a user and a key of its own, so that a pod holds one of them."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from warehouse.snowflake import session
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.warehouse import SnowflakeWarehouse


def pem() -> str:
    key = rsa.generate_private_key(65537, 2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


LOADER, TRANSFORMER = pem(), pem()


def account(**given: Any) -> SnowflakeSettings:
    return SnowflakeSettings(
        _env_file=None,
        account="my-account",
        user="ECOMMERCE_LOADER",
        private_key=LOADER,
        transform_user="ECOMMERCE_TRANSFORMER",
        **given,
    )


def signed_in_as(
    settings: SnowflakeSettings, purpose: session.Purpose, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, bytes]:
    given: dict[str, Any] = {}
    monkeypatch.setattr("snowflake.connector.connect", lambda **arguments: given.update(arguments))
    session.connect(settings, purpose)
    return given["user"], given["private_key"]


def test_dbt_signs_in_with_its_own_key_where_it_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = account(transform_private_key=TRANSFORMER)
    loader, loaders_key = signed_in_as(settings, "load", monkeypatch)
    transformer, its_key = signed_in_as(settings, "transform", monkeypatch)
    assert (loader, transformer) == ("ECOMMERCE_LOADER", "ECOMMERCE_TRANSFORMER")
    assert loaders_key != its_key
    assert (
        SnowflakeWarehouse(settings).dbt_environment()["SNOWFLAKE_PRIVATE_KEY"]
        == TRANSFORMER.strip()
    )


def test_dbt_signs_in_with_the_loaders_key_where_it_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loader, loaders_key = signed_in_as(account(), "load", monkeypatch)
    transformer, its_key = signed_in_as(account(), "transform", monkeypatch)
    assert (loader, transformer) == ("ECOMMERCE_LOADER", "ECOMMERCE_TRANSFORMER")
    assert loaders_key == its_key
    assert (
        SnowflakeWarehouse(account()).dbt_environment()["SNOWFLAKE_PRIVATE_KEY"] == LOADER.strip()
    )
