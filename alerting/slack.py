"""``send_slack_alert``: the one way in. It never raises, whatever is missing, broken or down."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alerting.alert import Alert, Status
    from alerting.store import Undelivered

logger = logging.getLogger(__name__)

SHOWN = 5  # of the alerts that were not delivered


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

    Of several tasks that fail for one reason one is told about: the others join its incident. A
    store of sent alerts that cannot be reached is a logged error: twice is better than never.
    """
    from alerting.channel import DeliveryError
    from alerting.channels import configured_channels

    channels = configured_channels()
    if not channels:
        logger.warning("SLACK_WEBHOOK_URL is not set, so nobody was told: %s", _named(alert))
    entered = _entered(alert)
    if entered is None:
        return False
    alert = entered
    missed = _undelivered() if channels else []
    told = _telling_of(alert, missed)
    delivered, refusals = False, []
    for channel in channels:
        if not channel.takes(told):
            continue
        try:
            channel.send(told)
            delivered = True
            logger.info("%s was told: %s", channel.name, _named(alert))
        except Exception as error:  # one channel's defect keeps no other from the alert
            said = str(error) if isinstance(error, DeliveryError) else type(error).__name__
            refusals.append(f"{channel.name}: {said}")
            logger.error("%s did not take the alert %s: %s", channel.name, _named(alert), said)
    if channels:
        _settle(alert, delivered or not refusals, refusals)
    if delivered and missed:
        _told_of(missed)
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


def _entered(alert: Alert) -> Alert | None:
    """The alert with its incident; None where it was reported before, or another task has spoken
    for the incident.

    What cannot be looked up is taken for news.
    """
    try:
        from alerting import incidents, store

        if not store.claim(alert):
            logger.info("Already reported: %s", _named(alert))
            return None
        if alert.status in ("success", "recovery"):
            closed = tuple(one.id for one in incidents.close_of(alert.day))
            return replace(alert, closes=closed)
        found = incidents.opened_by(alert)
        if found is None:
            return alert
        entered = replace(alert, incident=found.id)
        store.belongs_to(entered, found.id)
        if not incidents.takes_its_turn(entered, found):
            logger.info("Told already for the same cause: %s", _named(alert))
            store.settle(entered, delivered=True)
            return None
        others = sorted({task.partition(".")[0] for task in found.tasks} - {alert.dag_id})
        if others:
            same = ("Same cause", f"{', '.join(others)} (one incident)")
            entered = replace(entered, facts=(*entered.facts, same))
        return entered
    except Exception as error:
        _log_failure(
            "The store of sent alerts (ALERTS_DATABASE_URL) cannot be used, so this alert may "
            "arrive twice",
            error,
        )
        return alert


def _undelivered() -> list[Undelivered]:
    try:
        from alerting.store import undelivered

        return undelivered()
    except Exception as error:
        _log_failure("What was not delivered before cannot be said", error)
        return []


def _telling_of(alert: Alert, missed: Sequence[Undelivered]) -> Alert:
    """The alert with a word about those before it that a channel did not take."""
    earlier = [one for one in missed if one.key != alert.key]
    if not earlier:
        return alert
    lines = [str(one) for one in earlier[-SHOWN:]]
    if len(earlier) > SHOWN:
        lines.insert(0, f"{len(earlier) - SHOWN} more, and")
    text = "\n".join([*(f"• {line}" for line in lines), f"The last: {earlier[-1].reason}"])
    return replace(alert, facts=(*alert.facts, ("Not delivered before this", text)))


def _told_of(missed: Sequence[Undelivered]) -> None:
    try:
        from alerting.store import told_of

        told_of(missed)
    except Exception as error:
        _log_failure("The store of sent alerts (ALERTS_DATABASE_URL) cannot be used", error)


def _settle(alert: Alert, delivered: bool, refusals: Sequence[str]) -> None:
    try:
        from alerting import incidents, store

        store.settle(alert, delivered=delivered, refusals=refusals)
        if alert.incident and not delivered:
            incidents.give_back_turn(alert)
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
