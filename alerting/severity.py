"""How much an alert weighs, in the words of PagerDuty's Events API: one table.

    event                          of the current day   of another day
    a task failed for good         critical             error
    the day is late                critical
    a source, dbt or tests late    warning
    a doubtful day is held         critical             error
    a try failed                   info                 info
    needs attention, differs       warning              warning
    success, recovery              info                 info

Whoever is paged at night is paged for `critical`: the morning's figures are in danger. The rest can
wait for the morning.
"""

from __future__ import annotations

from typing import Literal

from alerting.alert import Alert, Status
from pipeline.days import current_day

Severity = Literal["critical", "error", "warning", "info"]

_OF_THE_DAY: dict[Status, Severity] = {"failure": "critical", "held": "critical"}
_ALWAYS: dict[Status, Severity] = {
    "failure": "error",
    "held": "error",
    "sla_breach": "warning",
    "attention": "warning",
    "difference": "warning",
}
THE_PIPELINE = "the pipeline"  # the scope of a breach of the whole day


def severity_of(alert: Alert) -> Severity:
    of_today = alert.day == str(current_day())
    if alert.status == "sla_breach" and alert.scope == THE_PIPELINE:
        return "critical"
    weighs = _OF_THE_DAY.get(alert.status) if of_today else None
    return weighs or _ALWAYS.get(alert.status, "info")
