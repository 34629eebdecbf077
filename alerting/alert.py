"""One alert: what happened, free of any channel. Built from what Airflow hands to callbacks and
tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Status = Literal[
    "success", "failure", "retry", "sla_breach", "recovery", "difference", "attention", "held"
]

PIPELINE_SLA = timedelta(minutes=30)  # from 06:00 UTC of the day to its publication

LABELS: dict[Status, str] = {
    "success": "SUCCESS",
    "failure": "FAILURE",
    "retry": "RETRY",
    "sla_breach": "SLA BREACH",
    "recovery": "RECOVERED",
    "difference": "SOURCE DIFFERS",
    "attention": "NEEDS ATTENTION",
    "held": "HELD",
}


@dataclass(frozen=True)
class Alert:
    """Everything a channel can show. Texts are masked, but neither escaped nor cut: that is the
    channel's business.

    ``tries`` is how many tries there are in all; ``next_try_at`` is UTC; ``facts`` are label and
    text, in the order in which they help to act; ``key`` is the same for the same event, whichever
    process reports it.
    """

    status: Status
    dag_id: str
    key: str
    task_id: str | None = None
    day: str | None = None
    run_id: str | None = None
    run: str | None = None  # the run and the number of times it was cleared: one life of it
    seconds: float | None = None
    exception: str | None = None
    log_url: str | None = None
    try_number: int | None = None
    tries: int | None = None
    first_try: int = 1  # since the task was last cleared: Airflow counts on
    next_try_at: datetime | None = None
    permanent: bool = False  # not tried again although tries are left
    facts: tuple[tuple[str, str], ...] = ()
    runbook: str | None = None
    scope: str | None = None  # of a breach: what is late
    incident: str | None = None  # the one it belongs to
    closes: tuple[str, ...] = ()  # the incidents that it ends

    @property
    def label(self) -> str:
        return LABELS[self.status]

    @property
    def title(self) -> str:
        return f"[{self.label}] {self.dag_id}"


def duration(seconds: float) -> str:
    """``12m 34s``, ``1h 02m``, ``4.2s``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"
