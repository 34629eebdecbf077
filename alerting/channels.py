"""Where alerts go. A channel is one small class with a name and ``send``; ``configured_channels``
lists those that are set.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import datetime
from typing import Protocol
from urllib.parse import urlparse

import requests

from alerting.alert import Alert
from alerting.settings import AlertingSettings
from pipeline.settings import settings as configured

logger = logging.getLogger(__name__)

RETRIES = 3
LONGEST_WAIT = 30  # seconds; a callback that sleeps as long as Slack likes would hold a task's slot


class DeliveryError(Exception):
    """The channel did not take the alert; the text never holds the channel's address, which is a
    secret.
    """


class Channel(Protocol):
    name: str

    def send(self, alert: Alert) -> None:
        """Deliver the alert or raise ``DeliveryError``."""


class SlackChannel:
    """An incoming webhook. Rate limits and server errors are tried again, as Slack's own client
    does it.
    """

    name = "Slack"

    def __init__(self, webhook_url: str, timeout: int) -> None:
        self._url, self._timeout = webhook_url, timeout

    def send(self, alert: Alert) -> None:
        from slack_sdk.errors import SlackClientError
        from slack_sdk.http_retry.builtin_handlers import (
            ConnectionErrorRetryHandler,
            RateLimitErrorRetryHandler,
            ServerErrorRetryHandler,
        )
        from slack_sdk.http_retry.handler import RetryHandler
        from slack_sdk.http_retry.request import HttpRequest
        from slack_sdk.http_retry.response import HttpResponse
        from slack_sdk.http_retry.state import RetryState
        from slack_sdk.webhook import WebhookClient

        from alerting.messages import slack_message

        class ShortRateLimit(RateLimitErrorRetryHandler):
            def _can_retry(
                self,
                *,
                state: RetryState,
                request: HttpRequest,
                response: HttpResponse | None = None,
                error: Exception | None = None,
            ) -> bool:
                if response is None or response.status_code != 429:
                    return False
                asked = [
                    values[0]
                    for name, values in response.headers.items()
                    if name.lower() == "retry-after"
                ]
                return not asked or (asked[0].isdigit() and int(asked[0]) <= LONGEST_WAIT)

        handlers: list[RetryHandler] = [
            handler(max_retry_count=RETRIES)
            for handler in (ShortRateLimit, ServerErrorRetryHandler, ConnectionErrorRetryHandler)
        ]
        silent = logging.Logger("slack_sdk")  # the client logs its address, which is a secret
        silent.disabled = True
        client = WebhookClient(
            self._url, timeout=self._timeout, retry_handlers=handlers, logger=silent
        )
        try:
            response = client.send_dict(slack_message(alert))
        except (SlackClientError, OSError) as error:
            raise DeliveryError(f"no answer ({type(error).__name__})") from None
        if response.status_code != 200:
            raise DeliveryError(f"it answered {response.status_code}: {str(response.body)[:200]}")


class JsonWebhookChannel:
    """Any HTTP endpoint that takes one JSON object per alert: an incident tool, a chat bridge, a
    log collector.
    """

    name = "webhook"

    def __init__(self, url: str, timeout: int) -> None:
        self._url, self._timeout = url, timeout

    def send(self, alert: Alert) -> None:
        if urlparse(self._url).scheme not in ("http", "https"):
            raise DeliveryError("ALERT_WEBHOOK_URL is no http or https address")
        try:
            response = requests.post(self._url, json=json_payload(alert), timeout=self._timeout)
        except (requests.RequestException, OSError) as error:
            raise DeliveryError(f"no answer ({type(error).__name__})") from None
        if not response.ok:
            raise DeliveryError(f"it answered {response.status_code}")


def json_payload(alert: Alert) -> dict[str, object]:
    """The alert as JSON types: its fields, with ``facts`` as an object and times in ISO 8601."""
    payload = {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in asdict(alert).items()
    }
    return {**payload, "title": alert.title, "facts": dict(alert.facts)}


def configured_channels() -> list[Channel]:
    """The channels that have an address."""
    chosen = configured(AlertingSettings)
    channels: list[Channel] = []
    if chosen.slack_webhook_url:
        channels.append(
            SlackChannel(chosen.slack_webhook_url.get_secret_value(), chosen.alert_timeout_seconds)
        )
    if chosen.alert_webhook_url:
        channels.append(
            JsonWebhookChannel(
                chosen.alert_webhook_url.get_secret_value(), chosen.alert_timeout_seconds
            )
        )
    return channels
