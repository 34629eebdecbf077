"""Slack's bot, PagerDuty and apprise: what each is sent for one incident, from its first event to
its end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from alerting import callbacks, send_slack_alert
from alerting.alert import Alert
from alerting.incidents import open_incidents
from alerting.pagerduty import dedup_key
from alerting.severity import severity_of
from alerting.slack import deliver
from alerting.store import undelivered
from pipeline.days import current_day
from pipeline.errors import SourceUnavailableError
from pipeline.settings import settings
from tests.builders.http_double import Double, http_double

if TYPE_CHECKING:
    from tests.builders.alert_context import ContextOf

DOWN = SourceUnavailableError("Connection refused to postgres-source:5432")
TOKEN, KEY = "xoxb-1-secret", "0123456789abcdef0123456789abcdef"


def a_bad_morning(context_of: ContextOf) -> None:
    """A try fails, the last one fails, the day is complete in the end."""
    callbacks.on_retry(context_of(DOWN, try_number=1))
    callbacks.on_failure(context_of(DOWN, try_number=3))
    send_slack_alert(
        context_of(dag_id="ecommerce_dbt", task_id="notify_success", kind="notification"), "success"
    )


def slack_api(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """https://docs.slack.dev/reference/methods/chat.postMessage and chat.update, as strict."""
    if path not in ("/api/chat.postMessage", "/api/chat.update"):
        return 200, {"ok": False, "error": "unknown_method"}
    if not str(body.get("channel")).startswith("C"):
        return 200, {"ok": False, "error": "channel_not_found"}
    if path.endswith("update") and body.get("ts") != "1.000001":
        return 200, {"ok": False, "error": "message_not_found"}
    return 200, {"ok": True, "channel": "C0123", "ts": "1.000001"}


@pytest.fixture
def bot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    with http_double(slack_api) as double:
        monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
        monkeypatch.setenv("SLACK_CHANNEL", "C0123")
        monkeypatch.setenv("SLACK_API_URL", f"{double.url}/api/")
        settings.cache_clear()
        yield double


def test_a_bot_keeps_an_incident_in_one_message_with_a_thread(
    bot: Double, context_of: ContextOf
) -> None:
    a_bad_morning(context_of)
    sent = [
        (path.rpartition("/")[2], body["text"].split()[0], body.get("thread_ts") or body.get("ts"))
        for path, body in bot.requests
    ]
    assert sent == [
        ("chat.postMessage", "[RETRY]", None),  # the incident's message
        ("chat.postMessage", "[FAILURE]", "1.000001"),  # in its thread
        ("chat.update", "[FAILURE]", "1.000001"),
        ("chat.postMessage", "[RECOVERED]", "1.000001"),
        ("chat.update", "[CLOSED]", "1.000001"),
        ("chat.postMessage", "[RECOVERED]", None),  # the day's green message
    ]
    assert TOKEN not in json.dumps(bot.requests)


