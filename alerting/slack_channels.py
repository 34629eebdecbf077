"""Slack: by an incoming webhook, which can only add messages, or by a bot's token, which keeps an
incident in one message and a thread below it.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackClientError
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

from alerting import incidents
from alerting.alert import Alert
from alerting.channel import RETRIES, DeliveryError
from alerting.messages import slack_message

LONGEST_WAIT = 30  # seconds; a callback that sleeps as long as Slack likes would hold a task's slot


class ShortRateLimit(RateLimitErrorRetryHandler):
    """Waits as Slack asks, if that is not long."""

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
            values[0] for name, values in response.headers.items() if name.lower() == "retry-after"
        ]
        return not asked or (asked[0].isdigit() and int(asked[0]) <= LONGEST_WAIT)


def _handlers() -> list[RetryHandler]:
    return [
        handler(max_retry_count=RETRIES)
        for handler in (ShortRateLimit, ServerErrorRetryHandler, ConnectionErrorRetryHandler)
    ]


def _silent() -> logging.Logger:
    """The clients log their address or token, which are secrets."""
    silent = logging.Logger("slack_sdk")
    silent.disabled = True
    return silent


class SlackChannel:
    """An incoming webhook. Rate limits and server errors are tried again, as Slack's own client
    does it.
    """

    name = "Slack"

    def __init__(self, webhook_url: str, timeout: int) -> None:
        self._client = WebhookClient(
            webhook_url, timeout=timeout, retry_handlers=_handlers(), logger=_silent()
        )

    def takes(self, alert: Alert) -> bool:
        return True

    def send(self, alert: Alert) -> None:
        try:
            response = self._client.send_dict(slack_message(alert))
        except (SlackClientError, OSError) as error:
            raise DeliveryError(f"no answer ({type(error).__name__})") from None
        if response.status_code != 200:
            raise DeliveryError(f"it answered {response.status_code}: {str(response.body)[:200]}")


class SlackBotChannel:
    """A bot with the right ``chat:write``. An incident is one message, which always shows its
    newest event, with all of them in the thread below it; its end colours it green.
    """

    name = "Slack"

    def __init__(self, token: str, channel: str, api_url: str, timeout: int) -> None:
        self._channel = channel
        self._client = WebClient(
            token, base_url=api_url, timeout=timeout, retry_handlers=_handlers(), logger=_silent()
        )

    def takes(self, alert: Alert) -> bool:
        return True

    def send(self, alert: Alert) -> None:
        message = slack_message(alert)
        try:
            for incident_id in alert.closes:
                self._close(incident_id, message)
            of = incidents.incident(alert.incident) if alert.incident else None
            if of and of.thread:
                channel, _, at = of.thread.partition(" ")
                self._client.chat_postMessage(channel=channel, thread_ts=at, **message)
                self._client.chat_update(channel=channel, ts=at, **message)
                return
            posted = self._client.chat_postMessage(channel=self._channel, **message)
            if of:
                incidents.keep_thread(of.id, f"{posted['channel']} {posted['ts']}")
        except SlackApiError as error:
            raise DeliveryError(f"it answered {error.response.get('error')}") from None
        except (SlackClientError, OSError) as error:
            raise DeliveryError(f"no answer ({type(error).__name__})") from None

    def _close(self, incident_id: str, message: dict[str, Any]) -> None:
        """Say in the thread that it is over, and colour the incident's message green."""
        of = incidents.incident(incident_id)
        if of is None or not of.thread:
            return
        channel, _, at = of.thread.partition(" ")
        self._client.chat_postMessage(channel=channel, thread_ts=at, **message)
        text = f"[CLOSED] {of.title}"
        closed = slack_message(
            replace(_NOTHING, day=of.day, dag_id=of.dag_id, facts=(("Closed", of.title),))
        )
        self._client.chat_update(channel=channel, ts=at, **{**closed, "text": text})


_NOTHING = Alert("recovery", "", "")
