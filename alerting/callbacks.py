"""What Airflow calls when a try fails. Imported by every DAG file, so each callback loads what it needs when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def on_failure(context: Mapping[str, Any]) -> None:
    """A task's last try has failed: nothing more will be tried."""
    from alerting.slack import send_slack_alert

    send_slack_alert(context, "failure")


def on_retry(context: Mapping[str, Any]) -> None:
    """A try has failed, and another will follow."""
    from alerting.slack import send_slack_alert

    send_slack_alert(context, "retry")
