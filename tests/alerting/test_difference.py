"""What a reconciliation finds is told once per run, with the command that repairs it."""

from __future__ import annotations

import json

from alerting.difference import report_differences
from sandbox.slack_inbox import SlackInbox
from tests.builders.alert_context import ContextOf

FOUND = "orders, keys 0 to 9999: 1 changed (17)\n    source <b>"
REPAIR = "Run: python -m ingestion reconcile orders --repair"


def test_a_difference_is_told_once_per_run_with_what_repairs_it(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    first = context_of(dag_id="reconcile_sources", task_id="reconcile_orders", kind="reconcile")
    again = context_of(
        dag_id="reconcile_sources", task_id="reconcile_orders", kind="reconcile", try_number=2
    )
    assert report_differences(first, "orders", FOUND, REPAIR)
    assert not report_differences(again, "orders", FOUND, REPAIR)
    assert report_differences(first, "charges", FOUND, REPAIR)
    text = json.dumps(slack.messages()[0].payload, ensure_ascii=False)
    assert len(slack.messages()) == 2
    for part in (
        "[SOURCE DIFFERS] reconcile_sources",
        "1 changed (17)",
        REPAIR,
        "/pipeline/runbook#sourcediffers",
        "&lt;b&gt;",
    ):
        assert part in text


def test_the_runbook_says_what_to_do_about_a_difference() -> None:
    from alerting.runbook import sections

    assert "SourceDiffers" in sections()


def test_nothing_in_the_context_can_make_it_raise(slack: SlackInbox) -> None:
    report_differences({"ti": object()}, "orders", FOUND, REPAIR)
