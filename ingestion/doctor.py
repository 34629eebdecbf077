"""Checks every connection with the rights it is configured with, and says what works, what fails
and what to do.

``python -m ingestion doctor``. Nothing is loaded and no message is posted; what a check writes it
takes away again.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from ingestion.csv_uploads.settings import CsvSettings
from ingestion.postgres.settings import PostgresSettings
from ingestion.stripe_api.settings import StripeSettings
from pipeline.errors import PassingError, PipelineError
from pipeline.masking import mask
from pipeline.settings import settings
from pipeline.sources import SOURCES, source
from warehouse.settings import WarehouseSettings

State = Literal["works", "look", "fails", "try again", "not set"]
HEALTHY, ACT_FIRST, TRY_AGAIN = 0, 1, 75
STRIPE_LISTS = ("charges", "refunds", "disputes", "events")
LEAST_SPACE = 2 * 2**30  # bytes free where the warehouse's files are


@dataclass(frozen=True)
class Finding:
    """One thing that was checked. ``said`` is what was found, and what to do about it where it does
    not simply work.
    """

    connection: str
    what: str
    state: State
    said: str


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is made: source, Stripe, CSV inbox, warehouse, Slack."""
    for check in (check_postgres, check_stripe, check_csv, check_warehouse, check_slack):
        yield from check()


def run(say: Callable[[str], None] = print) -> int:
    """Say all findings as a table; 0 if everything works, 1 if somebody has to act, 75 if trying
    again may do.
    """
    found: list[Finding] = []
    for finding in examine():
        if not found:
            say(f"{'CONNECTION':<11} {'WHAT':<26} {'STATE':<10} WHAT WAS FOUND, WHAT TO DO")
        found.append(finding)
        say(line(finding))
    states = [finding.state for finding in found]
    bad = sum(state in ("fails", "try again") for state in states)
    say("")
    say(
        f"{len(found)} checks: {states.count('works')} work, {states.count('look')} to look at, "
        f"{bad} fail."
    )
    return ACT_FIRST if "fails" in states else TRY_AGAIN if "try again" in states else HEALTHY


def line(finding: Finding, width: int = 120) -> str:
    """One row of the table; long sentences go on below, under their column."""
    begin = f"{finding.connection:<11} {finding.what:<26} {finding.state:<10} "
    room = max(width - len(begin), 40)
    lines = textwrap.wrap(
        mask(finding.said), room, break_long_words=False, break_on_hyphens=False
    ) or [""]
    return ("\n" + " " * len(begin)).join([begin + lines[0], *lines[1:]])


def _tried(connection: str, what: str, check: Callable[[], str | Finding]) -> Finding:
    """``check`` returns what it has found, and raises where it fails."""
    try:
        found = check()
    except PipelineError as error:
        return Finding(
            connection,
            what,
            "try again" if isinstance(error, PassingError) else "fails",
            str(error),
        )
    except Exception as error:
        return Finding(
            connection, what, "fails", f"Nobody foresaw this: {type(error).__name__}: {error}"
        )
    return found if isinstance(found, Finding) else Finding(connection, what, "works", found)


# --- source


def check_postgres() -> Iterator[Finding]:
    """Sign-in, each table as declared and readable, and whether open transactions of others can be
    seen.
    """
    from psycopg2 import sql

    from ingestion.postgres.connection import connect
    from ingestion.postgres.snapshot import open_snapshot
    from ingestion.postgres.window import look_around

    name = "postgres"

    def sign_in() -> str:
        configured = settings(PostgresSettings)
        with connect(configured) as connection, connection.cursor() as cursor:
            cursor.execute("select current_setting('server_version'), pg_is_in_recovery()")
            version, replica = cursor.fetchone() or ("", False)
        return f"{configured.user} on {configured.host}:{configured.port}/{configured.db}, {version}{', a replica' * replica}."

    signed_in = _tried(name, "sign-in", sign_in)
    yield signed_in
    if signed_in.state != "works":
        return
    for each in SOURCES:
        if each.kind != "postgres":
            continue
        (table,) = each.tables

        def read() -> str:
            with (
                open_snapshot(settings(PostgresSettings), table) as snapshot,  # noqa: B023
                snapshot.connection.cursor() as cursor,
            ):
                cursor.execute(sql.SQL("select * from {} limit 1").format(snapshot.table.address))
                rows = cursor.fetchall()
                return "readable, as declared" + (", and empty." if not rows else ".")

        yield _tried(name, f"table {table.name}", read)

    def others() -> str | Finding:
        configured = settings(PostgresSettings)
        with connect(configured) as connection:
            horizon = look_around(connection, configured)
        if horizon.blind_because:
            hours = configured.blind_overlap_minutes / 60
            said = f"Loads reach back {hours:g} hours instead, because {horizon.blind_because}."
            return Finding(name, "open transactions", "look", said)
        return "Transactions of others can be seen: no late commit is missed."

    yield _tried(name, "open transactions", others)


