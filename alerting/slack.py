"""``send_slack_alert``: the one way in. It never raises, whatever is missing, broken or down."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alerting.alert import Alert, Status

logger = logging.getLogger(__name__)


def send_slack_alert(context: Mapping[str, Any], status: Status) -> None:
    """Report what happened to the task or run of an Airflow context, once per event.

    Without ``SLACK_WEBHOOK_URL`` one warning is logged; a channel that is down is a logged error. Nothing else changes.
    """
    try:
        from alerting.context import alert_of

        deliver(alert_of(context, status))
    except Exception:
        logger.exception("The %s alert could not be made.", status)


def deliver(alert: Alert) -> bool:
    """Send the alert to every configured channel; whether one of them took it. Never raises for a channel that is down."""
    from alerting.channels import DeliveryError, configured_channels

    channels = configured_channels()
    if not channels:
        logger.warning("SLACK_WEBHOOK_URL is not set, so nobody was told: %s %s %s", alert.title, alert.task_id, alert.day)
        return False
    delivered = False
    for channel in channels:
        try:
            channel.send(alert)
            delivered = True
        except DeliveryError as error:
            logger.error("%s did not take the alert %s (%s): %s", channel.name, alert.title, alert.day, error)
    return delivered
