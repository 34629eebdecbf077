"""The page "Pipeline": who may see it, what it shows of a week with one day of each kind of
trouble, what its buttons do.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from pipeline.days import current_day
from pipeline.sources import SOURCES
from pipeline_page import metadata
from tests.builders.chromium import DESKTOP, PHONE, Seen, for_the_documentation
from tests.builders.page_history import History
from tests.builders.served_page import HOSTILE, REFUSED, Scheme, Served, signed_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

TRIGGER_BY_HAND = """async day => {
    const body = JSON.stringify({logical_date: null, partition_key: day});
    const headers = {'Content-Type': 'application/json'};
    const path = '/api/v2/dags/extract_postgres_orders/dagRuns';
    return (await fetch(path, {method: 'POST', credentials: 'same-origin', headers, body})).status;
}"""


def back(days: int) -> date:
    return current_day() - timedelta(days=days)


def shown(seen: Seen, days: int) -> dict[tuple[str, str], str]:
    """(row, day) to the class of each cell that is neither well nor waiting."""
    cells = seen.page.locator("button.cell")
    found = cells.evaluate_all(
        "all => all.map(c => [c.dataset.row, c.dataset.day, c.className.replace('cell ', '')])"
    )
    assert len(found) == days * 11
    return {(row, day): state for row, day, state in found if state not in ("done", "waiting")}


# who may see what
# --------------------------------------------------------------------------------------------------


def test_nobody_sees_it_without_signing_in(served: Served) -> None:
    for path in ("", "cell?row=orders&day=2026-11-22"):
        assert served.get(path, user=None).status_code == 401


def test_the_plugin_is_loaded_without_an_error(served: Served) -> None:
    assert served.api.call("GET", "/plugins/importErrors")["import_errors"] == []
    assert {"ecommerce_pipeline", "publish_pool"} <= {
        plugin["name"] for plugin in served.api.call("GET", "/plugins")["plugins"]
    }


def test_a_viewer_sees_no_buttons_and_is_refused_when_posting_by_hand(
    served: Served, browser: Browser
) -> None:
    with signed_in(browser, served, "/pipeline/?days=7", user="viewer") as seen:
        assert shown(seen, 7)
        assert seen.page.locator("button.act").count() == 0
        seen.page.locator("button.cell.failed").first.click()
        seen.page.locator("#about h2").wait_for()
        assert seen.page.locator("#about button.act").count() == 0
        posted = seen.page.evaluate(
            TRIGGER_BY_HAND,
            str(back(3)),
        )
        assert posted == 403


# what it shows
# --------------------------------------------------------------------------------------------------


def test_a_week_with_one_day_of_each_trouble_shows_exactly_those(
    served: Served, browser: Browser
) -> None:
    every = [*(source.name for source in SOURCES), *metadata.DBT_TASKS]
    expected = {
        ("orders", str(back(2))): "late",
        ("orders", str(back(3))): "failed",
        **{(row, str(back(4))): "missing" for row in every},
        ("charges", str(back(5))): "stale",
        ("publish_marts", str(back(5))): "stale",
        ("dbt_test_all", str(back(6))): "failed",
    }
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        today = {
            key: state for key, state in shown(seen, 7).items() if key[1] == str(current_day())
        }
        assert set(today.values()) <= {"due", "missing", "late"}
        assert {key: state for key, state in shown(seen, 7).items() if key not in today} == expected
        needs = seen.page.locator(".needs li").all_inner_texts()
        failed = next(text for text in needs if text.startswith("orders failed"))
        assert failed.startswith(
            f"orders failed for {back(3)} on try 3 of 3: {REFUSED}; the other five are loaded. dbt "
            "waits for it."
        )
        assert "Load orders again" in failed
        assert any(
            text.startswith(f"{back(4)} never happened") and "Back-fill this day" in text
            for text in needs
        )
        assert any(
            text.startswith(f"charges was loaded again for {back(5)}")
            and "Rebuild the marts" in text
            for text in needs
        )
        assert any(
            text.startswith(f"dbt_test_all failed for {back(6)} on try 1 of 3") for text in needs
        )
        for_the_documentation(seen.page, "pipeline_week")


def test_text_from_outside_stays_text(served: Served, browser: Browser) -> None:
    hostile = {"rows": 7, "load_id": HOSTILE, "window": [HOSTILE, HOSTILE], "watermark": HOSTILE}
    with served.engine.begin() as connection:  # what a task returned can be anything
        returned = (
            "update xcom set value = :value "
            "where dag_id = 'extract_stripe_charges' and value->>'day' = :day"
        )
        connection.execute(sa.text(returned), {"value": json.dumps(hostile), "day": str(back(1))})
    served.raised(HOSTILE)
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        seen.page.locator(f"button.cell[data-row=charges][data-day='{back(1)}']").click()
        seen.page.locator("#about dd").first.wait_for()
        assert HOSTILE in seen.page.locator("#about").inner_text()
        seen.page.locator("#about .close").click()
        seen.page.locator("button.cell.failed[data-row=orders]").click()
        seen.page.locator("#about .error").wait_for()
        assert HOSTILE in seen.page.locator("#about .error").inner_text()
        assert (
            seen.page.title() == "Pipeline"
            and seen.page.locator("main img, #about img").count() == 0
        )
        assert (seen.foreign, seen.errors) == ([], [])
    served.raised(REFUSED)


def test_a_cell_tells_what_is_known_of_it(served: Served) -> None:
    text = served.get(f"cell?row=marketing&day={back(2)}").text
    for part in (
        "20",
        "34",
        "6:00:00 UTC",
        "Watermark",
        f"marketing-{back(2)}",
        "1 of 3",
        "Log in Airflow",
        "Load marketing again",
    ):
        assert part in text, part
    assert served.get("cell?row=orders&day=yesterday").status_code == 400
    assert served.get("cell?row=nothing&day=" + str(back(1))).status_code == 404
    assert served.get(f"cell?row=orders&day={back(-3)}").status_code == 404


@pytest.mark.parametrize("days", [7, 30, 90])
def test_every_span_has_that_many_days(served: Served, browser: Browser, days: int) -> None:
    with signed_in(browser, served, f"/pipeline/?days={days}") as seen:
        shown(seen, days)
        assert seen.page.locator("svg").count() == 6 + 3
        assert (seen.foreign, seen.errors) == ([], [])


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)]
)
def test_light_or_dark_wide_or_narrow_it_has_no_serious_fault(
    browser: Browser, served: Served, scheme: Scheme, size: tuple[int, int]
) -> None:
    with signed_in(browser, served, "/pipeline/?days=30", scheme=scheme, size=size) as seen:
        seen.page.locator("html.dark" if scheme == "dark" else "html:not(.dark)").wait_for(
            state="attached"
        )
        assert seen.sideways() <= 0
        assert seen.serious_faults() == []
        if size == DESKTOP:
            for_the_documentation(seen.page, f"pipeline_{scheme}")
        seen.page.locator("button.cell.failed").first.click()
        seen.page.locator("#about h2").wait_for()
        assert seen.serious_faults() == []
        seen.page.locator("#about button.act").click()
        seen.page.locator("dialog[open]").wait_for()
        assert seen.serious_faults() == []


def test_it_is_in_the_navigation_and_on_a_dag_and_follows_airflows_theme(
    served: Served, browser: Browser
) -> None:
    for path in ("/plugin/pipeline", "/dags/ecommerce_dbt/plugin/pipeline_of_dag"):
        with signed_in(browser, served, path, scheme="dark") as seen:
            frame = seen.page.frame_locator("iframe")
            frame.get_by_role("heading", name="Days by sources").wait_for(timeout=60_000)
            assert seen.page.evaluate("document.documentElement.classList.contains('dark')")
            frame.locator("html.dark").wait_for(state="attached")
            frame.locator("button.cell.failed").first.click()
            frame.locator("#about a.airflow").click()
            seen.page.wait_for_url("**/dags/*/runs/**/tasks/**")


def test_it_can_be_used_with_the_keyboard_alone(served: Served, browser: Browser) -> None:
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        seen.page.locator("button.cell").first.focus()
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("ArrowDown")
        assert seen.page.evaluate(
            "[document.activeElement.dataset.row, document.activeElement.dataset.day]"
        ) == [
            "customers",
            str(back(5)),
        ]
        seen.page.keyboard.press("Enter")
        seen.page.locator("#about h2", has_text=f"customers, {back(5)}").wait_for()
        seen.page.keyboard.press("Escape")
        assert seen.page.locator("#about").is_hidden()


# what its buttons do
# --------------------------------------------------------------------------------------------------


def runs_asked_for(served: Served, dag_id: str) -> list[str]:
    return [
        run["partition_key"] or run["conf"]["first_day"]
        for run in served.api.runs(dag_id)
        if "Pipeline page" in (run["note"] or "")
    ]


def test_a_button_triggers_one_run_however_often_it_is_clicked_and_airflow_records_who_did_it(
    served: Served, browser: Browser
) -> None:
    before = len(runs_asked_for(served, "extract_postgres_orders"))
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        seen.page.locator(".needs li", has_text="orders failed").get_by_role("button").click()
        assert (
            "dbt follows when all six sources have loaded"
            in seen.page.locator("#ask-text").inner_text()
        )
        seen.page.evaluate(
            "() => { for (let i = 0; i < 3; i++) document.getElementById('ask-yes').click(); "
            "doIt(); }"
        )
        seen.page.locator("#ask-answer", has_text="Taken").wait_for()
    days = runs_asked_for(served, "extract_postgres_orders")
    assert days[: len(days) - before] == [str(back(3))]
    events = served.api.call(
        "GET", "/eventLogs?dag_id=extract_postgres_orders&order_by=-id&limit=5"
    )["event_logs"]
    assert any(
        event["event"] == "trigger_dag_run" and event["owner"] == "admin" for event in events
    )


def test_loading_a_day_whose_marts_exist_says_that_they_are_rebuilt(
    served: Served, browser: Browser
) -> None:
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        seen.page.locator(f"button.cell[data-row=products][data-day='{back(1)}']").click()
        seen.page.locator("#about button.act").click()
        assert (
            f"The marts of {back(1)} exist: they are rebuilt"
            in seen.page.locator("#ask-text").inner_text()
        )


def test_a_stale_day_is_rebuilt_and_a_missing_one_back_filled(
    served: Served, browser: Browser
) -> None:
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        seen.page.locator(".needs li", has_text="charges was loaded again").get_by_role(
            "button"
        ).click()
        seen.page.locator("#ask-yes").click()
        seen.page.locator("#ask-answer", has_text="Taken").wait_for()
        assert str(back(5)) in runs_asked_for(served, "rebuild_day")
        seen.page.locator("dialog[open]").wait_for(state="hidden")
        seen.page.locator(".needs li", has_text=f"{back(4)} never happened").get_by_role(
            "button"
        ).click()
        seen.page.locator("#ask-yes").click()
        seen.page.locator("#ask-answer", has_text="Taken").wait_for()
    for source in SOURCES:
        keys = [
            run["partition_key"]
            for run in served.api.runs(source.dag_id)
            if run["run_type"] == "backfill"
        ]
        assert keys == [str(back(4))], source.name


def test_what_airflow_refuses_is_shown_with_its_reason(served: Served, browser: Browser) -> None:
    with signed_in(browser, served, "/pipeline/?days=7") as seen:
        seen.page.locator("header button.act").click()
        seen.page.locator("#first").fill(str(back(2)))
        seen.page.locator("#last").fill(str(back(3)))
        seen.page.locator("#ask-yes").click()
        seen.page.locator(
            "#ask-answer", has_text="The last day must not lie before the first."
        ).wait_for()
        seen.page.context.clear_cookies()  # the session has ended meanwhile
        seen.page.locator("#last").fill(str(back(2)))
        seen.page.locator("#ask-yes").click()
        seen.page.locator("#ask-answer", has_text="Airflow answered 401").wait_for()
        assert seen.page.locator("#ask-yes").is_enabled()


# what it reads
# --------------------------------------------------------------------------------------------------


def test_each_query_reads_what_airflow_has_written(served: Served) -> None:
    with Session(served.engine) as session, session.begin():
        history = History(session.connection())
        run = history.run(
            "extract_postgres_products",
            None,
            asked_on=back(40),
            at=60,
            conf={"day": str(back(41))},
            run_type="manual",
        )
        history.task(
            "extract_postgres_products",
            run,
            "extract_postgres_products",
            _start(back(40)),
            2,
            result={"rows": 3},
        )
        keyless = history.run(
            "extract_postgres_products", None, asked_on=back(43), at=60, run_type="manual"
        )
        history.task(
            "extract_postgres_products", keyless, "extract_postgres_products", _start(back(43)), 2
        )
        read = metadata.task_runs(session, back(45), metadata.LOAD_DAGS)
        by_run = {task.run_id: task for task in read}
        assert by_run[run[1]].day == back(41), "the day of the trigger form counts"
        assert by_run[keyless[1]].day == back(43), "without a key it is the day that was current"
        assert (
            by_run[run[1]].result == {"rows": 3}
            and by_run[run[1]].seconds == 2
            and by_run[run[1]].tries == 3
        )
        assert {
            task.dag_id
            for task in metadata.task_runs(session, back(45), ["extract_stripe_charges"])
        } == {"extract_stripe_charges"}
        assert min(task.day for task in read) == back(45)
        assert metadata.first_day(session) == back(119)
        models = metadata.slowest_models(session)
        assert [name for name, _, _ in models][:1] == ["dbt_run_intermediate_model"] and len(
            models
        ) == 4
        assert metadata.pending_days(session) == []
        for key in (str(back(3)), "0001-01-01", "9999-12-31", "2026-1-2"):
            session.execute(
                sa.insert(metadata.AssetPartitionDagRun).values(
                    target_dag_id="ecommerce_dbt",
                    partition_key=key,
                    created_at=_start(back(3)),
                    updated_at=_start(back(3)),
                )
            )
        assert metadata.pending_days(session) == [str(back(3))]
        session.rollback()


def _start(day: date) -> object:
    from tests.builders.page_history import morning

    return morning(day)
