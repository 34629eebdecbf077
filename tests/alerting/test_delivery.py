"""Alerts arrive once, whatever happens to Slack, and never break what they report."""

from __future__ import annotations

import json
import logging
import multiprocessing
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from alerting import callbacks, send_slack_alert
from alerting.context import alert_of
from alerting.store import claim, settle, trouble_of
from pipeline.errors import CredentialsError, SourceUnavailableError
from pipeline.settings import settings
from sandbox.slack_inbox import SlackInbox

if TYPE_CHECKING:
    from tests.builders.alert_context import ContextOf

DOWN = SourceUnavailableError("Connection refused to postgres-source:5432")


def texts(slack: SlackInbox) -> list[str]:
    return [str(message.payload["text"]) for message in slack.messages()]


def test_without_a_webhook_one_warning_is_logged(
    context_of: ContextOf, caplog: pytest.LogCaptureFixture
) -> None:
    send_slack_alert(context_of(DOWN), "failure")
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.levelname for record in warnings] == ["WARNING"]
    assert "SLACK_WEBHOOK_URL is not set" in warnings[0].getMessage()


@pytest.mark.parametrize("answer", [429, 500])
def test_a_passing_refusal_of_slack_is_tried_again(
    slack: SlackInbox, context_of: ContextOf, answer: int
) -> None:
    slack.fail(answer, times=1, retry_after=1)
    send_slack_alert(context_of(DOWN), "failure")
    assert len(slack.messages()) == 1


@pytest.mark.parametrize(
    ("answer", "times", "retry_after"), [(500, 100, 1), (404, 1, 1), (429, 1, 3600)]
)
def test_slack_being_down_is_a_logged_error_and_nothing_else(
    slack: SlackInbox,
    context_of: ContextOf,
    caplog: pytest.LogCaptureFixture,
    answer: int,
    times: int,
    retry_after: int,
) -> None:
    slack.fail(answer, times=times, retry_after=retry_after)
    started = time.monotonic()
    send_slack_alert(context_of(DOWN), "failure")
    assert time.monotonic() - started < 25
    assert not slack.messages()
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert f"it answered {answer}" in errors[0]
    assert "/services/" not in caplog.text


