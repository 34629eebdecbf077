"""A source's SLA as a deadline of Airflow: for runs that can be late, reported as any breach."""

from __future__ import annotations

import asyncio
import shutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow import plugins_manager
from airflow.serialization.decoders import decode_deadline_alert
from airflow.serialization.encoders import encode_deadline_alert

from alerting.deadlines import RunThatCanBeLate, on_missed, source_deadline
from pipeline.days import current_day
from pipeline.settings import PROJECT
from sandbox.slack_inbox import SlackInbox

SCOPE = "extract_postgres_orders"
TEN_MINUTES = timedelta(minutes=10)


def missed(day: str | None, state: str = "running", **run: Any) -> dict[str, Any]:
    """What Airflow hands to the callback of a missed deadline."""
    asked = {
        "dag_id": SCOPE,
        "dag_run_id": "scheduled__1",
        "run_after": "2026-11-22T06:00:00Z",
        "conf": {},
        **run,
    }
    return {
        "dag_run": {**asked, "partition_key": day, "state": state},
        "deadline": {"id": "1", "deadline_time": datetime(2026, 11, 22, 6, 10, tzinfo=UTC)},
    }


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Airflow's plugins folder with the project's plugin in it."""
    shutil.copy(PROJECT / "plugins" / "ecommerce_deadlines.py", tmp_path)
    monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(tmp_path))
    return tmp_path


def test_without_the_plugin_there_is_no_deadline(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A scheduler that meets a deadline whose plugin it does not have ends with an error."""
    monkeypatch.setenv("AIRFLOW__CORE__PLUGINS_FOLDER", str(tmp_path))
    assert source_deadline(SCOPE, TEN_MINUTES, "its load of orders") == []


@pytest.mark.usefixtures("plugin")
def test_the_plugin_makes_the_deadline_known_to_airflow(monkeypatch: pytest.MonkeyPatch) -> None:
    (deadline,) = source_deadline(SCOPE, TEN_MINUTES, "its load of orders")
    monkeypatch.syspath_prepend(str(PROJECT / "plugins"))
    from ecommerce_deadlines import EcommerceDeadlines  # type: ignore[import-not-found]

    monkeypatch.setattr(plugins_manager, "_get_plugins", lambda: ([EcommerceDeadlines()], {}))
    plugins_manager.get_deadline_references_plugins.cache_clear()
    try:
        read_back = decode_deadline_alert(encode_deadline_alert(deadline))
    finally:
        plugins_manager.get_deadline_references_plugins.cache_clear()
        sys.modules.pop("ecommerce_deadlines")
    assert (read_back.interval, read_back.callback.path) == (
        TEN_MINUTES,
        "alerting.deadlines.on_missed",
    )


def test_an_error_in_the_deadline_never_ends_the_scheduler(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert RunThatCanBeLate()._evaluate_with(session=None, dag_id=SCOPE, run_id="1") is None  # type: ignore[arg-type]
    assert "has no deadline" in caplog.text


def test_a_missed_deadline_is_reported_once_with_what_the_run_waits_for(slack: SlackInbox) -> None:
    for _ in range(2):
        asyncio.run(on_missed(missed(str(current_day())), SCOPE, 600, "its load of orders"))
    (message,) = slack.messages()
    text = message.text.replace("*", "")
    assert "its SLA of 10 min from 06:00:00 UTC ended at 06:10:00 UTC" in text
    assert "Waiting for: its load of orders" in text
    assert "the work goes on" in text


def test_a_run_that_has_failed_waits_for_somebody(slack: SlackInbox) -> None:
    asyncio.run(
        on_missed(
            missed(None, "failed", conf={"day": "2026-11-21"}), SCOPE, 600, "its load of orders"
        )
    )
    text = slack.messages()[0].text.replace("*", "")
    assert "Day: 2026-11-21" in text
    assert "Waiting for: somebody who clears its task" in text
    assert "the work goes on" not in text
