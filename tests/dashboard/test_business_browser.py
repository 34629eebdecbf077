"""The business view in a real browser, on the marts of a day that went through the pipeline."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import duckdb
import pytest
import requests

from pipeline.days import current_day
from pipeline.settings import PROJECT
from sandbox.postgres import EmbeddedPostgres
from sandbox.shop import open_shop
from sandbox.stripe_emulator import StripeEmulator
from tests.builders.chromium import DESKTOP, PHONE, Seen, for_the_documentation, launched, opened
from transform.publication import published_file
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

HOSTILE = (
    "![x](https://elsewhere.example/x.png)"
    '<img src="https://elsewhere.example/y.png" onerror="document.title=1">'
)


@dataclass(frozen=True)
class Served:
    """A running business view and the file it reads."""

    url: str
    file: Path

    def query(self, sql: str, *parameters: object) -> tuple[object, ...]:
        with duckdb.connect(str(self.file), read_only=True) as connection:
            row = connection.execute(sql, list(parameters)).fetchone()
        assert row is not None
        return row


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def published(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The warehouse of a shop of 2,000 orders, run through the pipeline from the shell."""
    folder = tmp_path_factory.mktemp("business")
    name = f"business_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    stripe = StripeEmulator(store=folder / "stripe")
    stripe.start()
    (folder / "inbox").mkdir()
    (folder / "none.env").touch()
    try:
        now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
        open_shop(postgres.dsn(name), stripe.url, folder / "inbox", scale=0.02, until=now, seed=4)
        source = postgres.settings(name)
        environment = {
            **os.environ,
            **{f"POSTGRES_{key.upper()}": str(value) for key, value in source.items()},
            "ECOMMERCE_ENV_FILE": str(folder / "none.env"),
            "STRIPE_API_KEY": "sk_test_business",
            "STRIPE_API_BASE": stripe.url,
            "CSV_INBOX": str(folder / "inbox"),
            "WAREHOUSE_KIND": "duckdb",
            "WAREHOUSE_DUCKDB_DIR": str(folder / "warehouse"),
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "target"),
        }
        for command in ("ingestion", "transform"):
            arguments = [sys.executable, "-m", command, "all", "--day", str(current_day())]
            done = subprocess.run(
                arguments, env=environment, cwd=PROJECT, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout + done.stderr
    finally:
        stripe.stop()
        postgres.drop_database(name)
    return folder / "warehouse"


@contextmanager
def serving(warehouse: Path, folder: Path) -> Iterator[Served]:
    """`python -m dashboard` on a free port, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "none.env").touch()
    environment = {
        **os.environ,
        "WAREHOUSE_KIND": "duckdb",
        "WAREHOUSE_DUCKDB_DIR": str(warehouse),
        "ECOMMERCE_ENV_FILE": str(folder / "none.env"),
    }
    url = f"http://127.0.0.1:{port}"
    with (folder / "dashboard.log").open("wb") as log:
        command = [sys.executable, "-m", "dashboard", "--port", str(port)]
        server = subprocess.Popen(
            command, env=environment, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 60
        while not answers(f"{url}/_stcore/health"):
            assert server.poll() is None and time.monotonic() < deadline, (
                folder / "dashboard.log"
            ).read_text()
            time.sleep(0.1)
        yield Served(url, published_file(WarehouseSettings(_env_file=None, duckdb_dir=warehouse)))  # type: ignore[call-arg]
    finally:
        server.terminate()
        server.wait(20)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False


@pytest.fixture(scope="module")
def view(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(published, tmp_path_factory.mktemp("served")) as served:
        yield served


def drawn(seen: Seen) -> None:
    """Wait until the page has drawn all of its charts."""
    seen.page.get_by_role("heading", name="Marketing").wait_for(timeout=60_000)
    seen.page.wait_for_function(
        "document.querySelectorAll('[data-testid=stVegaLiteChart] canvas, "
        "[data-testid=stVegaLiteChart] svg').length >= 6"
    )
    seen.page.wait_for_function(
        "!document.querySelector('[data-testid=stApp][data-test-script-state=running]')"
    )


def shows(seen: Seen, label: str, value: str) -> None:
    """The figure of that label is the value, as soon as the page has run again."""
    from playwright.sync_api import expect

    card = seen.page.get_by_test_id("stMetric").filter(has=seen.page.get_by_text(label, exact=True))
    expect(card.get_by_test_id("stMetricValue")).to_have_text(value, timeout=30_000)


def unfold(table: Locator) -> None:
    """By the keyboard: what is unfolded above moves it, and a click would land beside it."""
    table.locator("summary").press("Enter")


def whole_days(days: int) -> tuple[date, date]:
    last = current_day() - timedelta(days=1)
    return last - timedelta(days=days - 1), last


def test_the_revenue_on_the_screen_is_the_marts_to_the_cent(browser: Browser, view: Served) -> None:
    with opened(browser, view.url) as seen:
        drawn(seen)
        for period, days in (("Last 30 days", 30), ("Last 7 days", 7), ("Last 90 days", 90)):
            if period != "Last 30 days":
                seen.page.get_by_role("combobox", name="Period").click()
                seen.page.get_by_role("option", name=period).click()
            first, last = whole_days(days)
            seen.page.get_by_text(f"{first:%d %b %Y} to {last:%d %b %Y}").wait_for()
            drawn(seen)
            revenue, orders = view.query(
                """select sum(total_amount), count(*) from published.fct_orders
                   where order_date between ? and ? and not is_cancelled""",
                first,
                last,
            )
            shows(seen, "Gross revenue", f"${revenue:,.2f}")
            shows(seen, "Orders", f"{orders:,}")


def test_a_category_narrows_the_revenue_on_the_screen(browser: Browser, view: Served) -> None:
    with opened(browser, view.url) as seen:
        drawn(seen)
        seen.page.get_by_role("combobox", name="Categories").click()
        seen.page.get_by_role("option", name="Books").click()
        seen.page.get_by_text("For the whole shop").first.wait_for()
        (revenue,) = view.query(
            """select sum(items.gross_revenue) from published.fct_order_items as items
               inner join published.dim_products as products
                   on items.product_id = products.product_id
               where items.order_date between ? and ? and products.category = 'Books'""",
            *whole_days(30),
        )
        shows(seen, "Gross revenue", f"${revenue:,.2f}")


def test_a_table_is_downloaded_as_the_file_that_its_chart_draws(
    browser: Browser, view: Served, tmp_path: Path
) -> None:
    first, last = whole_days(30)
    with opened(browser, view.url) as seen:
        drawn(seen)
        table = seen.page.get_by_test_id("stExpander").nth(1)
        unfold(table)
        with seen.page.expect_download() as waiting:
            # A click would miss it while the table unfolds.
            table.get_by_role("button", name="Download CSV").press("Enter")
        assert waiting.value.suggested_filename == f"categories_{first}_{last}.csv"
        waiting.value.save_as(tmp_path / "categories.csv")
    with duckdb.connect() as connection:
        (downloaded,) = connection.execute(
            "select sum(gross_revenue::decimal(18, 2)) from read_csv(?, all_varchar = true)",
            [str(tmp_path / "categories.csv")],
        ).fetchone() or (None,)
    expected = (
        "select sum(gross_revenue) from published.fct_order_items where order_date between ? and ?"
    )
    assert (downloaded,) == view.query(expected, first, last)


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("light", PHONE), ("dark", PHONE)]
)
def test_light_or_dark_wide_or_narrow_it_is_readable_and_asks_no_other_host(
    browser: Browser, view: Served, scheme: Literal["light", "dark"], size: tuple[int, int]
) -> None:
    with opened(browser, view.url, scheme, size) as seen:
        drawn(seen)
        background = seen.page.evaluate(
            "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        )
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 23, 42)"}[scheme]
        assert seen.sideways() <= 0
        for card in seen.page.get_by_test_id("stMetricValue").all():
            assert card.evaluate("it => it.scrollWidth <= it.clientWidth + 1"), (
                "a figure is cut off"
            )
        if (scheme, size) == ("light", DESKTOP):
            seen.page.set_viewport_size({"width": size[0], "height": 1080})
            for_the_documentation(seen.page, "business_view_light")
        # axe looks at what is drawn.
        seen.page.set_viewport_size({"width": size[0], "height": 4000})
        assert seen.serious_faults() == []
        unfold(seen.page.get_by_test_id("stExpander").first)
        seen.page.get_by_test_id("stDataFrame").first.wait_for()
        assert seen.serious_faults() == []
        assert (seen.foreign, seen.errors) == ([], [])


def test_the_filters_work_with_the_keyboard_alone(browser: Browser, view: Served) -> None:
    with opened(browser, view.url) as seen:
        drawn(seen)
        seen.page.get_by_role("combobox", name="Period").focus()
        seen.page.keyboard.press("ArrowDown")
        seen.page.keyboard.type("12 months")
        seen.page.keyboard.press("Enter")
        seen.page.get_by_text("which the data do not reach back to").wait_for()
        assert "period=Last" in seen.page.url, "the address can be passed on"


def test_text_from_the_source_stays_text(browser: Browser, published: Path, tmp_path: Path) -> None:
    copy = tmp_path / "published" / "ecommerce_analytics.duckdb"
    copy.parent.mkdir()
    shutil.copy(published_file(WarehouseSettings(_env_file=None, duckdb_dir=published)), copy)  # type: ignore[call-arg]
    with duckdb.connect(str(copy)) as connection:
        connection.execute(
            "update published.dim_products set product_name = ?, category = ?", [HOSTILE, HOSTILE]
        )
        connection.execute("update published.fct_marketing_performance set channel = ?", [HOSTILE])
    with serving(tmp_path, tmp_path) as served, opened(browser, served.url) as seen:
        drawn(seen)
        seen.page.get_by_role("combobox", name="Categories").click()
        seen.page.get_by_role("option").first.click()
        seen.page.get_by_text("For the whole shop").first.wait_for()
        for table in seen.page.get_by_test_id("stExpander").all():
            unfold(table)
        drawn(seen)
        assert seen.page.locator("img[src*=elsewhere]").count() == 0
        assert seen.page.title() == "Shop figures"
        assert (seen.foreign, seen.errors) == ([], [])


def test_before_the_first_publication_the_page_says_so(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path / "nothing", tmp_path) as served, opened(browser, served.url) as seen:
        seen.page.get_by_text("Nothing has been published yet.").wait_for(timeout=60_000)
        assert seen.serious_faults() == []
        assert seen.page.get_by_test_id("stMetric").count() == 0