def test_slack_never_answering_costs_the_time_limit_only(
    slack: SlackInbox,
    context_of: ContextOf,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALERT_TIMEOUT_SECONDS", "1")
    settings.cache_clear()
    slack.fail("never")
    started = time.monotonic()
    send_slack_alert(context_of(DOWN), "failure")
    assert time.monotonic() - started < 8
    assert "no answer" in caplog.text


def test_nobody_listening_is_a_logged_error(
    context_of: ContextOf, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "http://127.0.0.1:9/services/T000/B000/secret")
    settings.cache_clear()
    send_slack_alert(context_of(DOWN), "failure")
    assert "no answer" in caplog.text
    assert "B000" not in caplog.text


def test_the_same_failure_is_reported_once(slack: SlackInbox, context_of: ContextOf) -> None:
    for _ in range(3):
        callbacks.on_failure(context_of(DOWN, try_number=3))
    assert len(slack.messages()) == 1


def test_each_try_each_status_and_each_life_of_a_run_is_reported(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    callbacks.on_retry(context_of(DOWN, try_number=1))
    callbacks.on_retry(context_of(DOWN, try_number=2))
    callbacks.on_failure(context_of(DOWN, try_number=3))
    callbacks.on_failure(context_of(DOWN, try_number=3, clear_number=1))
    assert texts(slack) == [
        "[RETRY] extract_postgres_orders · 2026-11-22",
        "[RETRY] extract_postgres_orders · 2026-11-22",
        "[FAILURE] extract_postgres_orders · 2026-11-22",
        "[FAILURE] extract_postgres_orders · 2026-11-22",
    ]


def _claim(alert: Any, barrier: Any, results: Any) -> None:
    barrier.wait()
    results.put(claim(alert))


def test_of_many_processes_that_report_the_same_event_one_sends_it(context_of: ContextOf) -> None:
    processes = multiprocessing.get_context("fork")
    alert, barrier, results = (
        alert_of(context_of(DOWN), "failure"),
        processes.Barrier(8),
        processes.Queue(),
    )
    reporters = [processes.Process(target=_claim, args=(alert, barrier, results)) for _ in range(8)]
    for reporter in reporters:
        reporter.start()
    claimed = [results.get(timeout=60) for _ in reporters]
    for reporter in reporters:
        reporter.join(timeout=10)
    assert sorted(claimed) == [False] * 7 + [True]


def test_an_alert_that_slack_did_not_take_is_sent_by_the_next_report(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    slack.fail(404)
    callbacks.on_failure(context_of(DOWN))
    callbacks.on_failure(context_of(DOWN))
    callbacks.on_failure(context_of(DOWN))
    assert len(slack.messages()) == 1


def test_an_alert_being_sent_is_not_sent_beside(context_of: ContextOf) -> None:
    alert = alert_of(context_of(DOWN), "failure")
    assert claim(alert)
    assert not claim(alert)
    settle(alert, delivered=False)
    assert claim(alert)
    settle(alert, delivered=True)
    assert not claim(alert)


def test_a_store_that_cannot_be_reached_stops_no_alert(
    slack: SlackInbox,
    context_of: ContextOf,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "ALERTS_DATABASE_URL", "postgresql+psycopg2://alerts:hunter2@127.0.0.1:9/alerts"
    )
    settings.cache_clear()
    callbacks.on_failure(context_of(DOWN))
    assert len(slack.messages()) == 1
    assert "ALERTS_DATABASE_URL" in caplog.text
    assert "hunter2" not in caplog.text


def test_the_store_works_on_postgresql(
    context_of: ContextOf, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres.create_database("alerts")
    monkeypatch.setenv(
        "ALERTS_DATABASE_URL", postgres.dsn("alerts").replace("postgres://", "postgresql://")
    )
    settings.cache_clear()
    test_of_many_processes_that_report_the_same_event_one_sends_it(context_of)
    assert trouble_of("2026-11-22").failures == 1


def test_a_run_speaks_only_where_its_task_could_not(
    slack: SlackInbox, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "TASK_ALERT_TAKES", 0.2)
    callbacks.on_failure(context_of(DOWN, kind="notification"))
    callbacks.on_dag_failure({**context_of(kind="notification"), "reason": "task_failure"})
    assert len(slack.messages()) == 1
    for _ in range(2):
        callbacks.on_dag_failure(
            {**context_of(kind="notification", clear_number=1), "reason": "task_failure"}
        )
    assert len(slack.messages()) == 2
    assert "killed" in slack.messages()[1].text


def test_a_run_that_is_not_told_how_many_tries_there_are_says_only_what_it_knows(
    slack: SlackInbox, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task's second life, after tries 1 to 3; Airflow tells a DAG's callback of no maximum."""
    monkeypatch.setattr(callbacks, "TASK_ALERT_TAKES", 0.2)
    context = context_of(try_number=6, clear_number=1)
    context["ti"].max_tries = 0
    callbacks.on_dag_failure({**context, "reason": "task_failure"})
    (message,) = slack.messages()
    assert "Try: 6, the last: nothing more will be tried" in message.text.replace("*", "")


def test_a_try_that_was_killed_is_reported_by_the_next_one(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    callbacks.on_execute(context_of(try_number=1))
    assert not slack.messages()
    callbacks.on_execute(context_of(try_number=2))
    (message,) = slack.messages()
    assert message.payload["text"] == "[RETRY] extract_postgres_orders · 2026-11-22"
    assert "killed" in message.text and "1 of 3" in message.text


def test_of_two_tries_killed_at_once_each_is_reported_whoever_comes_next(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    """A try that is killed before it could report the one before it."""
    callbacks.on_execute(context_of(try_number=3))
    assert ["1 of 3" in slack.messages()[0].text, "2 of 3" in slack.messages()[1].text] == [
        True,
        True,
    ]


def test_a_run_whose_tries_were_all_killed_reports_each(
    slack: SlackInbox, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callbacks, "TASK_ALERT_TAKES", 0.2)
    callbacks.on_dag_failure({**context_of(try_number=3), "reason": "task_failure"})
    assert [text.split()[0] for text in texts(slack)] == ["[RETRY]", "[RETRY]", "[FAILURE]"]


def test_the_secrets_of_the_settings_are_masked_in_the_log_of_a_try(
    context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk._shared.secrets_masker import redact

    monkeypatch.setenv("POSTGRES_PASSWORD", "Tr0ub4dor-17")
    monkeypatch.setenv("STRIPE_API_KEY", "postgres")
    callbacks.on_execute(context_of())
    assert (
        redact("the password is Tr0ub4dor-17, the table postgres_orders")
        == "the password is ***, the table postgres_orders"
    )


def test_a_try_that_was_reported_is_not_reported_again_by_the_next_one(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    callbacks.on_retry(context_of(DOWN, try_number=1))
    callbacks.on_execute(context_of(try_number=2))
    assert len(slack.messages()) == 1


def test_a_cleared_task_does_not_take_its_earlier_life_for_a_killed_try(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    context = context_of(try_number=4, clear_number=1)
    context[
        "ti"
    ].max_tries = 5  # Airflow adds the tries of a cleared task to those it has had: 3 + 2
    callbacks.on_execute(context)
    assert not slack.messages()


def test_a_day_in_trouble_is_closed_by_one_green_message(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    callbacks.on_retry(context_of(DOWN, try_number=1))
    callbacks.on_retry(context_of(DOWN, try_number=2))
    callbacks.on_retry(
        context_of(DOWN, try_number=1, day="2026-11-21", dag_id="extract_postgres_customers")
    )
    for _ in range(2):
        send_slack_alert(
            context_of(dag_id="ecommerce_dbt", task_id="notify_success", kind="notification"),
            "success",
        )
    green = slack.messages()[3:]
    assert [message.payload["text"] for message in green] == [
        "[RECOVERED] ecommerce_dbt · notify_success · 2026-11-22"
    ]
    assert green[0].colour == "#36a64f"
    assert "day 2026-11-22 complete after 2 failures" in green[0].text


def test_a_day_without_trouble_is_a_plain_success(slack: SlackInbox, context_of: ContextOf) -> None:
    send_slack_alert(
        context_of(dag_id="ecommerce_dbt", task_id="notify_success", kind="notification"), "success"
    )
    assert texts(slack) == ["[SUCCESS] ecommerce_dbt · notify_success · 2026-11-22"]


class _Receiver(BaseHTTPRequestHandler):
    received: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).received.append(json.loads(body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a generic JSON endpoint has received."""
    _Receiver.received = []
    server = HTTPServer(("127.0.0.1", 0), _Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:{server.server_address[1]}/alerts")
    settings.cache_clear()
    yield _Receiver.received
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_second_channel_gets_the_alert_as_json(
    endpoint: list[dict[str, Any]], slack: SlackInbox, context_of: ContextOf
) -> None:
    send_slack_alert(context_of(CredentialsError("refused")), "failure")
    assert len(slack.messages()) == 1
    (alert,) = endpoint
    assert (alert["status"], alert["title"], alert["day"]) == (
        "failure",
        "[FAILURE] extract_postgres_orders",
        "2026-11-22",
    )
    assert (alert["exception"], alert["permanent"]) == ("CredentialsError: refused", True)


def test_one_channel_being_down_does_not_keep_the_other_from_the_alert(
    endpoint: list[dict[str, Any]], slack: SlackInbox, context_of: ContextOf
) -> None:
    slack.fail(404)
    send_slack_alert(context_of(DOWN), "failure")
    assert len(endpoint) == 1


def test_a_wrong_address_of_the_second_channel_is_a_logged_error(
    slack: SlackInbox,
    context_of: ContextOf,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALERT_WEBHOOK_URL", "file:///etc/passwd")
    settings.cache_clear()
    send_slack_alert(context_of(DOWN), "failure")
    assert "ALERT_WEBHOOK_URL is no http or https address" in caplog.text
    assert len(slack.messages()) == 1


def test_nothing_in_the_context_can_make_an_alert_raise(
    slack: SlackInbox, caplog: pytest.LogCaptureFixture
) -> None:
    contexts: list[dict[str, Any]] = [
        {},
        {"ti": None, "dag_run": None},
        {"ti": object()},
        {"params": None, "run_id": 5},
    ]
    for context in contexts:
        for status in ("success", "failure", "retry", "sla_breach", "recovery"):
            send_slack_alert(context, status)  # type: ignore[arg-type]
    callbacks.on_execute({})
