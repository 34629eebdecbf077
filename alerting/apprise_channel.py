"""Any service that the library apprise speaks to: Teams, e-mail, Telegram, ntfy and a hundred more,
one address each (https://appriseit.com/services/).
"""

from __future__ import annotations

import logging

from alerting.alert import Alert, duration
from alerting.channel import DeliveryError
from alerting.severity import Severity, severity_of

_KINDS: dict[Severity, str] = {
    "critical": "failure",
    "error": "failure",
    "warning": "warning",
    "info": "info",
}


class AppriseChannel:
    """One address of ``ALERT_APPRISE_URLS``. It is a secret: only its scheme is ever named."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.name = f"apprise ({url.partition(':')[0]})"

    def takes(self, alert: Alert) -> bool:
        return True

    def send(self, alert: Alert) -> None:
        import apprise

        logging.getLogger("apprise").disabled = True  # it logs addresses
        client = apprise.Apprise()
        if not client.add(self._url):
            raise DeliveryError("ALERT_APPRISE_URLS holds an address that apprise does not know")
        kind = "success" if alert.status in ("success", "recovery") else _KINDS[severity_of(alert)]
        try:
            taken = client.notify(
                body=plain_text(alert), title=alert.title, notify_type=kind, body_format="text"
            )
        except Exception as error:
            raise DeliveryError(f"no answer ({type(error).__name__})") from None
        if not taken:
            raise DeliveryError("the service did not take it")


def plain_text(alert: Alert) -> str:
    """The alert in lines without any mark-up, in the order of the Slack message."""
    lines = [
        ("Task", alert.task_id),
        ("Day", alert.day),
        ("Duration", duration(alert.seconds) if alert.seconds is not None else None),
        ("Exception", alert.exception),
        ("Log", alert.log_url),
        *alert.facts,
        ("What to do", alert.runbook),
    ]
    return "\n".join(f"{label}: {text}" for label, text in lines if text)
