"""What the tests of alerts stage and see: trouble for a while, messages and tries of a DAG."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote

import psycopg2
import requests

from pipeline.sources import source
from sandbox.stack import AIRFLOW_DATABASE
from tests.builders.running_pipeline import Pipeline, eventually

RETRY_DELAY = timedelta(seconds=5)
STACK_SETTINGS = {
    "ALERTING_RETRY_DELAY_SECONDS": f"{RETRY_DELAY.total_seconds():g}",
    # How soon a task is missed whose process and supervisor were killed; one that lives is heard of
    # every five seconds.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
    "STRIPE_MAX_RETRIES": "0",  # what Stripe asks for, the next try has to wait
    "ALERT_TIMEOUT_SECONDS": "2",
    # no scheduler is killed here, and the machine is busy
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "120",
}
LAST = "the last: nothing more will be tried"

# trouble
# --------------------------------------------------------------------------------------------------


@contextmanager
def password_changed(pipeline: Pipeline) -> Iterator[None]:
    """Somebody has given the pipeline's user another password: an error that does not pass."""
    user, password = (pipeline.stack.extra_env[f"POSTGRES_{name}"] for name in ("USER", "PASSWORD"))
    pipeline.shop(f"alter role {user} password 'changed'")
    try:
        yield
    finally:
        pipeline.shop(f"alter role {user} password %s", password)


@contextmanager
def stripe_answers(pipeline: Pipeline, **fault: object) -> Iterator[None]:
    """Requests to Stripe go wrong as ``sandbox.stripe_emulator.faults.Fault`` says."""
    faults = f"{pipeline.stack.stripe_url}/_emulator/faults"
    requests.post(faults, json=fault, timeout=10).raise_for_status()
    try:
        yield
    finally:
        requests.delete(faults, timeout=10).raise_for_status()


@contextmanager
def slack_answers(
    pipeline: Pipeline, answer: int | Literal["never"], *, times: int = 1000, retry_after: int = 1
) -> Iterator[None]:
    """Slack refuses that many messages with this HTTP status, or never answers them."""
    faults = f"{pipeline.stack.slack_url}/_inbox/faults"
    plan = {"answer": answer, "times": times, "retry_after": retry_after}
    requests.post(faults, json=plan, timeout=10).raise_for_status()
    try:
        yield
    finally:
        requests.post(faults, json={**plan, "times": 0}, timeout=10).raise_for_status()


# messages
# --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """One message in Slack: status, DAG, text without marks for bold, time of arrival, payload."""

    status: str
    dag_id: str
    text: str
    at: datetime
    payload: str


def told_about(pipeline: Pipeline, day: date, dag_id: str = "") -> list[Told]:
    """Messages that name a day, of one DAG or of all, oldest first."""
    found = []
    for message in pipeline.received():
        title = re.search(r"^\[(.+)\] (\w+)$", message["text"], re.MULTILINE)
        if f"Day: {day}" in message["text"] and title and dag_id in ("", title[2]):
            payload = json.dumps(message["payload"], ensure_ascii=False)
            found.append(
                Told(title[1], title[2], message["text"], moment(message["received_at"]), payload)
            )
    return found


def await_told(pipeline: Pipeline, day: date, dag_id: str, number: int = 1) -> list[Told]:
    """The same, as soon as there are that many."""

    def enough() -> list[Told]:
        messages = told_about(pipeline, day, dag_id)
        return messages if len(messages) >= number else []

    return eventually(f"{number} messages about {dag_id} on {day}", enough)


def statuses(messages: list[Told]) -> list[str]:
    return [message.status for message in messages]


# tries
# --------------------------------------------------------------------------------------------------


def await_state(
    pipeline: Pipeline, dag_id: str, run_id: str, state: str, try_number: int = 1
) -> dict[str, Any]:
    """The main task of a source's run as soon as that try of it is in that state."""

    def there() -> dict[str, Any]:
        task = pipeline.task(dag_id, run_id, dag_id)
        return task if (task["state"], task["try_number"]) == (state, try_number) else {}

    return eventually(f"try {try_number} of {dag_id} is {state}", there)


def await_success(pipeline: Pipeline, day: date, *names: str) -> None:
    """Wait for the runs of a day that were started before."""
    for name in names:
        dag_id = source(name).dag_id
        for run in pipeline.api.runs(dag_id):
            if run["partition_key"] == day.isoformat():
                assert pipeline.end_of(dag_id, run["dag_run_id"]) == "success", name


def each_try(pipeline: Pipeline, dag_id: str, run_id: str) -> list[dict[str, Any]]:
    """All tries of the main task of a source's run, the first one first."""
    path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{dag_id}/tries"
    return sorted(
        pipeline.api.call("GET", path)["task_instances"], key=lambda task: int(task["try_number"])
    )


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def metadata(pipeline: Pipeline, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Rows of Airflow's own database."""
    dsn = pipeline.stack.postgres.dsn(AIRFLOW_DATABASE)
    with closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall()


def announced(message: Told) -> datetime:
    """The time at which the message says that the next try starts."""
    said = re.search(r"the next one starts at (\d\d):(\d\d):(\d\d) UTC", message.text)
    assert said, message.text
    hour, minute, second = map(int, said.groups())
    at = message.at.replace(hour=hour, minute=minute, second=second, microsecond=0)
    return at if at > message.at - timedelta(hours=12) else at + timedelta(days=1)


def assert_next_try_was_announced(
    pipeline: Pipeline, told: Told, dag_id: str, run_id: str, delay: timedelta
) -> None:
    """The message of a failed try came at once, with the second at which the next one starts."""
    said = re.search(r"Try: (\d) of 3", told.text)
    assert said, told.text
    number = int(said[1])
    tries = each_try(pipeline, dag_id, run_id)
    ended, began = moment(tries[number - 1]["end_date"]), moment(tries[number]["start_date"])
    assert told.at - ended < timedelta(seconds=20)
    assert abs(announced(told) - ended - delay) < timedelta(seconds=3)
    assert began >= ended + delay
    address = f"/dags/{dag_id}/runs/{quote(run_id, safe='')}/tasks/{dag_id}?try_number={number}"
    assert address in told.payload
