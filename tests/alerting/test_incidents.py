"""What fails for one reason is one incident, from its first event to the day's green message."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from alerting import callbacks, incidents, send_slack_alert
from alerting.incidents import open_incidents
from alerting.sla import Breach, report_breach
from alerting.store import trouble_of, undelivered
from pipeline.errors import ContractError, CredentialsError, SourceUnavailableError
from sandbox.slack_inbox import SlackInbox

if TYPE_CHECKING:
    from tests.builders.alert_context import ContextOf

DOWN = SourceUnavailableError("Connection refused to postgres-source:5432")
POSTGRES = ("orders", "customers", "products", "order_items")
DAY = "2026-11-22"


def titles(slack: SlackInbox) -> list[str]:
    return [str(message.payload["text"]) for message in slack.messages()]


def green(context_of: ContextOf, day: str = DAY) -> None:
    context = context_of(
        dag_id="ecommerce_dbt", task_id="notify_success", kind="notification", day=day
    )
    send_slack_alert(context, "success")


def test_four_tables_of_a_database_that_is_down_are_one_incident_with_one_message_a_try(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    for number, report in (
        (1, callbacks.on_retry),
        (2, callbacks.on_retry),
        (3, callbacks.on_failure),
    ):
        for name in POSTGRES:
            report(context_of(DOWN, dag_id=f"extract_postgres_{name}", try_number=number))
    assert [title.split()[0] for title in titles(slack)] == ["[RETRY]", "[RETRY]", "[FAILURE]"]
    last = slack.messages()[-1].text
    assert "extract_postgres_customers, extract_postgres_order_items" in last
    (incident,) = open_incidents()
    assert (incident.day, incident.status) == (DAY, "failure")
    assert incident.title == f"SourceUnavailableError: {DOWN}"
    assert {task.partition(".")[0] for task in incident.tasks} == {
        f"extract_postgres_{name}" for name in POSTGRES
    }
    assert trouble_of(DAY).failures == 12, "each try counts, told or not"
    green(context_of)
    assert open_incidents() == []
    assert titles(slack)[-1].startswith("[RECOVERED]") and len(titles(slack)) == 4


def test_other_causes_and_other_days_are_incidents_of_their_own(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    broken = ContractError("orders has no column total")
    callbacks.on_failure(context_of(DOWN))
    callbacks.on_failure(context_of(DOWN, day="2026-11-21", clear_number=1))
    callbacks.on_failure(context_of(broken, dag_id="extract_postgres_products"))
    callbacks.on_failure(context_of(broken, dag_id="extract_postgres_customers"))
    callbacks.on_failure(context_of(CredentialsError("401"), dag_id="extract_stripe_charges"))
    assert len(open_incidents()) == len(titles(slack)) == 5
    green(context_of)
    assert [incident.day for incident in open_incidents()] == ["2026-11-21"]


def test_a_locked_table_is_a_cause_of_its_own_and_a_silent_database_is_not(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    said = (
        "Somebody has locked it for more than 30s.",
        "The database did not answer, or broke off.",
    )
    for number, why in enumerate(said):
        for name in ("orders", "customers"):
            error = SourceUnavailableError(f"Table public.{name}: {why}")
            dag_id = f"extract_postgres_{name}"
            callbacks.on_failure(context_of(error, dag_id=dag_id, clear_number=number))
    assert len(open_incidents()) == len(titles(slack)) == 3


def test_a_task_that_fails_again_tells_itself_every_time(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    for life in range(3):
        callbacks.on_failure(context_of(DOWN, clear_number=life))
    assert len(titles(slack)) == 3 and len(open_incidents()) == 1


def test_after_a_recovery_the_same_cause_is_a_new_incident(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    callbacks.on_failure(context_of(DOWN))
    (first,) = open_incidents()
    green(context_of)
    callbacks.on_failure(context_of(DOWN))  # the same event once more: a late callback
    assert open_incidents() == []
    callbacks.on_failure(context_of(DOWN, dag_id="extract_postgres_customers"))
    (second,) = open_incidents()
    assert second.id != first.id and len(titles(slack)) == 3


def test_a_late_day_is_part_of_the_incident_that_makes_it_late(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    callbacks.on_failure(context_of(DOWN))
    begin, sla = datetime(2026, 11, 22, 6, tzinfo=UTC), timedelta(minutes=10)
    day = date(2026, 11, 22)
    report_breach(Breach("orders", day, sla, begin, dag_id="extract_postgres_orders"))
    report_breach(Breach("the pipeline", day, sla, begin, dag_id="ecommerce_sla_monitor"))
    (incident,) = open_incidents()
    assert incident.status == "failure" and incident.title.startswith("SourceUnavailableError")
    assert len(titles(slack)) == 3, "a breach is told once, whoever caused it"
    report_breach(Breach("charges", day, sla, begin, dag_id="extract_stripe_charges"))
    assert len(open_incidents()) == 2


def test_who_looks_after_an_incident_is_kept_and_a_snoozed_one_is_quiet(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    callbacks.on_retry(context_of(DOWN, try_number=1))
    (incident,) = open_incidents()
    assert incidents.acknowledge(incident.id, "mia")
    assert open_incidents()[0].handled_by.startswith("acknowledged by mia at ")
    assert incidents.snooze(incident.id, "mia", 60)
    assert open_incidents()[0].handled_by.startswith("snoozed by mia until ")
    callbacks.on_retry(context_of(DOWN, try_number=2))
    assert len(titles(slack)) == 1
    green(context_of)
    assert titles(slack)[-1].startswith("[RECOVERED]")
    assert not incidents.acknowledge(incident.id, "mia"), "it is closed"


def test_what_reached_nobody_is_told_by_the_next_message_that_gets_through(
    slack: SlackInbox, context_of: ContextOf, caplog: pytest.LogCaptureFixture
) -> None:
    slack.fail(404, times=2)
    callbacks.on_failure(context_of(DOWN))
    callbacks.on_failure(context_of(CredentialsError("401"), dag_id="extract_stripe_charges"))
    assert [str(missed).split(" UTC ")[1] for missed in undelivered()] == [
        f"[FAILURE] extract_postgres_orders {DAY}",
        f"[FAILURE] extract_stripe_charges {DAY}",
    ]
    green(context_of)
    (told,) = slack.messages()
    assert "Not delivered before this" in told.text
    assert "[FAILURE] extract_stripe_charges" in told.text and "it answered 404" in told.text
    assert f"day {DAY} complete after 2 failures" in told.text, "untold ones count as well"
    assert undelivered() == []


def test_a_cause_whose_message_did_not_get_through_is_told_by_the_next_task(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    slack.fail(404)
    callbacks.on_failure(context_of(DOWN))
    callbacks.on_failure(context_of(DOWN, dag_id="extract_postgres_customers"))
    callbacks.on_failure(context_of(DOWN, dag_id="extract_postgres_products"))
    assert titles(slack) == ["[FAILURE] extract_postgres_customers · 2026-11-22"]


def test_bad_mornings_drawn_at_random_end_with_nothing_open_lost_or_told_twice(
    slack: SlackInbox, context_of: ContextOf
) -> None:
    """Twenty mornings: sources that are down, keys that are refused, broken tables, tries that
    repeat, tasks that are cleared, and a Slack that is away for a while.
    """
    chance, told_before = random.Random(20261126), 0
    shared = (DOWN, CredentialsError("401"))
    for number in range(20):
        day = str(date(2026, 10, 1) + timedelta(days=number))
        causes: set[str] = set()
        reports = 0
        if away := chance.random() < 0.3:
            slack.fail(404, times=1000)
        for name in chance.sample(POSTGRES, chance.randint(1, 4)):
            own = ContractError(f"{name} has no column total")
            error = chance.choice((*shared, own))
            causes.add(name if error is own else type(error).__name__)
            for number_of_try in range(1, chance.randint(2, 4)):
                dag_id = f"extract_postgres_{name}"
                context = context_of(error, dag_id=dag_id, day=day, try_number=number_of_try)
                context["dag_run"].run_id = context["run_id"] = f"{day}-{name}"
                context["ti"].run_id = context["run_id"]
                report = callbacks.on_failure if number_of_try == 3 else callbacks.on_retry
                for _ in range(chance.randint(1, 2)):  # a callback can be called twice
                    report(context)
                reports += 1
        assert len([one for one in open_incidents() if one.day == day]) == len(causes)
        assert trouble_of(day).failures == reports
        slack.fail(404, times=0)
        green_context = context_of(
            dag_id="ecommerce_dbt", task_id="notify_success", kind="notification", day=day,
            clear_number=number,
        )  # fmt: skip
        send_slack_alert(green_context, "success")
        assert open_incidents() == [] and undelivered() == []
        messages = slack.messages()[told_before:]
        told_before += len(messages)
        assert messages[-1].payload["text"].startswith("[RECOVERED]")
        assert ("Not delivered before this" in messages[-1].text) == away
        texts = [message.text for message in messages]
        assert len(texts) == len(set(texts)) <= reports + 1
