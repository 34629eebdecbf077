"""Settings name the variable that is wrong, print no secret, are explained in `.env.example`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from docs.generate import declared
from ingestion.csv_uploads.settings import CsvSettings
from ingestion.postgres.settings import PostgresSettings
from ingestion.stripe_api.settings import StripeSettings
from pipeline.errors import PermanentError, SettingsError
from pipeline.settings import PROJECT, settings
from warehouse.settings import WarehouseSettings
from warehouse.snowflake.settings import SnowflakeSettings

SECRET = "hunter2-sesame"
EXAMPLE = (PROJECT / ".env.example").read_text()


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No setting from outside: neither the environment's nor those of a person's `.env`."""
    for name in list(os.environ):
        if name.split("_")[0] in {
            "POSTGRES",
            "STRIPE",
            "CSV",
            "WAREHOUSE",
            "SLACK",
            "ECOMMERCE",
            "AIRFLOW",
        }:
            monkeypatch.delenv(name)
    empty = tmp_path / "empty.env"
    empty.touch()
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(empty))
    settings.cache_clear()
    yield
    settings.cache_clear()


def env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "some.env"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(path))


def test_every_missing_setting_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as error:
        settings(PostgresSettings)
    for name in ("POSTGRES_HOST", "POSTGRES_USER", "POSTGRES_PASSWORD"):
        assert f"{name} is not set" in str(error.value)
    assert ".env.example" in str(error.value)
    assert isinstance(error.value, PermanentError)


def test_an_empty_setting_is_a_missing_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env_file(monkeypatch, tmp_path, "STRIPE_API_KEY=\nCSV_INBOX=\n")
    with pytest.raises(SettingsError, match="STRIPE_API_KEY is not set"):
        settings(StripeSettings)
    monkeypatch.setenv("CSV_INBOX", "")
    with pytest.raises(SettingsError, match="CSV_INBOX is not set"):
        settings(CsvSettings)


def test_a_wrong_setting_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_HOST", "db")
    monkeypatch.setenv("POSTGRES_USER", "loader")
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    monkeypatch.setenv("POSTGRES_PORT", SECRET)
    monkeypatch.setenv("WAREHOUSE_KIND", SECRET)
    monkeypatch.setenv("CSV_INBOX", "inbox")
    monkeypatch.setenv("CSV_MAX_REJECT_RATIO", "10")
    for model, name in (
        (PostgresSettings, "POSTGRES_PORT"),
        (WarehouseSettings, "WAREHOUSE_KIND"),
        (CsvSettings, "CSV_MAX_REJECT"),
    ):
        with pytest.raises(SettingsError, match=name) as error:
            settings(model)
        assert SECRET not in str(error.value)
        assert error.value.__cause__ is None
        assert error.value.__suppress_context__


