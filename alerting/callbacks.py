"""What Airflow calls when something begins, fails or is late.

Tasks have ``on_execute``, ``on_retry`` and ``on_failure`` by ``default_args``, DAGs
``on_dag_failure``. Every DAG file imports this module, so each callback loads what it needs itself.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

logger = logging.getLogger(__name__)

TASK_ALERT_TAKES = 4.0  # seconds within which a failed task's own alert is on its way
OWNER_ONLY = 0o077  # umask: folders 0700, files 0600
SHORTEST_SECRET = 8  # shorter ones stand in ordinary text as well


def on_failure(context: Mapping[str, Any]) -> None:
    """A task's last try has failed: nothing more will be tried."""
    from alerting.slack import send_slack_alert

    send_slack_alert(context, "failure")


def on_retry(context: Mapping[str, Any]) -> None:
    """A try has failed, and another will follow."""
    from alerting.slack import send_slack_alert

    send_slack_alert(context, "retry")


def on_execute(context: Mapping[str, Any]) -> None:
    """A try begins: its files are its user's alone, and its log holds no secret.

    Earlier tries that were killed could not report their end: it is done here.
    """
    os.umask(OWNER_ONLY)
    _keep_secrets_out_of_the_log()
    _report_killed(context)


def on_dag_failure(context: Mapping[str, Any]) -> None:
    """A run has failed.

    It speaks only where no task of the run could: its process was killed on the last try.
    """
    from alerting.slack import send_slack_alert

    _report_killed(context)
    try:
        from alerting.context import alert_of
        from alerting.store import failure_reported

        run, deadline = alert_of(context, "failure").run or "", time.monotonic() + TASK_ALERT_TAKES
        while time.monotonic() < deadline:
            if failure_reported(run):
                return
            time.sleep(0.5)
    except Exception as error:
        logger.error(
            "Whether the run's failure was reported cannot be said: %s", type(error).__name__
        )
    send_slack_alert(context, "failure")


def _report_killed(context: Mapping[str, Any]) -> None:
    """Report every earlier try of the task, since it was last cleared, that nobody has reported."""
    try_number = getattr(context.get("ti"), "try_number", 1) or 1
    if try_number == 1:
        return
    try:
        from alerting.context import first_try, killed_try
        from alerting.slack import deliver
        from alerting.store import try_reported

        for number in range(first_try(context) or try_number, try_number):
            alert = killed_try(context, number)
            if not try_reported(alert.run or "", alert.task_id or "", number):
                deliver(alert)
    except Exception as error:
        logger.error(
            "Whether the tries before were reported cannot be said: %s", type(error).__name__
        )


def _keep_secrets_out_of_the_log() -> None:
    """Tell Airflow's own masker our secrets, which it does not know by itself.

    It masks them in tracebacks too, in the forms that `secret_mask_adapter` names.
    """
    try:
        from airflow.sdk.log import mask_secret

        from pipeline.masking import known_secrets

        for secret in known_secrets():
            # A word would be masked within names of tables, too.
            if len(secret) >= SHORTEST_SECRET and not secret.isalpha():
                mask_secret(secret)
    except Exception as error:
        logger.error("Secrets are not masked in this log: %s", type(error).__name__)
