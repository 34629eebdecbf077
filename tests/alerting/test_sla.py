"""A breach is reported once, recorded, kills nothing; back-fills and old days are never late."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from alerting.sla import Breach, can_be_late, report_breach, watched
from pipeline.days import current_day
from pipeline.settings import settings
from sandbox.slack_inbox import SlackInbox
from warehouse.duckdb.lock import warehouse_lock
from warehouse.settings import WarehouseSettings


def breaches() -> list[tuple[Any, ...]]:
    raw = settings(WarehouseSettings).duckdb_dir / "ecommerce_raw.duckdb"
    with (
        warehouse_lock(settings(WarehouseSettings)),
        duckdb.connect(str(raw), read_only=True) as connection,
    ):
        return connection.execute(
            "select scope, day, sla_seconds, waiting_for from loads.sla_breaches order by 1"
        ).fetchall()


def run(run_type: str = "scheduled") -> SimpleNamespace:
    return SimpleNamespace(
        dag_id="extract_postgres_orders", run_id="scheduled__1", run_type=run_type
    )


def until_reported(slack: SlackInbox) -> None:
    give_up_at = time.monotonic() + 10
    while not slack.messages() and time.monotonic() < give_up_at:
        time.sleep(0.05)


def test_a_late_load_is_reported_once_and_recorded(slack: SlackInbox) -> None:
    day, began = current_day(), datetime.now(UTC) - timedelta(minutes=11)
    for _ in range(2):
        with watched(
            "extract_postgres_orders",
            day,
            timedelta(minutes=10),
            began,
            waiting_for="orders from PostgreSQL",
            dag_run=run(),
        ):
            until_reported(slack)
    (message,) = slack.messages()
    assert message.payload["text"] == f"[SLA BREACH] extract_postgres_orders · {day}"
    assert "its SLA of 10 min from" in message.text
    assert "Waiting for: orders from PostgreSQL" in message.text.replace("*", "")
    assert "/dags/extract_postgres_orders/runs/scheduled__1|" in str(message.payload)
    assert breaches() == [("extract_postgres_orders", day, 600.0, "orders from PostgreSQL")]


def test_a_backfill_and_an_old_day_are_never_late(slack: SlackInbox) -> None:
    day, began = current_day(), datetime.now(UTC) - timedelta(minutes=11)
    with watched("x", day, timedelta(minutes=10), began, dag_run=run("backfill")):
        time.sleep(0.5)
    with watched("x", day - timedelta(days=1), timedelta(minutes=10), began, dag_run=run()):
        time.sleep(0.5)
    assert not slack.messages()
    assert (
        can_be_late(day)
        and not can_be_late(day, "backfill")
        and not can_be_late(day - timedelta(days=1))
    )


def test_work_that_takes_too_long_is_reported_while_it_goes_on(slack: SlackInbox) -> None:
    with watched("dbt run", current_day(), timedelta(seconds=0.3)):
        deadline_at = time.monotonic() + 10
        while not slack.messages() and time.monotonic() < deadline_at:
            time.sleep(0.05)
        assert len(slack.messages()) == 1
    assert "dbt run" in slack.messages()[0].text


def test_work_that_shares_an_sla_is_late_from_the_start_of_the_first(slack: SlackInbox) -> None:
    first = datetime.now(UTC) - timedelta(minutes=16)
    with watched("dbt run", current_day(), timedelta(minutes=15), since=first):
        deadline_at = time.monotonic() + 10
        while not slack.messages() and time.monotonic() < deadline_at:
            time.sleep(0.05)
    assert len(slack.messages()) == 1


def test_work_in_time_is_no_breach(slack: SlackInbox) -> None:
    with watched("dbt run", current_day(), timedelta(seconds=0.2)):
        pass
    with watched("dbt run", current_day() - timedelta(days=1), timedelta(0)):
        time.sleep(0.1)
    time.sleep(0.4)
    assert not slack.messages()


def test_the_alert_does_not_wait_for_the_warehouse(
    slack: SlackInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("alerting.sla.LOCK_SECONDS", 1)
    with warehouse_lock(settings(WarehouseSettings)):
        started = time.monotonic()
        assert report_breach(
            Breach("pipeline", current_day(), timedelta(minutes=30), datetime.now(UTC))
        )
        assert time.monotonic() - started < 10
    assert len(slack.messages()) == 1


def test_a_breach_recorded_before_the_first_load_does_not_spoil_the_warehouse() -> None:
    from pipeline.sources import source
    from warehouse import open_warehouse

    # No channel.
    assert (
        report_breach(
            Breach("the pipeline", current_day(), timedelta(minutes=30), datetime.now(UTC))
        )
        is False
    )
    assert len(breaches()) == 1
    assert open_warehouse().watermark(source("orders")) is None
    assert open_warehouse().load_records(current_day()) == ()
