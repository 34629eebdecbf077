"""What the monitor says beside the day itself, and the call that tells that it has run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import date, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from alerting import callbacks
from alerting.heartbeat import beat
from alerting.morning import incomplete_days, sentences_about, unreadable
from alerting.sla import report_morning, report_week
from pipeline.day_report import report_day
from pipeline.days import current_day
from pipeline.errors import SourceUnavailableError
from pipeline.records import DayState
from pipeline.settings import settings
from pipeline.sources import SOURCES
from sandbox.slack_inbox import SlackInbox
from tests.builders.alert_context import ContextOf

DAY = date(2026, 11, 22)


def back(days: int) -> date:
    return DAY - timedelta(days=days)


def loaded(*, orders: tuple[int, ...], others: tuple[int, ...]) -> dict[str, dict[date, int]]:
    """Rows by source and day, for days that lie so far back."""
    return {
        source.name: {back(days): 7 for days in (orders if source.name == "orders" else others)}
        for source in SOURCES
    }


def test_the_days_since_the_last_complete_one_are_named_with_what_they_lack() -> None:
    rows = loaded(orders=(9, 7, 4), others=(9, 8, 4, 3, 1))
    found = incomplete_days(rows, back(30), back(1))
    assert list(found) == [back(3), back(2), back(1)]
    assert sentences_about(found) == [
        f"{back(3)} lacks orders.",
        f"{back(1)} lacks orders.",
        f"Nothing was loaded for {back(2)}: back-fill, if they count.",
    ]


def test_days_before_the_first_load_and_behind_the_bound_are_no_gap() -> None:
    assert incomplete_days({}, back(30), back(1)) == {}
    assert list(incomplete_days(loaded(orders=(), others=(2,)), back(30), back(1))) == [
        back(2),
        back(1),
    ]
    assert min(incomplete_days(loaded(orders=(), others=(9,)), back(3), back(1))) == back(3)


def test_a_dag_file_that_cannot_be_read_is_named_with_its_error(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("x = 1")
    (tmp_path / "broken.py").write_text("import no_such_module")
    (tmp_path / "worse.py").write_text("def (")
    first, second = unreadable(tmp_path)
    assert first == (
        "The DAG file broken.py cannot be read, so its DAG starts no run: ModuleNotFoundError: "
        "No module named 'no_such_module'."
    )
    assert second.startswith("The DAG file worse.py cannot be read") and "SyntaxError" in second


def test_a_published_day_is_told_only_when_something_else_needs_attention(
    slack: SlackInbox,
) -> None:
    day = current_day()
    good = report_day(DayState(day, {}, {}), (), published_day=day)
    report_morning(good, [], "ecommerce_sla_monitor", "run")
    paused = report_day(
        DayState(day, dict.fromkeys(source.name for source in SOURCES), {}),  # type: ignore[arg-type]
        (),
        published_day=day,
        paused=["ecommerce_dbt"],
    )
    assert not slack.messages()
    for _ in range(2):
        report_morning(paused, [("Days before", "2026-11-20 lacks orders.")], "monitor", "run")
    (message,) = slack.messages()
    assert message.payload["text"] == f"[NEEDS ATTENTION] monitor · {day}"


def test_on_mondays_what_came_back_within_the_week_is_told_once(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    monday = date(2026, 11, 23)
    for number, day in enumerate(("2026-11-20", "2026-11-21", "2026-11-22")):
        error = SourceUnavailableError("no answer") if number else ValueError("once")
        callbacks.on_failure(context_of(error, day=day, clear_number=number))
    before = len(slack.messages())
    for day in (DAY, monday, monday):
        report_week(day, "ecommerce_sla_monitor", "run")
    (message,) = slack.messages()[before:]
    assert "SourceUnavailableError of PostgreSQL: 2026-11-21, 2026-11-22" in message.text
    assert "extract_postgres_orders.extract_postgres_orders" not in message.text


@pytest.fixture
def switch(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Paths that a dead-man's switch was called with."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.append(self.path)
            self.send_response(200 if len(called) == 1 else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("HEARTBEAT_URL", f"http://127.0.0.1:{server.server_address[1]}/ping/secret")
    settings.cache_clear()
    yield called
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_heartbeat_is_one_call_and_its_failure_a_logged_error(
    switch: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat()
    assert switch == ["/ping/secret"] and not caplog.records
    beat()
    monkeypatch.setenv("HEARTBEAT_URL", "http://127.0.0.1:9/ping/secret")
    settings.cache_clear()
    beat()
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert said == [
        "HEARTBEAT_URL answered 404.",
        "HEARTBEAT_URL did not answer (ConnectionError).",
    ]
    assert "secret" not in " ".join(said)
