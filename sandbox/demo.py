"""`make demo`: the sandbox from nothing to the published marts of one day."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from operations.backfill import Range, start
from pipeline.days import current_day
from pipeline.sources import SOURCES
from sandbox.day import DBT_DAG, DayRun, run_day
from sandbox.layout import Layout
from sandbox.processes import SandboxError
from sandbox.screen import Screen, Summary
from sandbox.shop import live, open_shop
from sandbox.stack import Stack
from warehouse.settings import WarehouseSettings

DAYS_BEFORE = 6  # loaded after the demo's day, so that the page "Pipeline" has a week to show
DAY_TIMEOUT_SECONDS = 1800  # the specification's SLA for a whole day
REVENUE_DAYS = 7


def demo(scale: float, screen: Screen, layout: Layout | None = None) -> None:
    """Set up what is missing, run the current day, print the summary.

    ``SandboxError`` unless the marts are published.
    """
    stack = Stack(layout or Layout())
    day, first_time = current_day(), not _shop_file(stack).exists()
    screen.say("Starting PostgreSQL, Stripe emulator, Slack inbox")
    stack.start_stand_ins(screen.say)
    with ThreadPoolExecutor(1) as pool:
        screen.say("Starting Airflow's four processes, filling the shop meanwhile")
        airflow = pool.submit(stack.start_airflow, screen.say)
        fill_shop(stack, scale, screen.say)
        airflow.result()
    screen.say(f"Airflow is healthy on {stack.airflow_address.url}")

    screen.say(f"Triggering the six sources for {day}; dbt follows by its Dataset schedule")
    started = time.monotonic()
    run = run_day(stack.api, stack.layout, day, DAY_TIMEOUT_SECONDS, screen.show)
    seconds = time.monotonic() - started
    stack.start_dashboard(screen.say)
    summary = summarise(stack, run, seconds)
    if first_time:
        days = load_days_before(stack, day)
        screen.say(f"The days {days} are being loaded now, one dbt run each: see the page Pipeline")
    print(summary, flush=True)


def load_days_before(stack: Stack, day: date) -> Range:
    """Start a back-fill of the week's other days with all six sources, and do not wait for it."""
    days = Range(day - timedelta(days=DAYS_BEFORE), day - timedelta(days=1))
    start(stack.api, SOURCES, days, backwards=True, days_at_a_time=1)
    return days


def fill_shop(stack: Stack, scale: float, say: Callable[[str], None]) -> None:
    """Twelve months of the shop's life up to now; on a later call, what has happened since."""
    fill(_shop_file(stack), stack.shop_address, scale, say)


def _shop_file(stack: Stack) -> Path:
    return stack.layout.root / "shop.json"


def fill(
    state: Path, address: tuple[str, str, Path], scale: float, say: Callable[[str], None]
) -> None:
    """The same for a shop anywhere.

    Args:
        state: remembers until when the shop has lived.
        address: source database, Stripe emulator, CSV inbox.
    """
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    if state.exists():
        known = json.loads(state.read_text())
        if known["scale"] != scale:
            raise SandboxError(
                f"This sandbox was filled at SCALE={known['scale']:g}, not {scale:g}. "
                "`make clean` removes it; then run the demo again."
            )
        counts = live(*address, start=datetime.fromisoformat(known["until"]), end=now)
        say(f"The shop has lived on since {known['until']}: {counts}")
    else:
        counts = open_shop(*address, scale=scale, until=now)
        say(f"The shop is filled, 12 months at SCALE={scale:g}: {counts}")
    state.write_text(json.dumps({"scale": scale, "until": now.isoformat()}))


def summarise(stack: Stack, run: DayRun, total_seconds: float) -> Summary:
    """The day's figures, from the warehouse's load records, the published marts and Airflow."""
    from warehouse import open_warehouse

    warehouse = WarehouseSettings(duckdb_dir=stack.layout.warehouse)
    records = open_warehouse(warehouse).load_records(run.day)
    publication = stack.api.xcom(DBT_DAG, run.runs[DBT_DAG], "publish_marts")
    tests = stack.api.xcom(DBT_DAG, run.runs[DBT_DAG], "dbt_test_all")
    if date.fromisoformat(publication["day"]) < run.day:
        raise SandboxError(f"The published marts are of {publication['day']}, not of {run.day}.")
    address = stack.airflow_address
    return Summary(
        day=run.day,
        rows={record.source: record.rows_extracted for record in records},
        rejected={record.source: record.rows_rejected for record in records},
        tests_passed=tests["passed"],
        tests_warned=tests["warned"],
        revenue=revenue_of_last_days(warehouse),
        total_seconds=total_seconds,
        addresses={
            "Airflow": f"{address.url}   sign in as {address.user} / {address.password}",
            "Pipeline": f"{address.url}/plugin/pipeline",
            "Assets": f"{address.url}/assets",
            "Slack inbox": stack.slack_url,
            "Business view": stack.dashboard_url,
            "Published marts": str(
                stack.layout.warehouse / "published" / "ecommerce_analytics.duckdb"
            ),
            "Models, columns": str(stack.layout.warehouse / "published" / "docs" / "index.html"),
        },
    )


def revenue_of_last_days(warehouse: WarehouseSettings) -> list[tuple[object, ...]]:
    """(date, orders, gross revenue) of the last days of the published daily mart, newest first."""
    from transform import read_published

    newest_first = (
        "select order_date, orders, gross_revenue from published.fct_daily_revenue "
        "order by order_date desc"
    )
    return read_published(f"{newest_first} limit {REVENUE_DAYS}", warehouse)