@pytest.mark.parametrize("key", ["sk_live_1", "rk_live_1"])
def test_a_live_stripe_key_never_travels_in_the_clear(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIPE_API_KEY", key)
    assert settings(StripeSettings).api_base.startswith("https://")
    settings.cache_clear()
    for base in ("http://stripe.example", "stripe.example", "http:///v1"):
        monkeypatch.setenv("STRIPE_API_BASE", base)
        with pytest.raises(SettingsError, match="STRIPE_API_BASE is not https") as error:
            settings(StripeSettings)
        assert key not in str(error.value)
    monkeypatch.setenv("STRIPE_API_BASE", "http://127.0.0.1:12111")  # the emulator's live mode
    assert settings(StripeSettings)
    settings.cache_clear()
    monkeypatch.setenv("STRIPE_API_KEY", "sk_test_1")
    assert settings(StripeSettings)


@pytest.mark.parametrize(
    ("host", "fits"), [("127.0.0.1", True), ("::1", True), ("db.example.com", False), ("", False)]
)
def test_snowflake_is_asked_in_the_clear_on_this_machine_only(
    host: str, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ACCOUNT", "a"), ("USER", "u"), ("PASSWORD", "p"), ("PROTOCOL", "http")):
        monkeypatch.setenv(f"SNOWFLAKE_{name}", value)
    monkeypatch.setenv("SNOWFLAKE_HOST", host)
    if fits:
        assert settings(SnowflakeSettings).protocol == "http"
        return
    with pytest.raises(SettingsError, match="SNOWFLAKE_PROTOCOL=http is for a test server"):
        settings(SnowflakeSettings)


def test_an_sslmode_that_libpq_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "USER", "PASSWORD"):
        monkeypatch.setenv(f"POSTGRES_{name}", "x")
    monkeypatch.setenv("POSTGRES_SSLMODE", "verify_full")
    with pytest.raises(SettingsError, match="POSTGRES_SSLMODE"):
        settings(PostgresSettings)


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTGRES_HOST", "db")
    monkeypatch.setenv("POSTGRES_USER", "loader")
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    monkeypatch.setenv("STRIPE_API_KEY", SECRET)
    monkeypatch.setenv("CSV_INBOX", f"ftp://loader:{SECRET}@files/inbox")
    for model in (PostgresSettings, StripeSettings, CsvSettings):
        built = settings(model)
        assert SECRET not in f"{built!r} {built}"
    assert settings(PostgresSettings).password.get_secret_value() == SECRET


def test_the_environment_wins_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    env_file(monkeypatch, tmp_path, "WAREHOUSE_LOCK_TIMEOUT_SECONDS=5\nWAREHOUSE_KIND=duckdb\n")
    assert settings(WarehouseSettings).lock_timeout_seconds == 5
    monkeypatch.setenv("WAREHOUSE_LOCK_TIMEOUT_SECONDS", "7")
    settings.cache_clear()
    assert settings(WarehouseSettings).lock_timeout_seconds == 7


def test_a_settings_file_that_was_named_must_be_there_and_readable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(tmp_path / "absent.env"))
    with pytest.raises(SettingsError, match=r"absent\.env, which is no file"):
        settings(WarehouseSettings)
    env_file(monkeypatch, tmp_path, b"CSV_INBOX=caf\xe9\n")
    with pytest.raises(SettingsError, match="not UTF-8"):
        settings(CsvSettings)


def test_a_relative_folder_is_the_same_for_every_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CSV_INBOX", "inbox")
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", "data/warehouse")
    monkeypatch.chdir(tmp_path)
    assert settings(CsvSettings).inbox == str(PROJECT / "inbox")
    assert settings(WarehouseSettings).duckdb_dir == PROJECT / "data" / "warehouse"


def test_an_address_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CSV_INBOX", "s3://bucket/inbox")
    assert settings(CsvSettings).inbox == "s3://bucket/inbox"


FIELDS = declared()


def test_the_settings_are_found() -> None:
    assert {
        "POSTGRES_HOST",
        "STRIPE_API_KEY",
        "CSV_INBOX",
        "WAREHOUSE_KIND",
        "SLACK_WEBHOOK_URL",
    } <= set(FIELDS)


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_every_setting_is_explained_in_the_example_with_its_default_and_no_secret(
    name: str,
) -> None:
    found = re.search(
        rf"^# (?P<explanation>.*[.)])\n(?P<off># )?{name}=(?P<value>.*)$", EXAMPLE, re.MULTILINE
    )
    assert found, f"{name} is missing in .env.example, or has no one-line explanation above it"
    field = FIELDS[name]
    if field.is_required() or field.annotation is SecretStr or field.default is None:
        assert found["value"] == ""
    elif found["value"]:
        assert found["off"], f"{name} has a default: comment it out"
        assert type(field.default)(found["value"]) == field.default


def test_the_example_names_no_setting_that_does_not_exist() -> None:
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))
    assert named - {"ECOMMERCE_ENV_FILE"} == set(FIELDS)
