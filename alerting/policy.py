"""Retries, delays, SLAs and time limits per kind of task, in one table like the specification's.

    kind          retries  delay   SLA     execution timeout
    postgres      2        5 min   10 min  30 min
    stripe        2        5 min   10 min  30 min
    csv           2        5 min   10 min  30 min
    publish       2        10 s            5 min
    dbt_run       2        5 min   15 min  30 min     one SLA for the three dbt run tasks
    dbt_test      1        3 min   5 min   30 min
    reconcile     1        10 min          2 h        reads whole sources, once a week
    notification  0                        2 min
    the pipeline                   30 min             from 06:00 UTC, even if dbt never started

An SLA breach is reported and kills nothing; the execution timeout ends the try. DAG files import
this module to be drawn.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryDecision, RetryRule

from alerting.alert import PIPELINE_SLA
from alerting.callbacks import on_execute, on_failure, on_retry

__all__ = [
    "PIPELINE_SLA",
    "POLICIES",
    "RETRY_POLICY",
    "Kind",
    "RetryByFamily",
    "TaskPolicy",
    "default_args",
    "pipeline_sla",
    "policy",
]

Kind = Literal[
    "postgres", "stripe", "csv", "publish", "dbt_run", "dbt_test", "reconcile", "notification"
]


@dataclass(frozen=True)
class TaskPolicy:
    """How one kind of task is retried and when it is late.

    ``sla`` counts from the start of its run.
    """

    retries: int
    delay: timedelta
    sla: timedelta | None
    execution_timeout: timedelta


def _minutes(minutes: float) -> timedelta:
    return timedelta(minutes=minutes)


POLICIES: dict[Kind, TaskPolicy] = {
    "postgres": TaskPolicy(2, _minutes(5), _minutes(10), _minutes(30)),
    "stripe": TaskPolicy(2, _minutes(5), _minutes(10), _minutes(30)),
    "csv": TaskPolicy(2, _minutes(5), _minutes(10), _minutes(30)),
    "publish": TaskPolicy(2, timedelta(seconds=10), None, _minutes(5)),
    "dbt_run": TaskPolicy(2, _minutes(5), _minutes(15), _minutes(30)),
    "dbt_test": TaskPolicy(1, _minutes(3), _minutes(5), _minutes(30)),
    "reconcile": TaskPolicy(1, _minutes(10), None, _minutes(120)),
    "notification": TaskPolicy(0, timedelta(0), None, _minutes(2)),
}


class RetryByFamily(ExceptionRetryPolicy):
    """Never retries a permanent error; after a rate limit, waits as long as the server asked."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,
        max_tries: int,
        context: Mapping[str, Any] | None = None,
    ) -> RetryDecision:
        asked = getattr(exception, "retry_after", None)
        if isinstance(asked, int | float) and asked > 0:
            return RetryDecision.retry(
                timedelta(seconds=asked), f"The other side asked to wait {asked:g} seconds."
            )
        return super().evaluate(exception, try_number, max_tries, context)  # type: ignore[arg-type]


RETRY_POLICY = RetryByFamily(
    rules=[
        RetryRule(
            exception="pipeline.errors.PermanentError",
            action=RetryAction.FAIL,
            reason="A permanent error: somebody has to act before another try can work.",
        )
    ]
)


def policy(kind: Kind) -> TaskPolicy:
    """The policy of one kind.

    For tests on a real scheduler two settings shorten it, and only ever shorten:
    ``ALERTING_RETRY_DELAY_SECONDS=2`` every delay, ``ALERTING_SLA_SECONDS=postgres=5,dbt_test=1``
    the SLAs of some kinds.
    """
    found = POLICIES[kind]
    shortest = os.environ.get("ALERTING_RETRY_DELAY_SECONDS")
    delay = min(found.delay, timedelta(seconds=float(shortest))) if shortest else found.delay
    sla = None if found.sla is None else _shortened_sla(kind, found.sla)
    return TaskPolicy(found.retries, delay, sla, found.execution_timeout)


def pipeline_sla() -> timedelta:
    """How long after 06:00 UTC a day must be published.

    ``ALERTING_SLA_SECONDS=pipeline=60`` shortens it.
    """
    return _shortened_sla("pipeline", PIPELINE_SLA)


def _shortened_sla(name: str, sla: timedelta) -> timedelta:
    pairs = (
        part.partition("=")
        for part in os.environ.get("ALERTING_SLA_SECONDS", "").split(",")
        if part.strip()
    )
    seconds = {kind.strip(): float(value) for kind, _, value in pairs}
    return min(sla, timedelta(seconds=seconds[name])) if name in seconds else sla


def default_args(kind: Kind) -> dict[str, Any]:
    """What a DAG's or task's arguments are for a task of that kind."""
    chosen = policy(kind)
    return {
        "owner": "data-platform",
        "depends_on_past": False,
        "retries": chosen.retries,
        "retry_delay": chosen.delay,
        "retry_policy": RETRY_POLICY,
        "execution_timeout": chosen.execution_timeout,
        "on_execute_callback": on_execute,
        "on_failure_callback": on_failure,
        "on_retry_callback": on_retry,
    }
