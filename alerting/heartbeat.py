"""Tells a dead-man's switch outside that the monitor has run: it alerts when no call came."""

from __future__ import annotations

import logging

import requests

from alerting.settings import AlertingSettings
from pipeline.settings import settings

logger = logging.getLogger(__name__)


def beat() -> None:
    """Call ``HEARTBEAT_URL`` with GET, where it is set. Never raises; the address is a secret."""
    configured = settings(AlertingSettings)
    if configured.heartbeat_url is None:
        return
    try:
        answer = requests.get(
            configured.heartbeat_url.get_secret_value(), timeout=configured.alert_timeout_seconds
        )
    except requests.RequestException as error:
        logger.error("HEARTBEAT_URL did not answer (%s).", type(error).__name__)
        return
    if not answer.ok:
        logger.error("HEARTBEAT_URL answered %s.", answer.status_code)