# --- Stripe


def check_stripe() -> Iterator[Finding]:
    """The key's rights: each list that a load reads. One request each, without retries."""
    from ingestion.stripe_api.client import StripeApi

    def api() -> str:
        configured = settings(StripeSettings)
        kind = configured.api_key.get_secret_value()[:8]
        return f"A key {kind}... for {configured.api_base}."

    key = _tried("stripe", "key", api)
    yield key
    if key.state != "works":
        return
    impatient = settings(StripeSettings).model_copy(
        update={"max_retries": 0, "timeout_seconds": 15}
    )
    with closing(StripeApi(impatient)) as client:
        for name in STRIPE_LISTS:

            def read() -> str:
                body = client.get(f"/v1/{name}", {"limit": 1}).body  # noqa: B023
                return "readable." if body.get("data") else "readable, and empty."

            yield _tried("stripe", f"list {name}", read)


# --- CSV


def check_csv() -> Iterator[Finding]:
    """The inbox, and its files."""
    from ingestion.csv_uploads.inbox import Inbox

    def files(pattern: str) -> Callable[[], str]:
        def look() -> str:
            found = Inbox(settings(CsvSettings).inbox).files(pattern)
            return f"{len(found)} file{'s' * (len(found) != 1)}, the newest of {max(file.modified_at for file in found):%Y-%m-%d}."

        return look

    for table in source("marketing").tables:
        yield _tried("csv", f"{table.name}*.csv", files(f"{table.name}*.csv"))


# --- warehouse


def check_warehouse() -> Iterator[Finding]:
    """Whether this process may use the configured warehouse for all that a day does with it."""

    def kind() -> str:
        return f"WAREHOUSE_KIND={settings(WarehouseSettings).kind}."

    configured = _tried("warehouse", "kind", kind)
    if configured.state != "works":
        yield configured
        return
    if settings(WarehouseSettings).kind == "snowflake":
        from ingestion.doctor_snowflake import checks

        for what, check in checks():
            finding = _tried("snowflake", what, check)
            yield finding
            if what == "sign-in" and finding.state != "works":
                return
        return
    yield from _check_duckdb()


def _check_duckdb() -> Iterator[Finding]:
    from warehouse.duckdb.warehouse import DuckDBWarehouse

    here = settings(WarehouseSettings).model_copy(update={"lock_timeout_seconds": 5})

    def write() -> str:
        with DuckDBWarehouse(here).writing() as connection:
            ((loads,),) = connection.execute("select count(*) from loads.load_records").fetchall()
        return f"The files in {here.duckdb_dir} can be read and written; {loads:,} loads so far."

    def space() -> str | Finding:
        free = shutil.disk_usage(here.duckdb_dir).free
        if free < LEAST_SPACE:
            return Finding(
                "duckdb",
                "space",
                "look",
                f"Only {free / 2**30:.1f} GiB are free there; make room before it is full.",
            )
        return f"{free / 2**30:.0f} GiB free."

    written = _tried("duckdb", "files", write)
    yield written
    if written.state == "works":
        yield _tried("duckdb", "space", space)


# --- Slack


def check_slack() -> Iterator[Finding]:
    """The webhook, by a message without a text: Slack knows the channel and refuses the message, so
    nobody sees it.
    """
    from alerting.settings import AlertingSettings

    def webhook() -> str | Finding:
        configured = settings(AlertingSettings)
        if configured.slack_webhook_url is None:
            return Finding(
                "slack",
                "webhook",
                "not set",
                "Alerts are logged only. Set SLACK_WEBHOOK_URL to send them to a channel.",
            )
        return _asked_slack(
            configured.slack_webhook_url.get_secret_value(), configured.alert_timeout_seconds
        )

    yield _tried("slack", "webhook", webhook)


def _asked_slack(url: str, timeout: int) -> str | Finding:
    import requests

    try:
        answer = requests.post(url, json={}, timeout=timeout, allow_redirects=False)
    except requests.RequestException as error:  # its text has the address, which is a secret
        said = f"No answer ({type(error).__name__}). Check SLACK_WEBHOOK_URL, and that this machine may reach it."
        return Finding("slack", "webhook", "try again", said)
    text = answer.text.strip()[:60]
    if answer.status_code == 400 and text in (
        "no_text",
        "invalid_payload",
        "missing_text_or_fallback_or_attachments",
    ):
        return "The channel takes messages (it was asked without posting one)."
    if answer.status_code == 429 or answer.status_code >= 500:
        return Finding(
            "slack", "webhook", "try again", f"Slack answered {answer.status_code}: {text}."
        )
    return Finding(
        "slack",
        "webhook",
        "fails",
        f"Slack answered {answer.status_code}: {text}. Make a new incoming webhook and set "
        "SLACK_WEBHOOK_URL.",
    )
