"""Which day a run is for: the same answer for a task, an alert, a deadline and the page.

Each of the four is handed the run in another form, and each has its own way to go on when the run
has no day: a task fails with a sentence, an alert is sent without a day, a run gets no deadline,
and the page leaves the run out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRun

from alerting import deadlines
from alerting.context import alert_of
from pipeline.days import DayError, current_day, day_of
from pipeline_page import metadata

SEVEN = datetime(2026, 11, 2, 7, tzinfo=UTC)
DAY = date(2026, 11, 2)
BAD = ["2026-13-01", "yesterday", "02.11.2026", "2026-1-2", "0001-01-01"]


def run_of(key: str | None = None, *, day: str | None = None, at: datetime = SEVEN) -> DagRun:
    """A run as a task gets it."""
    return DagRun(
        dag_id="extract_postgres_orders",
        run_id="manual__1",
        logical_date=None,
        data_interval_start=None,
        data_interval_end=None,
        run_after=at,
        start_date=at,
        end_date=None,
        run_type="manual",  # type: ignore[arg-type]
        state="running",  # type: ignore[arg-type]
        conf={"day": day} if day else None,
        consumed_asset_events=[],
        partition_key=key,
    )


def as_json(run: DagRun) -> dict[str, Any]:
    """The same run as the REST API and a deadline's callback get it."""
    answer: dict[str, Any] = run.model_dump(mode="json")
    return answer


def as_row(run: DagRun) -> Any:
    """The same run as a row of Airflow's metadata, with one of its tasks."""
    task = {"run_state": "running", "run_started": SEVEN, "state": "success", "task_id": run.dag_id}
    times = {"try_number": 1, "max_tries": 2, "started": SEVEN, "ended": SEVEN, "result": None}
    return SimpleNamespace(**{**run.model_dump(), **task, **times})


def day_of_alert(run: DagRun) -> str | None:
    return alert_of({"dag_run": run}, "failure").day


def has_deadline(run: DagRun, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether Airflow is told of a deadline for the run; a day of any age can be late here."""
    monkeypatch.setattr("alerting.sla.can_be_late", lambda day, run_type: True)
    row = SimpleNamespace(**{**run.model_dump(), "queued_at": SEVEN})
    session: Any = SimpleNamespace(scalar=lambda query: row)
    found = deadlines.RunThatCanBeLate()._evaluate_with(
        session=session, dag_id=run.dag_id, run_id=run.run_id
    )
    return found is not None


@pytest.mark.parametrize(
    ("run", "day"),
    [
        (run_of("2026-11-02", day="2026-11-01"), DAY),
        (run_of(day="2026-11-01"), date(2026, 11, 1)),
        (run_of(), DAY),
        (run_of(at=SEVEN - timedelta(hours=2)), date(2026, 11, 1)),
    ],
    ids=["partition key", "trigger form", "asked for after 06:00", "asked for before 06:00"],
)
def test_the_day_is_the_same_in_whatever_form_the_run_comes(run: DagRun, day: date) -> None:
    assert day_of(run) == day_of(as_json(run)) == day
    assert day_of_alert(run) == str(day)
    read = metadata._task_run(as_row(run))
    assert read and read.day == day


def test_a_moment_without_a_zone_is_utc() -> None:
    assert day_of({"run_after": "2026-11-02T05:59:59"}) == date(2026, 11, 1)
    assert day_of({"run_after": datetime(2026, 11, 2, 6)}) == DAY


@pytest.mark.parametrize("text", [*BAD, str(current_day() + timedelta(days=1))])
@pytest.mark.parametrize("given", ["key", "form"])
def test_a_run_without_a_possible_day_goes_nowhere_and_harms_nothing(
    text: str, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(text) if given == "key" else run_of(day=text)
    for form in (run, as_json(run)):
        with pytest.raises(DayError, match=f"{text}.* (is not a day|has not come|cannot be)"):
            day_of(form)
    assert day_of_alert(run) is None
    assert not has_deadline(run, monkeypatch)
    assert metadata._task_run(as_row(run)) is None


def test_a_run_with_a_day_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_deadline(run_of("2026-11-02"), monkeypatch)


@pytest.mark.parametrize("nothing", [None, {}, SimpleNamespace()])
def test_what_says_nothing_has_no_day(nothing: Mapping[str, Any] | None) -> None:
    with pytest.raises(DayError, match="neither a partition key nor the moment"):
        day_of(nothing)
    assert alert_of({"dag_run": nothing}, "failure").day is None
