"""Reads what Airflow hands to callbacks and tasks into an ``Alert``; each part may be missing.

A task's own callbacks know the exception. Those that the dag-processor runs for killed processes do
not, and a DAG's callback may know no more than the DAG and the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from alerting.alert import Alert, Status
from alerting.errors_text import describe, facts_of
from alerting.runbook import runbook_link
from alerting.settings import AlertingSettings
from pipeline.days import known_day
from pipeline.masking import mask
from pipeline.settings import settings as configured

KILLED = (
    "The process ended without an error of its own: killed from outside, out of memory, or its "
    "machine is gone. What it had not committed is undone; the next try finishes the job."
)
# The last try can have been ended by a person as well, at any instant, the one of its commit too.
ENDED = (
    "The task ended without an error of its own: it was marked failed by hand, killed from "
    "outside, out of memory, or its machine is gone. It commits whole or not at all, and may have "
    "been committed; clear the task to finish the job, which harms nothing if it was."
)
# Airflow's reason for a run that failed because a task did: nothing that the alert does not say
TASK_FAILED = "task_failure"


def alert_of(context: Mapping[str, Any], status: Status) -> Alert:
    """The alert for one event of one run. Never fails because the context lacks something."""
    ti = context.get("ti") or context.get("task_instance")
    run = context.get("dag_run")
    dag_id = _first("dag_id", ti, context.get("dag"), run) or "?"
    run_id = _first("run_id", ti, context, run) or _attribute(run, "dag_run_id")
    task_id, map_index = _attribute(ti, "task_id"), _attribute(ti, "map_index")
    try_number = _attribute(ti, "try_number") or None
    run_key = f"{dag_id}|{run_id}|{_attribute(run, 'clear_number') or 0}"
    # A day has one green message, whichever of the two it is.
    event = "success" if status == "recovery" else status
    alert = Alert(
        status=status,
        dag_id=dag_id,
        key=f"{run_key}|{task_id}|{map_index}|{try_number}|{event}",
        run=run_key,
        task_id=task_id,
        day=str(day) if (day := known_day(run)) else None,
        run_id=run_id,
        log_url=log_url(dag_id, run_id, task_id, map_index, try_number),
    )
    if status not in ("failure", "retry"):
        return replace(alert, seconds=_seconds(ti, run))
    exception, tries = _exception(context), _tries(context, ti)
    decision = _decision(context, exception, try_number, tries)
    delay = _delay(context, decision)
    stopped = _attribute(_attribute(decision, "action"), "value") == "fail"
    return replace(
        alert,
        seconds=_seconds(ti, None),
        exception=_text(context, exception, status),
        try_number=try_number,
        tries=tries,
        first_try=first_try(context) or 1,
        next_try_at=_ended(ti) + delay if status == "retry" and delay is not None else None,
        permanent=status == "failure" and stopped,
        facts=tuple((label, mask(text)) for label, text in facts_of(exception)),
        runbook=runbook_link(exception, configured(AlertingSettings).runbook()),
    )


def killed_try(context: Mapping[str, Any], try_number: int) -> Alert:
    """The alert for an earlier try of the same task whose process was killed, seen from the try
    that follows.
    """
    now = alert_of({**context, "exception": None, "reason": None}, "retry")
    return replace(
        now,
        key=now.key.replace(f"|{now.try_number}|retry", f"|{try_number}|retry"),
        try_number=try_number,
        seconds=None,
        next_try_at=None,
        log_url=log_url(
            now.dag_id,
            now.run_id,
            now.task_id,
            _attribute(context.get("ti"), "map_index"),
            try_number,
        ),
        facts=(("Now", f"try {now.try_number} has begun"),),
    )


def log_url(
    dag_id: str,
    run_id: str | None,
    task_id: str | None,
    map_index: int | None,
    try_number: int | None,
) -> str | None:
    """Where Airflow's UI shows the log of that try, or the run where no task is known."""
    if not run_id:
        return None
    base = configured(AlertingSettings).airflow_ui_url.rstrip("/")
    url = f"{base}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}"
    if not task_id:
        return url
    mapped = f"/mapped/{map_index}" if map_index is not None and map_index >= 0 else ""
    return f"{url}/tasks/{quote(task_id)}{mapped}" + (
        f"?try_number={try_number}" if try_number else ""
    )


def _attribute(thing: Any, name: str) -> Any:
    if isinstance(thing, Mapping):  # deadline callbacks get the run as plain JSON
        return thing.get(name)
    return getattr(thing, name, None)


def _first(name: str, *things: Any) -> Any:
    """The first of these that has something under that name."""
    return next((found for thing in things if (found := _attribute(thing, name))), None)


def _exception(context: Mapping[str, Any]) -> BaseException | None:
    exception = context.get("exception")
    if isinstance(exception, BaseException):
        return exception
    return Exception(exception) if isinstance(exception, str) and exception else None


def _text(context: Mapping[str, Any], exception: BaseException | None, status: Status) -> str:
    if exception is not None:
        return mask(describe(exception))
    killed = KILLED if status == "retry" else ENDED
    reason = context.get("reason")  # DAG-level callbacks have one
    return mask(
        f"{killed} (Airflow says: {reason})" if reason not in (None, "", TASK_FAILED) else killed
    )


def first_try(context: Mapping[str, Any]) -> int | None:
    """The first try of the task since it was last cleared; None where that cannot be told.

    Airflow adds the tries of a cleared task to those it has had. A DAG's callback is not told how
    many that makes.
    """
    task_instance, retries = context.get("ti"), _attribute(context.get("task"), "retries") or 0
    most = _attribute(task_instance, "max_tries") or 0
    if most >= retries:
        return int(most - retries + 1)
    return 1 if not _attribute(context.get("dag_run"), "clear_number") else None


def _tries(context: Mapping[str, Any], task_instance: Any) -> int | None:
    most = max(
        _attribute(task_instance, "max_tries") or 0, _attribute(context.get("task"), "retries") or 0
    )
    has_had = _attribute(task_instance, "try_number") or 0
    return int(most) + 1 if task_instance is not None and has_had <= most + 1 else None


def _seconds(task_instance: Any, run: Any) -> float | None:
    """How long the try took, or the run up to now where the alert is about the run."""
    start, end = _attribute(run, "start_date"), datetime.now(UTC)
    if not isinstance(start, datetime):
        start, end = _attribute(task_instance, "start_date"), _ended(task_instance)
    return max((end - start).total_seconds(), 0.0) if isinstance(start, datetime) else None


def _ended(task_instance: Any) -> datetime:
    end = _attribute(task_instance, "end_date")
    return end if isinstance(end, datetime) else datetime.now(UTC)


def _decision(
    context: Mapping[str, Any],
    exception: BaseException | None,
    try_number: int | None,
    tries: int | None,
) -> Any:
    """What the task's retry policy decided: Airflow does not pass it on, so it is asked again."""
    policy = _attribute(context.get("task"), "retry_policy")
    if policy is None or exception is None:
        return None
    return policy.evaluate(exception, try_number or 1, (tries or 1) - 1, context)


def _delay(context: Mapping[str, Any], decision: Any) -> timedelta | None:
    delay = _attribute(decision, "retry_delay") or _attribute(context.get("task"), "retry_delay")
    return delay if isinstance(delay, timedelta) else None
