"""Alerts, and the one table of retries, SLAs and time limits.

Light to import: DAG files import it to be drawn.
"""

from __future__ import annotations

from alerting.slack import send_slack_alert

__all__ = ["send_slack_alert"]