def test_what_slack_refuses_is_named_without_the_token(
    bot: Double,
    context_of: ContextOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SLACK_CHANNEL", "nowhere")
    settings.cache_clear()
    callbacks.on_failure(context_of(DOWN))
    assert "it answered channel_not_found" in undelivered()[0].reason
    assert TOKEN not in caplog.text


@pytest.fixture
def pagerduty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    """https://developer.pagerduty.com/docs/send-alert-event: what is required of an event."""

    def enqueue(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        whole = (
            path == "/v2/enqueue" and body["routing_key"] == KEY and len(body["dedup_key"]) < 256
        )
        if body["event_action"] == "trigger":
            payload = body["payload"]
            whole = whole and 0 < len(payload["summary"]) <= 1024 and bool(payload["source"])
            whole = whole and payload["severity"] in ("critical", "error", "warning", "info")
        return (202, {"status": "success"}) if whole else (400, {"status": "invalid event"})

    with http_double(enqueue) as double:
        monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", KEY)
        monkeypatch.setenv("PAGERDUTY_URL", double.url)
        settings.cache_clear()
        yield double


def test_pagerduty_opens_and_resolves_one_incident_and_is_not_told_of_a_try(
    pagerduty: Double, context_of: ContextOf
) -> None:
    a_bad_morning(context_of)
    events = [body for _, body in pagerduty.requests]
    assert [event["event_action"] for event in events] == ["trigger", "resolve"]
    assert events[0]["dedup_key"] == events[1]["dedup_key"]
    payload = events[0]["payload"]
    assert payload["summary"].endswith(f"SourceUnavailableError: {DOWN}")
    assert payload["severity"] == "error", "2026-11-22 is over: it can wait for the morning"
    assert [link["text"] for link in events[0]["links"]] == ["Log", "What to do"]
    assert undelivered() == [] and open_incidents() == []


def test_a_key_that_pagerduty_refuses_is_a_silence_that_is_shown(
    pagerduty: Double,
    context_of: ContextOf,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PAGERDUTY_ROUTING_KEY", "revoked")
    settings.cache_clear()
    callbacks.on_failure(context_of(DOWN))
    assert "PagerDuty: it answered 400" in undelivered()[0].reason
    assert "revoked" not in caplog.text


def test_a_notice_that_no_green_message_ends_opens_nothing_at_pagerduty(pagerduty: Double) -> None:
    for status in ("attention", "difference"):
        deliver(Alert(status, "ecommerce_sla_monitor", f"{status}|x", day=str(current_day())))
    assert pagerduty.requests == [] and undelivered() == []


def test_a_long_cause_has_a_key_that_pagerduty_takes() -> None:
    assert len(dedup_key("x" * 300)) < 256 and dedup_key("short") == "short"


def test_a_defect_of_one_channel_keeps_no_other_from_the_alert(
    pagerduty: Double, context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "no address")
    settings.cache_clear()
    callbacks.on_failure(context_of(DOWN))
    assert len(pagerduty.requests) == 1
    assert undelivered()[0].reason.startswith("Slack: ")


def test_only_what_endangers_the_mornings_figures_is_critical() -> None:
    today, before = str(current_day()), "2026-01-02"
    weights = {
        severity_of(Alert("failure", "d", "k", day=today)): "critical",
        severity_of(Alert("failure", "d", "k", day=before)): "error",
        severity_of(Alert("held", "d", "k", day=today)): "critical",
        severity_of(Alert("sla_breach", "d", "k", day=today, scope="the pipeline")): "critical",
        severity_of(Alert("sla_breach", "d", "k", day=today, scope="orders")): "warning",
        severity_of(Alert("retry", "d", "k", day=today)): "info",
        severity_of(Alert("success", "d", "k", day=today)): "info",
    }
    assert all(found == expected for found, expected in weights.items())


def test_apprise_sends_the_alert_as_plain_text(
    context_of: ContextOf, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with http_double(lambda path, body: (200 if "/taken" in path else 500, {})) as double:
        host = double.url.removeprefix("http://")
        urls = f"json://{host}/taken/secret json://{host}/refused/secret no-such-service://x"
        monkeypatch.setenv("ALERT_APPRISE_URLS", urls)
        settings.cache_clear()
        callbacks.on_failure(context_of(DOWN, try_number=3))
    (_, taken), _ = double.requests
    assert taken["title"] == "[FAILURE] extract_postgres_orders" and taken["type"] == "failure"
    assert f"Exception: SourceUnavailableError: {DOWN}" in taken["message"]
    assert "What to do: https://airflow.example.com/pipeline/runbook#" in taken["message"]
    reason = undelivered()[0].reason
    assert "apprise (json): the service did not take it" in reason
    assert "apprise (no-such-service): ALERT_APPRISE_URLS holds an address" in reason
    assert "secret" not in reason + caplog.text
