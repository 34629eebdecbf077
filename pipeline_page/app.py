"""The page itself: a FastAPI application that Airflow's API server mounts, with Airflow's own
sign-in and rights.

It only reads, but for who looks after an incident. What any other button does is a request of the
browser to Airflow's public REST API, so that rights, validation and the audit log are Airflow's.
"""

import logging
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import BaseModel, Field

from alerting import incidents
from alerting.alert import duration
from alerting.store import Reported, newest_errors, silence
from alerting.volume import WEEKS
from pipeline.days import current_day, parse_day
from pipeline.errors import PipelineError
from pipeline_page import plots
from pipeline_page.attention import Action, action_of, what_needs_me
from pipeline_page.grid import LABELS, Cell, Grid, draw
from pipeline_page.metadata import (
    DBT_DAG,
    LOAD_DAGS,
    REBUILD_DAG,
    days_up_to,
    first_day,
    obstacles,
    pending_days,
    slowest_models,
    task_runs,
)
from pipeline_page.runbook import runbook_html

logger = logging.getLogger(__name__)

HERE = Path(__file__).parent
SPANS = (7, 30, 90)
MOST_SENTENCES = 12
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

TEMPLATES = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def create_app() -> FastAPI:
    """The application; it answers nobody who is not signed in to Airflow."""
    app = FastAPI(title="Pipeline", docs_url=None, redoc_url=None, openapi_url=None)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.get("/", response_class=HTMLResponse)(page)
    app.get("/cell", response_class=HTMLResponse)(cell)
    app.get("/runbook", response_class=HTMLResponse)(runbook)
    app.post("/incidents")(handle)
    return app


def page(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    days: Annotated[int, Query()] = 30,
    part: Annotated[bool, Query()] = False,
) -> HTMLResponse:
    """The whole page, or with ``part`` only what changes; ``days`` is 7, 30 or 90."""
    shown = days if days in SPANS else 30
    now = datetime.now(UTC)
    readable = _readable(user)
    grid = _grid(session, readable, now, shown + 7 * WEEKS)
    wanted = days_up_to(current_day(now), shown)
    may = _may(user)
    open_ones = _incidents() if DBT_DAG in readable else []
    needs = [
        replace(said, action=_allowed(said.action, may))
        for said in what_needs_me(grid, _errors(), shown, open_ones)
    ]
    base = _base(request)
    html = TEMPLATES.get_template("part.html" if part else "page.html").render(
        days=wanted,
        shown=shown,
        spans=SPANS,
        grid=grid,
        needs=needs[:MOST_SENTENCES],
        more=needs[MOST_SENTENCES:],
        obstacles=[*_silence(), *obstacles(session)] if DBT_DAG in readable else [],
        may_handle=all(may.values()),
        pending=[key for key in pending_days(session) if key != str(wanted[-1])]
        if DBT_DAG in readable
        else [],
        may_backfill=all(may.values()),
        now=now,
        states=LABELS,
        active=any(c.state in ("running", "retrying") for c in grid.of_day(wanted[-1])),
        log_of=lambda found: base + _log_path(found) if found and found.task else "",
        rows_plots=plots.rows_plots(grid, wanted),
        seconds_plot=plots.seconds_plot(grid, wanted),
        tests_plot=plots.tests_plot(grid, wanted),
        models_plot=plots.models_plot(slowest_models(session) if DBT_DAG in readable else []),
    )
    return HTMLResponse(html, headers=HEADERS)


def cell(
    request: Request,
    user: GetUserDep,
    session: SessionDep,
    row: Annotated[str, Query(max_length=60)],
    day: Annotated[str, Query(max_length=10)],
) -> HTMLResponse:
    """What is known of one cell: window, watermark, load id, try, the first line of its error; and
    what can be done.
    """
    try:
        wanted = parse_day(day)
    except PipelineError as error:
        raise HTTPException(400, str(error)) from error
    now = datetime.now(UTC)
    span = (current_day(now) - wanted).days + 1
    if not 1 <= span <= max(SPANS):
        raise HTTPException(404, f"The page does not show {wanted}.")
    grid = _grid(session, _readable(user), now, span)
    found = grid.cell(row, wanted)
    if found is None:
        raise HTTPException(404, f"There is no row {row[:60]!r}.")
    html = TEMPLATES.get_template("cell.html").render(
        cell=found,
        error=_error_of(found),
        log=_base(request) + _log_path(found) if found.task else "",
        action=_allowed(action_of(grid, found), _may(user)),
        facts=_facts(found),
    )
    return HTMLResponse(html, headers=HEADERS)


def runbook() -> HTMLResponse:
    """docs/runbook.md, where alerts lead to; it holds no secret and asks for no sign-in."""
    html = TEMPLATES.get_template("runbook.html").render(text=runbook_html())
    return HTMLResponse(html, headers=HEADERS)


class Handling(BaseModel):
    """What somebody does about an incident."""

    incident: str = Field(max_length=300)
    minutes: int = Field(default=0, ge=0, le=24 * 60)  # to snooze for; 0: acknowledge it


