"""Checks the Slack webhook without posting: a message without a text is refused by the channel."""

from __future__ import annotations

from collections.abc import Iterator

import requests

from alerting.settings import AlertingSettings
from pipeline.checks import Finding, State, tried
from pipeline.settings import settings

# What Slack answers to an empty message where the webhook itself is good.
# https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling-errors
REFUSALS = ("no_text", "invalid_payload", "missing_text_or_fallback_or_attachments")


def check() -> Iterator[Finding]:
    """One finding; nobody sees a message."""
    yield tried("slack", "webhook", _webhook)


def _webhook() -> str | Finding:
    configured = settings(AlertingSettings)
    if configured.slack_webhook_url is None:
        said = "Alerts are logged only. Set SLACK_WEBHOOK_URL to send them to a channel."
        return Finding("slack", "webhook", "not set", said)
    url, timeout = configured.slack_webhook_url, configured.alert_timeout_seconds
    try:
        answer = requests.post(
            url.get_secret_value(), json={}, timeout=timeout, allow_redirects=False
        )
    except requests.RequestException as error:  # its text has the address, which is a secret
        said = (
            f"No answer ({type(error).__name__}). Check SLACK_WEBHOOK_URL, and that this machine "
            "may reach it."
        )
        return Finding("slack", "webhook", "try again", said)
    text = answer.text.strip()[:60]
    if answer.status_code == 400 and text in REFUSALS:
        return "The channel takes messages (it was asked without posting one)."
    passing = answer.status_code == 429 or answer.status_code >= 500
    state: State = "try again" if passing else "fails"
    advice = "" if passing else " Make a new incoming webhook and set SLACK_WEBHOOK_URL."
    said = f"Slack answered {answer.status_code}: {text}.{advice}"
    return Finding("slack", "webhook", state, said)
