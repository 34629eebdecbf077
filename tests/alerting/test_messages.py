"""What a message says: the specified fields, order and colours, inside Slack's limits, and nothing
in it that could do harm.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from slack_sdk.models.blocks import Block

from alerting.alert import Alert
from alerting.context import alert_of, killed_try
from alerting.errors_text import facts_of
from alerting.messages import COLOURS, escape, slack_message
from alerting.runbook import sections
from alerting.sla import Breach, breach_alert
from alerting.summary import recovery_sentence, revenue_line
from pipeline.errors import (
    CredentialsError,
    PipelineError,
    RateLimitedError,
    SourceUnavailableError,
)
from transform.errors import DataTestError, NodeFailure

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from tests.builders.alert_context import ContextOf

RUNBOOK = "https://airflow.example.com/pipeline/runbook"
SIX = datetime(2026, 11, 22, 6, tzinfo=UTC)
FAILED_TESTS = DataTestError(
    "2 of 41 tests of 2026-11-22 failed; its marts are not published.",
    (
        NodeFailure(
            "unique_fct_orders_order_id",
            "Got 2 results, configured to fail if != 0",
            2,
            ({"unique_field": "17"},),
        ),
        NodeFailure(
            "refunds_never_exceed_charges",
            "Got 1 result",
            1,
            ({"charge_id": "ch_1", "order_id": "17"},),
            "compiled/x.sql",
        ),
    ),
)


def alerts(context_of: ContextOf) -> dict[str, Alert]:
    """One of each kind."""
    success = alert_of(
        context_of(dag_id="ecommerce_dbt", task_id="notify_success", kind="notification"), "success"
    )
    success = replace(success, seconds=754.0)
    dbt = {"dag_id": "ecommerce_dbt", "task_id": "dbt_test_all", "kind": "dbt_test"}
    source = context_of(SourceUnavailableError("Connection refused to postgres-source:5432"))
    late = Breach(
        "ecommerce_dbt",
        date(2026, 11, 22),
        timedelta(minutes=30),
        datetime(2026, 11, 22, 6, tzinfo=UTC),
        "orders, charges",
    )
    return {
        "success": success,
        "retry": alert_of(source, "retry"),
        "failure": alert_of(
            context_of(SourceUnavailableError("Connection refused"), try_number=3), "failure"
        ),
        "failure_permanent": alert_of(
            context_of(CredentialsError("The database refused the password of `loader`.")),
            "failure",
        ),
        "retry_rate_limited": alert_of(
            context_of(RateLimitedError("Stripe asks to wait.", 17), kind="stripe"), "retry"
        ),
        "failure_tests": alert_of(context_of(FAILED_TESTS, try_number=2, **dbt), "failure"),
        "retry_killed": killed_try(context_of(try_number=2), 1),
        "sla_breach": breach_alert(late),
    }


KINDS = (
    "success",
    "retry",
    "failure",
    "failure_permanent",
    "retry_rate_limited",
    "failure_tests",
    "retry_killed",
    "sla_breach",
)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_message_reads_as_agreed(
    context_of: ContextOf, kind: str, snapshot: SnapshotAssertion
) -> None:
    assert slack_message(alerts(context_of)[kind]) == snapshot


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_is_valid_block_kit(context_of: ContextOf, kind: str) -> None:
    blocks = Block.parse_all(slack_message(alerts(context_of)[kind])["attachments"][0]["blocks"])
    assert blocks
    for block in blocks:
        block.validate_json()


def test_success_is_green_and_failure_red_as_specified() -> None:
    assert (COLOURS["success"], COLOURS["failure"]) == ("#36a64f", "#ff0000")
    assert len({COLOURS[status] for status in ("success", "failure", "retry", "sla_breach")}) == 4


def test_the_fields_come_in_the_specified_order(context_of: ContextOf) -> None:
    text = json.dumps(slack_message(alerts(context_of)["failure"])["attachments"])
    order = [
        text.index(part)
        for part in (
            "[FAILURE]",
            "*Task:*",
            "*Day:*",
            "*Duration:*",
            "*Exception:*",
            "*Log:*",
            "*Try:*",
        )
    ]
    assert order == sorted(order)


def test_a_message_of_any_length_stays_inside_slacks_limits(context_of: ContextOf) -> None:
    long = "&<>`😀\n" * 10_000
    failures = tuple(
        NodeFailure(f"test_{n}_{'x' * 300}", long, n, ({"k" * 500: long},)) for n in range(200)
    )
    message = slack_message(alert_of(context_of(DataTestError(long, failures)), "failure"))
    assert len(json.dumps(message)) < 40_000
    for block in Block.parse_all(message["attachments"][0]["blocks"]):
        block.validate_json()
        assert len(block.to_dict()["text"]["text"]) <= 3000


def test_text_from_outside_can_mention_nobody(context_of: ContextOf) -> None:
    hostile = (
        "<!channel> <@U123> <https://evil.example|click> & ```end of code``` "
        "*bold*\x00\x1b[31m 😀 ü"
    )
    message = json.dumps(
        slack_message(alert_of(context_of(ValueError(hostile)), "failure")), ensure_ascii=False
    )
    assert (
        "<!channel>" not in message and "<@U123>" not in message and "<https://evil" not in message
    )
    assert "&lt;!channel&gt;" in message
    assert message.count("```") == 2
    assert "😀 ü" in message
    assert "\\u0000" not in message and "\\u001b" not in message


@pytest.mark.parametrize("limit", [10, 50, 51, 52, 53, 500])
def test_a_cut_never_splits_an_escape(limit: int) -> None:
    cut = escape("<&>" * 200, limit)
    assert len(cut) <= limit
    assert cut.replace("&lt;", "").replace("&amp;", "").replace("&gt;", "").strip() == "…"


def test_a_cut_text_keeps_its_beginning_and_its_end() -> None:
    cut = escape("the beginning " + "x" * 5000 + " the end", 100)
    assert cut.startswith("the beginning") and cut.endswith("the end")


def test_more_failures_than_fit_are_counted() -> None:
    failures = tuple(NodeFailure(f"test_{n}", "Got 1 result", 1) for n in range(12))
    ((label, text),) = facts_of(DataTestError("12 failed", failures))
    assert label == "Failed"
    assert text.splitlines()[-1] == "• and 7 more"


def test_a_context_with_nothing_in_it_still_makes_a_message() -> None:
    for status in COLOURS:
        assert slack_message(alert_of({}, status))["text"].startswith("[")


def test_a_context_without_start_has_no_duration(context_of: ContextOf) -> None:
    assert "Duration" not in json.dumps(
        slack_message(alert_of(context_of(ValueError("x"), seconds=None), "failure"))
    )


def test_a_success_takes_as_long_as_its_run(context_of: ContextOf) -> None:
    alert = alert_of(
        context_of(dag_id="ecommerce_dbt", task_id="notify_success", seconds=1.0), "success"
    )
    assert alert.seconds == pytest.approx((datetime.now(UTC) - SIX).total_seconds(), abs=60)


def test_a_run_alone_is_enough_for_a_link(context_of: ContextOf) -> None:
    whole = context_of()
    alert = alert_of({"dag": whole["dag"], "run_id": "manual__1", "reason": "timed_out"}, "failure")
    assert (
        alert.log_url == "https://airflow.example.com/dags/extract_postgres_orders/runs/manual__1"
    )
    assert (
        alert.exception is not None
        and "killed" in alert.exception
        and "timed_out" in alert.exception
    )
    assert "the next try" not in alert.exception


def test_the_next_try_is_announced_with_its_time(context_of: ContextOf) -> None:
    at = alert_of(context_of(SourceUnavailableError("x")), "retry").next_try_at
    assert at == datetime(2026, 11, 22, 6, 7, 15, tzinfo=UTC)
    limited = alert_of(context_of(RateLimitedError("x", retry_after=17)), "retry").next_try_at
    assert limited == datetime(2026, 11, 22, 6, 2, 32, tzinfo=UTC)


def _classes(base: type[BaseException]) -> set[type[BaseException]]:
    return {base, *(found for child in base.__subclasses__() for found in _classes(child))}


def test_the_runbook_has_a_section_for_every_error() -> None:
    families = {"PipelineError", "PermanentError", "PassingError", "TransformError"}
    ours = {
        kind.__name__
        for kind in _classes(PipelineError)
        if kind.__module__.startswith(("pipeline.", "ingestion.", "transform."))
    }
    assert ours - families <= sections()


def test_an_alert_links_the_runbook_section_of_its_error(
    context_of: ContextOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        alert_of(context_of(CredentialsError("x")), "failure").runbook
        == f"{RUNBOOK}#credentialserror"
    )
    assert (
        alert_of(context_of(type("NewError", (CredentialsError,), {})("x")), "failure").runbook
        == f"{RUNBOOK}#credentialserror"
    )
    assert alert_of(context_of(ZeroDivisionError()), "failure").runbook == f"{RUNBOOK}#othererror"
    assert alert_of(context_of(), "failure").runbook == f"{RUNBOOK}#killedprocess"


def test_revenue_is_compared_with_the_same_weekday_of_the_week_before() -> None:
    def query(sql: str) -> list[tuple[object, ...]]:
        assert "'2026-11-21'" in sql and "'2026-11-14'" in sql
        return [(date(2026, 11, 21), 1100), (date(2026, 11, 14), 1000)]

    assert (
        revenue_line(query, date(2026, 11, 22), "USD")
        == "1,100.00 USD on Sat 2026-11-21, +10.0% against 1,000.00 on Sat 2026-11-14"
    )
    assert revenue_line(lambda _: [], date(2026, 11, 22), "USD") is None


def test_a_recovery_says_after_what_and_how_late() -> None:
    from alerting.store import Trouble

    sentence = recovery_sentence(date(2026, 11, 22), Trouble(failures=2), timedelta(minutes=41))
    assert sentence == "day 2026-11-22 complete after 2 failures, 41 min late"
    assert (
        recovery_sentence(date(2026, 11, 22), Trouble(1, 1), None)
        == "day 2026-11-22 complete after 1 failure and 1 SLA breach"
    )


@pytest.mark.parametrize(
    ("late", "said"),
    [
        (timedelta(minutes=90), "90 min"),
        (timedelta(hours=13, minutes=5), "13 h 5 min"),
        (timedelta(days=3, hours=2), "3 days"),
    ],
)
def test_lateness_is_said_in_the_unit_in_which_people_think_of_it(
    late: timedelta, said: str
) -> None:
    from alerting.store import Trouble

    sentence = recovery_sentence(date(2026, 11, 22), Trouble(failures=1), late)
    assert sentence == f"day 2026-11-22 complete after 1 failure, {said} late"