def handle(request: Request, user: GetUserDep, asked: Handling) -> dict[str, str]:
    """Acknowledge or snooze an incident; the store keeps who and when.

    Raises:
        HTTPException: 403 from another site's page or for somebody who may not trigger the DAGs,
            404 where no such incident is open.
    """
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise HTTPException(403, "Only the page itself may ask for this.")
    if not all(_may(user).values()):
        raise HTTPException(403, "You may not trigger the DAGs of the pipeline.")
    who = str(user.get_name())
    done = (
        incidents.snooze(asked.incident, who, asked.minutes)
        if asked.minutes
        else incidents.acknowledge(asked.incident, who)
    )
    if not done:
        raise HTTPException(404, "No such incident is open.")
    return {"by": who}


def _base(request: Request) -> str:
    """What stands before every path of Airflow: the path of ``[api] base_url``, or nothing."""
    return str(request.scope.get("root_path", "")).removesuffix("/pipeline")


def _incidents() -> list[incidents.Incident]:
    try:
        return incidents.open_incidents()
    except Exception as error:
        logger.warning("The store of sent alerts cannot be read: %s", type(error).__name__)
        return []


def _silence() -> list[str]:
    """A sentence about alerts that reached nobody, if there are any."""
    try:
        return silence()
    except Exception as error:
        name = type(error).__name__
        return [f"The store of sent alerts (ALERTS_DATABASE_URL) cannot be read ({name})."]


def _grid(session: Any, readable: set[str], now: datetime, number_of_days: int) -> Grid:
    first = current_day(now) - timedelta(days=number_of_days - 1)
    return draw(task_runs(session, first, readable), first_day(session), now, number_of_days)


def _readable(user: Any) -> set[str]:
    """Which of our DAGs the user may see; the others' cells look as if nothing had run."""
    return set(get_auth_manager().get_authorized_dag_ids(user=user)) & {
        *LOAD_DAGS,
        DBT_DAG,
        REBUILD_DAG,
    }


def _may(user: Any) -> dict[str, bool]:
    """Per DAG whether the user may trigger it: buttons are shown to those only. Airflow checks
    again when one is pressed.
    """
    manager = get_auth_manager()
    return {
        dag_id: manager.is_authorized_dag(
            method="POST",
            access_entity=DagAccessEntity.RUN,
            details=DagDetails(id=dag_id),
            user=user,
        )
        for dag_id in (*LOAD_DAGS, REBUILD_DAG)
    }


def _allowed(action: Action | None, may: dict[str, bool]) -> Action | None:
    return action if action and all(may[dag_id] for dag_id in action.dag_ids) else None


def _errors() -> dict[tuple[str, str, str], Reported]:
    """The newest errors, from the store of sent alerts; none where it cannot be
    reached.
    """
    try:
        return newest_errors(datetime.now(UTC).replace(tzinfo=None) - timedelta(days=max(SPANS)))
    except Exception as error:
        logger.warning("The store of sent alerts cannot be read: %s", type(error).__name__)
        return {}


def _error_of(found: Cell) -> str:
    if found.task is None or found.state not in ("failed", "retrying"):
        return ""
    reported = _errors().get((str(found.day), found.task.dag_id, found.task.task_id))
    return reported.text if reported else ""


def _facts(found: Cell) -> list[tuple[str, str]]:
    task, result = found.task, found.result
    window = result.get("window") or [None, None]
    facts = [
        ("Rows", f"{found.rows:,}" if found.rows is not None else ""),
        ("Set aside", f"{found.rejects:,}" if found.rejects else ""),
        ("Newly set aside", "; ".join(result.get("newly_rejected") or ())),
        ("Duration", duration(found.seconds) if found.seconds is not None else ""),
        (
            "Window",
            f"{_moment(window[0]) or 'the beginning'} to {_moment(window[1])}" if window[1] else "",
        ),
        ("Watermark", _moment(result.get("watermark"))),
        ("Load", str(result.get("load_id") or "")),
        (
            "Tests",
            f"{result['passed']} passed, {result['warned']} warned" if "passed" in result else "",
        ),
        ("Try", f"{task.try_number} of {task.tries}" if task and task.try_number else ""),
        ("Began", _moment(task.started.isoformat()) if task and task.started else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _moment(text: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(text)):%Y-%m-%d %H:%M:%S} UTC" if text else ""
    except ValueError:
        return str(text)


def _log_path(found: Cell) -> str:
    """Where Airflow's UI shows the log of the newest try; empty where nothing ran."""
    if found.task is None:
        return ""
    task = found.task
    return (
        f"/dags/{quote(task.dag_id)}/runs/{quote(task.run_id, safe='')}/tasks/{quote(task.task_id)}"
    )


def _short(number: int | None) -> str:
    """``7``, ``1.6k``, ``250k``, ``1.2M``; empty for None."""
    if number is None or number < 1_000:
        return "" if number is None else str(number)
    if number >= 999_500:
        return f"{number / 1e6:.1f}M"
    return f"{number / 1e3:.0f}k" if number >= 9_950 else f"{number / 1e3:.1f}k"


TEMPLATES.filters["short"] = _short
TEMPLATES.filters["duration"] = duration
TEMPLATES.filters["iso"] = lambda moment: moment.isoformat() + "Z"
TEMPLATES.tests["today"] = lambda day: isinstance(day, date) and day == current_day()
