"""No secret reaches an alert."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from alerting.context import alert_of
from alerting.messages import slack_message
from pipeline.masking import mask

if TYPE_CHECKING:
    from tests.alerting.conftest import ContextOf

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


@pytest.mark.parametrize(
    "name",
    [
        "POSTGRES_PASSWORD",
        "STRIPE_API_KEY",
        "SNOWFLAKE_PRIVATE_KEY_FILE_PWD",
        "ALERTS_DATABASE_URL",
    ],
)
def test_the_values_of_secret_settings_are_masked_wherever_they_stand(
    name: str, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        name, SECRET if name != "ALERTS_DATABASE_URL" else "sqlite:////tmp/Tr0ub4dor"
    )
    secret = SECRET if name != "ALERTS_DATABASE_URL" else "sqlite:////tmp/Tr0ub4dor"
    message = json.dumps(
        slack_message(alert_of(context_of(ValueError(f"xx{secret}yy")), "failure"))
    )
    assert "Tr0ub4dor" not in message
    assert "xx***yy" in message


def test_a_password_that_is_a_word_does_not_mask_the_names_of_tables() -> None:
    assert (
        mask("extract_postgres_orders: postgres is wrong", secrets=["postgres"])
        == "extract_postgres_orders: *** is wrong"
    )


def test_a_password_in_an_address_is_masked_in_its_encoded_form_too() -> None:
    assert mask("user Tr0ub4dor%263%2Fx", secrets=[SECRET]) == "user ***"
