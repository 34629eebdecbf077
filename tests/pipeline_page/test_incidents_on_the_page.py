"""The page for whoever is on call: incidents and who looks after them, the runbook, what reached
nobody, links that hold behind a proxy with a path.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests

from alerting.alert import Alert
from alerting.incidents import acknowledge, open_incidents, opened_by
from alerting.runbook import sections
from alerting.store import belongs_to, claim, settle, told_of, undelivered
from pipeline.days import current_day
from pipeline.settings import settings
from tests.builders.chromium import for_the_documentation
from tests.builders.served_page import Served, behind_a_path, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

FAILED_TEST = "no_order_lost_between_raw_and_mart (1 row): order_id=7"


def reported(dag_id: str, task_id: str, day: str, error: str, *facts: tuple[str, str]) -> str:
    """An alert as the pipeline reports it; the id of its incident."""
    alert = Alert(
        "failure", dag_id, f"{dag_id}|{task_id}|{day}", task_id, day, exception=error, facts=facts
    )
    assert claim(alert)
    incident = opened_by(alert)
    assert incident
    belongs_to(alert, incident.id)
    return incident.id


@pytest.fixture(scope="module", autouse=True)
def three_incidents(served: Served) -> Iterator[dict[str, str]]:
    """A source that failed, a test that failed, and a run with a key that is no day."""
    from datetime import timedelta

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALERTS_DATABASE_URL", f"sqlite:///{served.layout.root / 'alerts.sqlite'}")
        settings.cache_clear()
        back = {number: str(current_day() - timedelta(days=number)) for number in (3, 6)}
        orders = "extract_postgres_orders"
        ids = {
            "orders": reported(orders, orders, back[3], "SourceUnavailableError: no route to it"),
            "tests": reported(
                "ecommerce_dbt", "dbt_test_all", back[6], "DataTestError: 1 of 282 tests failed",
                ("Failed", FAILED_TEST),
            ),
            "key": reported(
                "ecommerce_dbt", "all_extractions_complete", "", "DayError: '2026-1-2' is no day"
            ),
        }  # fmt: skip
        yield ids
    settings.cache_clear()
    with sqlite3.connect(served.layout.root / "alerts.sqlite") as store:  # others use it as well
        for incident in ids.values():
            store.execute("delete from sent_alerts where incident = ?", [incident])
            store.execute("delete from incidents where id = ?", [incident])


def test_each_cause_is_one_entry_with_its_facts_its_log_and_what_to_do(
    served: Served, browser: Browser
) -> None:
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        entries = seen.page.locator(".needs > li").all_inner_texts()
        (orders,) = [text for text in entries if "SourceUnavailableError" in text]
        assert "since " in orders and "Acknowledge" in orders and "Load orders again" in orders
        (tests,) = [text for text in entries if "DataTestError" in text]
        assert FAILED_TEST in tests and "Log" in tests and "What to do" in tests
        assert any("'2026-1-2' is no day" in text for text in entries)
        for_the_documentation(seen.page, "pipeline_incidents")
        assert (seen.foreign, seen.errors, seen.serious_faults()) == ([], [], [])


def test_whoever_looks_after_an_incident_is_kept_with_the_time(
    served: Served, browser: Browser, three_incidents: dict[str, str]
) -> None:
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        entry = seen.page.locator(".needs > li", has_text="SourceUnavailableError")
        entry.get_by_role("button", name="Acknowledge").click()
        entry.get_by_text("acknowledged by admin at").wait_for()
        entry.get_by_role("button", name="Snooze 1 h").click()
        entry.get_by_text("snoozed by admin until").wait_for()
    (orders,) = [one for one in open_incidents() if one.id == three_incidents["orders"]]
    assert (orders.acknowledged_by, orders.snoozed_by, orders.snoozed) == ("admin", "admin", True)


def test_only_who_may_trigger_the_dags_and_only_from_the_page_itself(
    served: Served, browser: Browser, three_incidents: dict[str, str]
) -> None:
    def post(user: str, **headers: str) -> int:
        return requests.post(
            f"{served.url}incidents",
            json={"incident": three_incidents["tests"]},
            headers={"Authorization": f"Bearer {served.token(user)}", **headers},
            timeout=30,
        ).status_code

    assert post("viewer") == 403
    assert post("admin", **{"Sec-Fetch-Site": "cross-site"}) == 403
    assert requests.post(f"{served.url}incidents", json={}, timeout=30).status_code == 401
    assert not any(one.acknowledged_by for one in open_incidents() if "DataTest" in one.title)
    with signed_in(browser, served, "/pipeline/?days=7", user="viewer") as seen:
        assert seen.page.locator("button.handle").count() == 0
    assert post("admin") == 200
    assert not acknowledge("no such incident", "admin")


def test_the_runbook_opens_from_slack_without_a_sign_in(served: Served) -> None:
    answer = requests.get(f"{served.url}runbook", timeout=30)
    assert answer.status_code == 200 and "<h1" in answer.text and "<pre>" in answer.text
    anchors = set(re.findall(r'id="([^"]+)"', answer.text))
    errors = {title.lower() for title in sections() if title.isidentifier()}
    assert errors <= anchors


def test_what_reached_nobody_is_on_the_page(served: Served) -> None:
    lost = Alert("failure", "extract_stripe_charges", "lost", "x", str(current_day()))
    assert claim(lost)
    settle(lost, delivered=False, refusals=["Slack: it answered 404: no_service"])
    assert "1 alert did not get through" in served.get("?part=1").text
    assert "it answered 404: no_service" in served.get("?part=1").text
    told_of(undelivered())
    assert "did not get through" not in served.get("?part=1").text


def test_a_paused_dag_a_broken_file_and_a_wrong_pool_are_on_the_page(served: Served) -> None:
    pool = {"pool": "publish", "include_deferred": False}
    served.api.call("PATCH", "/dags/ecommerce_dbt", json={"is_paused": True})
    served.api.call("PATCH", "/pools/publish?update_mask=slots", json={**pool, "slots": 5})
    try:
        text = served.get("?part=1").text
        assert "Paused: ecommerce_dbt. Unpause them; days that wait are built then." in text
        assert "has 5 slots instead of 1" in text
    finally:
        served.api.call("PATCH", "/dags/ecommerce_dbt", json={"is_paused": False})
        served.api.call("PATCH", "/pools/publish?update_mask=slots", json={**pool, "slots": 1})


def test_a_view_can_be_linked_inside_airflow(served: Served, browser: Browser) -> None:
    with signed_in(browser, served, "/plugin/pipeline?days=7") as seen:
        frame = seen.page.frame_locator("iframe")
        frame.locator("nav a[aria-current]", has_text="7 days").wait_for(timeout=60_000)
        frame.locator("nav a", has_text="90 days").click()
        frame.locator("nav a[aria-current]", has_text="90 days").wait_for()
        assert "days=90" in seen.page.url


def test_behind_a_proxy_with_a_path_the_page_and_its_links_work(
    served: Served, browser: Browser
) -> None:
    with behind_a_path(served, "/airflow") as prefixed:
        for file in ("runbook", "static/page.js", "static/page.css"):
            assert requests.get(prefixed.url + file, timeout=30).status_code == 200, file
        with signed_in(browser, prefixed, "/plugin/pipeline?days=7") as seen:
            frame = seen.page.frame_locator("iframe")
            link = frame.locator(".needs a.airflow").first
            link.wait_for(timeout=60_000)
            assert str(link.get_attribute("href")).startswith("/airflow/dags/")
            frame.locator("nav a[aria-current]", has_text="7 days").wait_for(timeout=60_000)
            frame.locator("button.cell.failed").first.click()
            frame.locator("#about a.airflow").click()
            seen.page.wait_for_url("**/airflow/dags/*/runs/**/tasks/**")
            assert seen.errors == []
