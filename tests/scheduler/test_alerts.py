"""What Slack is told by the running pipeline: every failed try once, the last one as the last.

The scenes are of different days and sources, so that they overlap; the days are in the order in
which the shop lived them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta

import psutil
import pytest

from pipeline.sources import source
from tests.builders.alert_scenes import (
    LAST,
    RETRY_DELAY,
    STACK_SETTINGS,
    assert_next_try_was_announced,
    await_state,
    await_success,
    await_told,
    password_changed,
    slack_answers,
    statuses,
    stripe_answers,
    told_about,
)
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago, eventually

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(600)]

STACK = "alerts"
SETTINGS = STACK_SETTINGS
RETRY_AFTER = 20  # seconds
ORDERS, CUSTOMERS, PRODUCTS, ORDER_ITEMS, CHARGES = (
    source(name).dag_id for name in ("orders", "customers", "products", "order_items", "charges")
)
ALL_BUT_CHARGES = tuple(name for name in ALL_SOURCES if name != "charges")
SECRET = "sk_live_" + "51Habc" * 4
HOSTILE = (
    f"<!channel> 🔥 {SECRET} postgresql://loader:hunter2@db/shop {{}} ```end``` "
    + "very long " * 1000
)


@pytest.fixture(scope="module", autouse=True)
def rate_limited(pipeline: Pipeline) -> str:
    """A load of charges that Stripe asks to come back later, begun first, because it has to wait;
    the id of its run.
    """
    pipeline.start(days_ago(8), *ALL_BUT_CHARGES)
    with stripe_answers(pipeline, kind="429", retry_after=RETRY_AFTER):
        run_id = pipeline.start(days_ago(10), "charges")["charges"]
        await_told(pipeline, days_ago(10), CHARGES)
    return run_id


@contextmanager
def locked(pipeline: Pipeline, *tables: str) -> Iterator[None]:
    """Nobody can read the tables: loads of them hang."""
    with ExitStack() as locks:
        for table in tables:
            locks.enter_context(pipeline.table_locked(table))
        yield


def test_bad_credentials_are_tried_once_and_the_alert_says_that_somebody_has_to_act(
    pipeline: Pipeline,
) -> None:
    await_success(pipeline, days_ago(8), *ALL_BUT_CHARGES)
    day = days_ago(9)
    with password_changed(pipeline):
        run_id = pipeline.start(day, "customers")["customers"]
        assert pipeline.end_of(CUSTOMERS, run_id) == "failed"
    assert pipeline.tries(CUSTOMERS, run_id, CUSTOMERS) == 1
    (told,) = await_told(pipeline, day, CUSTOMERS)
    assert told.status == "FAILURE"
    assert (
        "Try: 1 of 3. This error is permanent: nothing more will be tried, somebody has to act"
        in told.text
    )
    assert "refused the user 'shop_reader'" in told.text
    assert "/pipeline/runbook#credentialserror" in told.payload
    assert pipeline.stack.extra_env["POSTGRES_PASSWORD"] not in told.payload


@pytest.mark.parametrize(
    ("name", "answer", "day"),
    [("products", 500, days_ago(12)), ("order_items", "never", days_ago(11))],
)
def test_slack_being_down_changes_no_outcome(
    pipeline: Pipeline, name: str, answer: int, day: date
) -> None:
    dag_id = source(name).dag_id
    with slack_answers(pipeline, answer), password_changed(pipeline):
        run_id = pipeline.start(day, name)[name]
        assert pipeline.end_of(dag_id, run_id) == "failed"
        eventually(
            "the try is over",
            lambda: "Slack did not take the alert" in pipeline.log(dag_id, run_id, dag_id),
        )
    assert pipeline.tries(dag_id, run_id, dag_id) == 1
    said = pipeline.log(dag_id, run_id, dag_id)
    assert "refused the user 'shop_reader'" in said
    assert f"Slack did not take the alert [FAILURE] {dag_id}" in said
    assert "/services/" not in said


def test_slack_limiting_its_rate_delays_an_alert_and_loses_none(pipeline: Pipeline) -> None:
    day = days_ago(10)
    with slack_answers(pipeline, 429, times=2, retry_after=1), password_changed(pipeline):
        run_id = pipeline.start(day, "customers")["customers"]
        assert pipeline.end_of(CUSTOMERS, run_id) == "failed"
        (told,) = await_told(pipeline, day, CUSTOMERS)
    assert told.status == "FAILURE"


def test_a_rate_limit_is_waited_out_for_as_long_as_the_server_asked(
    pipeline: Pipeline, rate_limited: str
) -> None:
    assert pipeline.end_of(CHARGES, rate_limited) == "success"
    (told,) = told_about(pipeline, days_ago(10), CHARGES)
    assert told.status == "RETRY"
    assert "RateLimitedError" in told.text
    assert f"Asked to wait: {RETRY_AFTER} seconds" in told.text
    assert_next_try_was_announced(
        pipeline, told, CHARGES, rate_limited, timedelta(seconds=RETRY_AFTER)
    )


def test_kills_failures_and_hostile_errors_each_alert_once(pipeline: Pipeline) -> None:
    """Five sources in trouble: one fails for good, three are killed, one raises an error with bad
    intentions.
    """
    failing, killed = days_ago(8), days_ago(7)
    hostile = start_hostile(pipeline, killed)
    # Before the orders are locked, which their lines would wait for.
    assert pipeline.end_of(ORDER_ITEMS, hostile) == "failed"
    with (
        stripe_answers(pipeline, kind="500", times=1000),
        locked(pipeline, "orders", "products"),
    ):
        with locked(pipeline, "customers"):  # no longer: its next try is to succeed
            runs = {
                **pipeline.start(failing, "charges"),
                **pipeline.start(killed, "orders", "customers", "products"),
            }
            kill(pipeline, CUSTOMERS, runs["customers"], 1, with_supervisor=True)
        for number in (1, 2, 3):
            kill(pipeline, ORDERS, runs["orders"], number)
            kill(pipeline, PRODUCTS, runs["products"], number, with_supervisor=number == 3)
        assert pipeline.end_of(ORDERS, runs["orders"]) == "failed"
        assert pipeline.end_of(CHARGES, runs["charges"]) == "failed"
        assert pipeline.end_of(PRODUCTS, runs["products"]) == "failed"
    end_hostile(pipeline)
    assert pipeline.end_of(CUSTOMERS, runs["customers"]) == "success"
    await_told(pipeline, killed, PRODUCTS, 3)

    assert_failed_for_good(pipeline, failing, runs["charges"])
    assert_every_kill_was_told(pipeline, killed)
    assert_hostile_text_did_no_harm(pipeline, killed, hostile)


def kill(
    pipeline: Pipeline, dag_id: str, run_id: str, number: int, *, with_supervisor: bool = False
) -> None:
    """SIGKILL the process of a try as soon as it runs, its supervisor first."""
    pid = int(await_state(pipeline, dag_id, run_id, "running", number)["pid"])
    supervisor = psutil.Process(pid).parent()
    assert supervisor and pipeline.stack.running()["airflow-scheduler"] in [
        parent.pid for parent in supervisor.parents()
    ]
    if with_supervisor:
        os.kill(supervisor.pid, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)


def assert_every_kill_was_told(pipeline: Pipeline, day: date) -> None:
    orders, customers, products = (
        told_about(pipeline, day, dag_id) for dag_id in (ORDERS, CUSTOMERS, PRODUCTS)
    )
    assert statuses(orders) == statuses(products) == ["RETRY", "RETRY", "FAILURE"]
    assert statuses(customers) == ["RETRY"]
    for message in (*orders, *customers, *products):
        assert "killed from outside" in message.text
        assert "/pipeline/runbook#killedprocess" in message.payload
    for first, second, last in (orders, products):
        assert "Try: 1 of 3" in first.text and "Try: 2 of 3" in second.text
        assert LAST in last.text


def assert_failed_for_good(pipeline: Pipeline, day: date, run_id: str) -> None:
    told = told_about(pipeline, day, CHARGES)
    assert statuses(told) == ["RETRY", "RETRY", "FAILURE"]
    assert f"Try: 3 of 3, {LAST}" in told[2].text
    assert (
        "Stripe answered" in told[2].text
        and "/pipeline/runbook#sourceunavailableerror" in told[2].payload
    )
    for message in told[:2]:
        assert_next_try_was_announced(pipeline, message, CHARGES, run_id, RETRY_DELAY)
    states = {
        task["task_id"]: task["state"] for task in pipeline.api.task_instances(CHARGES, run_id)
    }
    assert (states[CHARGES], states["publish"]) == ("failed", "upstream_failed")
    assert pipeline.dbt_runs(day) == []


def start_hostile(pipeline: Pipeline, day: date) -> str:
    """The source raises an error whose text holds secrets, a mention of everybody, and far too
    much.
    """
    pipeline.shop(
        "create function shout(integer) returns integer language plpgsql as "
        "$$ begin raise exception '%', (select said from hostile); end $$"
    )
    pipeline.shop("create table hostile (said text)")
    pipeline.shop(
        "insert into hostile values (%s)",
        HOSTILE.format(pipeline.stack.layout.generated["stripe_key"]),
    )
    pipeline.shop("alter table order_items rename to order_items_kept")
    columns = (
        "order_id, product_id, shout(quantity) as quantity, unit_price, discount_pct, line_total, "
        "created_at"
    )
    pipeline.shop(
        f"create view order_items as select order_item_id, {columns} from order_items_kept"
    )
    return pipeline.start(day, "order_items")["order_items"]


def end_hostile(pipeline: Pipeline) -> None:
    pipeline.shop("drop view order_items")
    pipeline.shop("alter table order_items_kept rename to order_items")


def assert_hostile_text_did_no_harm(pipeline: Pipeline, day: date, run_id: str) -> None:
    told = told_about(pipeline, day, ORDER_ITEMS)
    assert statuses(told) == ["RETRY", "RETRY", "FAILURE"]
    for message in told:
        assert "&lt;!channel&gt; 🔥" in message.payload and "<!channel>" not in message.payload
        assert "very long" in message.text and len(message.text) < 3000
        assert message.payload.count("```") == 2
        for secret in (SECRET, "hunter2", pipeline.stack.layout.generated["stripe_key"]):
            assert secret not in message.payload
    said = pipeline.log(ORDER_ITEMS, run_id, ORDER_ITEMS, 3)
    assert "very long" in said
    assert pipeline.stack.layout.generated["stripe_key"] not in said
