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

    ``success`` sums up the published day; where the day had been in trouble the message says
    ``RECOVERED`` instead. Without ``SLACK_WEBHOOK_URL`` one warning is logged; a channel that is
    down is a logged error. Nothing else changes.
    """
    try:
        from alerting.context import alert_of
        from alerting.summary import summed_up

        alert = alert_of(context, status)
        deliver(summed_up(alert, _loads(context)) if status in ("success", "recovery") else alert)
    except Exception as error:
        _log_failure(f"The {status} alert could not be made", error)


def deliver(alert: Alert) -> bool:
    """Send the alert to every configured channel unless another process has; whether a channel took
    it from here.

    A store of sent alerts that cannot be reached is a logged error: twice is better than never.
    """
    from alerting.channels import DeliveryError, configured_channels

    channels = configured_channels()
    if not channels:
        logger.warning("SLACK_WEBHOOK_URL is not set, so nobody was told: %s", _named(alert))
    if not _claimed(alert):
        logger.info("Already reported: %s", _named(alert))
        return False
    delivered = False
    for channel in channels:
        try:
            channel.send(alert)
            delivered = True
            logger.info("%s was told: %s", channel.name, _named(alert))
        except DeliveryError as error:
            logger.error("%s did not take the alert %s: %s", channel.name, _named(alert), error)
    if channels:
        _settle(alert, delivered)
    return delivered


def _loads(context: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the gate of the same run found, from its XCom; empty outside of that run."""
    pull = getattr(context.get("ti"), "xcom_pull", None)
    try:
        return list((pull and pull(task_ids="all_extractions_complete")) or ())
    except Exception as error:
        logger.debug("No loads in XCom: %s", error)
        return []


def _named(alert: Alert) -> str:
    return " · ".join(part for part in (alert.title, alert.task_id, alert.day) if part)


def _claimed(alert: Alert) -> bool:
    try:
        from alerting.store import claim

        return claim(alert)
    except Exception as error:
        _log_failure(
            "The store of sent alerts (ALERTS_DATABASE_URL) cannot be used, so this alert may "
            "arrive twice",
            error,
        )
        return True


def _settle(alert: Alert, delivered: bool) -> None:
    try:
        from alerting.store import settle

        settle(alert, delivered=delivered)
    except Exception as error:
        _log_failure("The store of sent alerts (ALERTS_DATABASE_URL) cannot be used", error)


def _log_failure(what: str, error: BaseException) -> None:
    """One line, with what the error says masked: a database's error can hold its address."""
    from pipeline.masking import mask

    logger.error(
        "%s: %s: %s",
        what,
        type(error).__name__,
        mask(str(error)),
        exc_info=logger.isEnabledFor(logging.DEBUG),
    )
