"""No secret reaches an alert."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from alerting.context import alert_of
from alerting.messages import slack_message

if TYPE_CHECKING:
    from tests.builders.alert_context import ContextOf

SECRET = "Tr0ub4dor&3/x"


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
