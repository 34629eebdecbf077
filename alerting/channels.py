"""Where alerts go: the channels that are set, and the plainest of them, a JSON webhook."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from urllib.parse import urlparse

import requests

from alerting.alert import Alert
from alerting.channel import Channel, DeliveryError
from alerting.settings import AlertingSettings
from pipeline.settings import settings as configured


class JsonWebhookChannel:
    """Any HTTP endpoint that takes one JSON object per alert: an incident tool, a chat bridge, a
    log collector.
    """

    name = "webhook"

    def __init__(self, url: str, timeout: int) -> None:
        self._url, self._timeout = url, timeout

    def takes(self, alert: Alert) -> bool:
        return True

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
    """The channels that have an address. Slack's bot, where there is one, takes the webhook's
    place.
    """
    chosen = configured(AlertingSettings)
    timeout = chosen.alert_timeout_seconds
    channels: list[Channel] = []
    if chosen.slack_bot_token and chosen.slack_channel:
        from alerting.slack_channels import SlackBotChannel

        token = chosen.slack_bot_token.get_secret_value()
        channels.append(SlackBotChannel(token, chosen.slack_channel, chosen.slack_api_url, timeout))
    elif chosen.slack_webhook_url:
        from alerting.slack_channels import SlackChannel

        channels.append(SlackChannel(chosen.slack_webhook_url.get_secret_value(), timeout))
    if chosen.alert_webhook_url:
        channels.append(JsonWebhookChannel(chosen.alert_webhook_url.get_secret_value(), timeout))
    if chosen.pagerduty_routing_key:
        from alerting.pagerduty import PagerDutyChannel

        key = chosen.pagerduty_routing_key.get_secret_value()
        channels.append(PagerDutyChannel(key, chosen.pagerduty_url, timeout))
    if chosen.alert_apprise_urls:
        from alerting.apprise_channel import AppriseChannel

        urls = chosen.alert_apprise_urls.get_secret_value().split()
        channels += [AppriseChannel(url) for url in urls]
    return channels
