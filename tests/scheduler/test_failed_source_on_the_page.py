"""A failed source is loaded again by a click on the page; its cell and dbt's turn green."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import requests

from operations.airflow_api import AirflowApi
from tests.builders.chromium import for_the_documentation, launched
from tests.builders.running_pipeline import ALL_SOURCES, Pipeline, days_ago

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.scheduler, pytest.mark.browser, pytest.mark.timeout(900)]

SETTINGS = {"ALERTING_RETRY_DELAY_SECONDS": "1"}
PATIENCE_MS = 300_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


def token(api: AirflowApi) -> str:
    answer = requests.post(
        f"{api.url}/auth/token", json={"username": api.user, "password": api.password}, timeout=30
    )
    return str(answer.json()["access_token"])


def test_a_failed_source_is_loaded_again_from_the_page_and_the_day_turns_green(
    pipeline: Pipeline, browser: Browser
) -> None:
    day = days_ago(1)
    with pipeline.shop_unavailable():
        failed = pipeline.start(day, "orders")["orders"]
        assert pipeline.end_of("extract_postgres_orders", failed) == "failed"
    pipeline.load(day, *(name for name in ALL_SOURCES if name != "orders"))

    context = browser.new_context(viewport={"width": 1280, "height": 900})
    context.add_cookies([{"name": "_token", "value": token(pipeline.api), "url": pipeline.api.url}])
    page = context.new_page()
    page.goto(f"{pipeline.api.url}/pipeline/?days=7")

    def cell(row: str, state: str) -> None:
        page.locator(f"button.cell.{state}[data-row={row}][data-day='{day}']").wait_for(
            timeout=PATIENCE_MS
        )

    cell("orders", "failed")
    cell("publish_marts", "waiting")
    sentence = page.locator(".needs li", has_text=f"orders failed for {day} on try 3 of 3")
    assert "the other five are loaded. dbt waits for it." in sentence.inner_text()
    for_the_documentation(page, "pipeline_failed")
    sentence.get_by_role("button", name="Load orders again").click()
    page.locator("#ask-yes").click()
    cell("orders", "done")
    for row in (
        "dbt_run_staging",
        "dbt_run_intermediate",
        "dbt_run_marts",
        "dbt_test_all",
        "publish_marts",
    ):
        cell(row, "done")
    sentence.wait_for(state="detached", timeout=PATIENCE_MS)
    context.close()
    pipeline.assert_dbt_ran(1, [day])
