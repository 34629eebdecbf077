"""What Airflow calls when something fails or is late. Every DAG file imports it, so each callback loads what it needs itself.

tasks   on_execute_callback = on_execute, on_retry_callback = on_retry, on_failure_callback = on_failure (default_args)
DAGs    on_failure_callback = on_dag_failure
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

TASK_ALERT_TAKES = 4.0  # seconds within which a failed task's own alert is on its way


def on_failure(context: Mapping[str, Any]) -> None:
    """A task's last try has failed: nothing more will be tried."""
    from alerting.slack import send_slack_alert

    send_slack_alert(context, "failure")


def on_retry(context: Mapping[str, Any]) -> None:
    """A try has failed, and another will follow."""
    from alerting.slack import send_slack_alert

    send_slack_alert(context, "retry")


def on_execute(context: Mapping[str, Any]) -> None:
    """A try begins. If the one before was killed, nothing of it was left to report its end: this one does it."""
    task_instance, task = context.get("ti"), context.get("task")
    try_number = getattr(task_instance, "try_number", 1) or 1
    first = (getattr(task_instance, "max_tries", 0) or 0) - (getattr(task, "retries", 0) or 0) + 1
    if try_number <= max(first, 1):
        return
    try:
        from alerting.context import killed_try
        from alerting.slack import deliver
        from alerting.store import try_reported

        alert = killed_try(context, try_number - 1)
        if not try_reported(alert.run or "", alert.task_id or "", try_number - 1):
            deliver(alert)
    except Exception as error:
        logger.error("Whether the try before was reported cannot be said: %s", type(error).__name__)


def on_dag_failure(context: Mapping[str, Any]) -> None:
    """A run has failed. It speaks only where no task of the run could: its process was killed on the last try."""
    from alerting.slack import send_slack_alert

    try:
        from alerting.context import alert_of
        from alerting.store import failure_reported

        run, deadline = alert_of(context, "failure").run or "", time.monotonic() + TASK_ALERT_TAKES
        while time.monotonic() < deadline:
            if failure_reported(run):
                return
            time.sleep(0.5)
    except Exception as error:
        logger.error("Whether the run's failure was reported cannot be said: %s", type(error).__name__)
    send_slack_alert(context, "failure")
