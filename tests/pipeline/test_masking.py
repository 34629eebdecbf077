"""What is taken out of a text, and what stays."""

from __future__ import annotations

import pytest
from airflow.sdk._shared.secrets_masker import SecretsMasker

from alerting.callbacks import _keep_secrets_out_of_the_log
from pipeline.masking import known_secrets, mask
from pipeline.secret_forms import forms_of
from pipeline.settings import PROJECT

SECRET = "Tr0ub4dor&3/x"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://loader:hunter2@db:5432/shop", "postgresql://loader:***@db:5432/shop"),
        ("postgresql+psycopg2://loader:p@ss:w@db/shop", "postgresql+psycopg2://loader:***@db/shop"),
        (
            "host=db user=loader password=hunter2 dbname=shop",
            "host=db user=loader password=*** dbname=shop",
        ),
        ("password='two words' dbname=shop", "password=*** dbname=shop"),
        ('{"api_key": "abc123", "day": 1}', '{"api_key": ***, "day": 1}'),
        ("No such key: sk_test_4eC39HqLyjWDarjtT1zdp7dc", "No such key: sk_test_***"),
        ("rk_live_abcDEF123, pk_live_abc", "rk_live_***, pk_live_***"),
        ("https://hooks.slack.com/services/T000/B000/XXXX", "https://hooks.slack.com/services/***"),
        ("Authorization: Bearer abc.def-ghi_123", "Authorization: Bearer ***"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln here", "token *** here"),
        ("AKIAIOSFODNN7EXAMPLE", "***"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nafter", "***\nafter"),
    ],
)
def test_secrets_are_masked_by_their_form(text: str, masked: str) -> None:
    assert mask(text, secrets=()) == masked


@pytest.mark.parametrize(
    "text",
    [
        "RateLimitedError: Stripe asked to wait 17 seconds.",
        "Connection refused to postgres-source:5432",
        "https://airflow.example.com/dags/x/runs/y?try_number=1",
        "column orders.total_amount is varchar(10), not decimal(12,2)",
        "The database refused the password of `loader`.",
        "mail from ann@example.com at 10:00",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert mask(text, secrets=()) == text


def test_a_password_that_is_a_word_does_not_mask_the_names_of_tables() -> None:
    assert (
        mask("extract_postgres_orders: postgres is wrong", secrets=["postgres"])
        == "extract_postgres_orders: *** is wrong"
    )


def test_a_password_in_an_address_is_masked_in_its_encoded_form_too() -> None:
    assert mask("user Tr0ub4dor%263%2Fx", secrets=[SECRET]) == "user ***"


def test_airflows_own_masker_hides_the_same_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = SecretsMasker()
    monkeypatch.setattr(masker, "secret_mask_adapter", forms_of, raising=False)
    monkeypatch.setattr("airflow.sdk.log._secrets_masker", lambda: masker)
    monkeypatch.setenv("POSTGRES_PASSWORD", SECRET)
    _keep_secrets_out_of_the_log()
    for form in forms_of(SECRET):
        assert form not in str(masker.redact(f"xx {form} yy"))


def test_the_sandbox_names_the_forms_to_airflow() -> None:
    for file in ("sandbox/airflow_local.py", "docker-compose.yml"):
        assert "pipeline.secret_forms.forms_of" in (PROJECT / file).read_text()


def test_settings_are_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKER", "redis://:p%40ss9word@redis:6379/0")
    monkeypatch.setenv("GOOGLE", '{"private_key_id": "0a1b2c3d4e5f", "project_id": "my-shop"}')
    monkeypatch.setenv("SOME_PASSWORD", "/v9Kq/Lm2$wX")
    monkeypatch.setenv("SOME_PASSWORD_FILE", "/run/secrets/some")
    known = known_secrets()
    assert {"p%40ss9word", "p@ss9word", "0a1b2c3d4e5f", "/v9Kq/Lm2$wX"} <= known
    assert not {"my-shop", "/run/secrets/some"} & known
