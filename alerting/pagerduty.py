"""PagerDuty by its Events API v2: an incident of ours is one of theirs, opened, updated and
resolved under one key.

https://developer.pagerduty.com/docs/send-alert-event: 202 is taken; 429 and 5xx are tried again.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from alerting.alert import Alert
from alerting.channel import RETRIES, DeliveryError
from alerting.severity import severity_of

SUMMARY_LIMIT = 1024
KEY_LIMIT = 255


class PagerDutyChannel:
    """Failures, breaches and what is held: what the day's green message will resolve. A try that
    will be repeated pages nobody, and nor does a notice that nothing ends.
    """

    name = "PagerDuty"

    def __init__(self, routing_key: str, url: str, timeout: int) -> None:
        self._routing_key, self._timeout = routing_key, timeout
        self._url = f"{url.rstrip('/')}/v2/enqueue"

    def takes(self, alert: Alert) -> bool:
        return bool(alert.closes) or alert.status in ("failure", "sla_breach", "held")

    def send(self, alert: Alert) -> None:
        if alert.status in ("success", "recovery"):
            for incident in alert.closes:
                self._post({"event_action": "resolve", "dedup_key": dedup_key(incident)})
            return
        self._post(trigger(alert))

    def _post(self, event: dict[str, Any]) -> None:
        retry = Retry(
            RETRIES, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None,
            backoff_factor=0.5, raise_on_status=False,
        )  # fmt: skip
        try:
            with requests.Session() as session:
                session.mount("https://", HTTPAdapter(max_retries=retry))
                session.mount("http://", HTTPAdapter(max_retries=retry))
                body = {"routing_key": self._routing_key, **event}
                answer = session.post(self._url, json=body, timeout=self._timeout)
        except requests.RequestException as error:
            raise DeliveryError(f"no answer ({type(error).__name__})") from None
        if answer.status_code != 202:
            raise DeliveryError(f"it answered {answer.status_code}: {answer.text[:200]}")


def trigger(alert: Alert) -> dict[str, Any]:
    """The event that opens or updates the incident of an alert."""
    what = (alert.exception or next((text for _, text in alert.facts), "")).partition("\n")[0]
    parts = [alert.title, alert.day, what]
    links = [(alert.log_url, "Log"), (alert.runbook, "What to do")]
    return {
        "event_action": "trigger",
        "dedup_key": dedup_key(alert.incident or alert.key),
        "payload": {
            "summary": " · ".join(part for part in parts if part)[:SUMMARY_LIMIT],
            "source": alert.dag_id,
            "severity": severity_of(alert),
            "timestamp": datetime.now(UTC).isoformat(),
            "component": alert.task_id or alert.dag_id,
            "group": alert.day or "",
            "class": alert.status,
            "custom_details": dict(alert.facts),
        },
        "links": [{"href": href, "text": text} for href, text in links if href],
    }


def dedup_key(incident: str) -> str:
    """The incident's id; its hash where it is longer than PagerDuty takes."""
    if len(incident) <= KEY_LIMIT:
        return incident
    return hashlib.sha256(incident.encode()).hexdigest()
