"""What each source and each step of dbt has come to on each day: one cell each. No Airflow, no
database in here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

from alerting.policy import pipeline_sla, policy
from alerting.volume import Band, usual
from pipeline.days import current_day
from pipeline.schedule import scheduled_start
from pipeline.sources import SOURCES
from pipeline_page.metadata import DBT_DAG, DBT_TASKS, GATE, PUBLISH, TaskRun, days_up_to

State = Literal[
    "done", "running", "failed", "retrying", "late", "missing", "stale", "waiting", "due", "before"
]

LABELS: dict[State, str] = {
    "done": "loaded",
    "running": "running",
    "failed": "failed",
    "retrying": "will be tried again",
    "late": "late",
    "missing": "missing",
    "stale": "stale",
    "waiting": "waiting",
    "due": "due",
    "before": "before the first day Airflow knows",
}
ROW_NAMES = {
    "dbt_run_staging": "staging",
    "dbt_run_intermediate": "intermediate",
    "dbt_run_marts": "marts",
    "dbt_test_all": "tests",
    "publish_marts": "publication",
}
# All six sources are announced one after the other, and the scheduler has to see it: until then
# nothing is wrong.
DBT_FOLLOWS_WITHIN = timedelta(minutes=2)
_FAILED, _RUNNING = ("failed", "upstream_failed", "removed"), ("running", "deferred")


@dataclass(frozen=True)
class Cell:
    """One source or one step of dbt on one day. Times are UTC without a zone.

    ``until``: when it ends to be in time, for what is due or runs today. ``note``: why it is as it
    is, a sentence. ``published_at``: for a step of dbt, when the day was published last, if ever.
    """

    row: str
    day: date
    state: State
    task: TaskRun | None = None
    until: datetime | None = None
    note: str = ""
    published_at: datetime | None = None

    @property
    def label(self) -> str:
        if self.state == "done" and self.row in DBT_TASKS:
            return "published" if self.row == PUBLISH else "done"
        return LABELS[self.state]

    @property
    def result(self) -> Mapping[str, Any]:
        value = self.task.result if self.task else None
        return value if isinstance(value, Mapping) else {}

    @property
    def rows(self) -> int | None:
        rows = self.result.get("rows")
        return int(rows) if isinstance(rows, int) else None

    @property
    def rejects(self) -> int:
        rejects = self.result.get("rows_rejected")
        return int(rejects) if isinstance(rejects, int) else 0

    @property
    def seconds(self) -> float | None:
        return self.task.seconds if self.task else None


@dataclass(frozen=True)
class Row:
    """One line of the grid: a source, or a step of dbt, over the days."""

    name: str
    dag_id: str
    task_id: str
    cells: tuple[Cell, ...]

    @property
    def title(self) -> str:
        return ROW_NAMES.get(self.name, self.name)

    @cached_property
    def rows_by_day(self) -> dict[date, int]:
        """Rows of a source by day, where it was loaded."""
        return {cell.day: rows for cell in self.cells if (rows := cell.rows) is not None}

    @cached_property
    def bands(self) -> dict[date, Band]:
        """What is usual on each day of which enough is known."""
        return {
            cell.day: band for cell in self.cells if (band := usual(self.rows_by_day, cell.day))
        }


@dataclass(frozen=True)
class Grid:
    days: tuple[date, ...]
    sources: tuple[Row, ...]
    steps: tuple[Row, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        return (*self.sources, *self.steps)

    def cell(self, row: str, day: date) -> Cell | None:
        line = next((line for line in self.rows if line.name == row), None)
        return line.cells[self.days.index(day)] if line and day in self.days else None

    def of_day(self, day: date) -> tuple[Cell, ...]:
        """All cells of a day, those of the sources first."""
        return tuple(line.cells[self.days.index(day)] for line in self.rows)


def draw(runs: Iterable[TaskRun], first: date | None, now: datetime, number_of_days: int) -> Grid:
    """The grid of the days up to the current one.

    Args:
        runs: of the loads and of dbt's steps, oldest first.
        first: the pipeline's first day; earlier days are no gap.
        now: with a zone.
    """
    today, clock = current_day(now), now.replace(tzinfo=None)
    days = days_up_to(today, number_of_days)
    by_day: dict[date, list[TaskRun]] = {day: [] for day in days}
    for run in runs:
        if run.day in by_day:
            by_day[run.day].append(run)
    cells: dict[str, list[Cell]] = {
        name: [] for name in (*(source.name for source in SOURCES), *DBT_TASKS)
    }
    for day in days:
        drawn = _Day(day, by_day[day], today, clock, first)
        for cell in drawn.cells():
            cells[cell.row].append(cell)
    return Grid(
        tuple(days),
        tuple(
            Row(source.name, source.dag_id, source.dag_id, tuple(cells[source.name]))
            for source in SOURCES
        ),
        tuple(Row(task_id, DBT_DAG, task_id, tuple(cells[task_id])) for task_id in DBT_TASKS),
    )


class _Day:
    """One column while it is drawn."""

    def __init__(
        self, day: date, runs: Sequence[TaskRun], today: date, now: datetime, first: date | None
    ) -> None:
        self.day, self.today, self.now = day, today, now
        self.before = first is None or day < first
        self.start = scheduled_start(day)
        # A run of dbt that was skipped at its gate found the day built by another one.
        idle = {run.run_id for run in runs if run.task_id == GATE and run.state == "skipped"}
        self.runs = [run for run in runs if run.run_id not in idle]
        # A run that was marked as done by hand hides none that did the work.
        in_order = sorted(self.runs, key=lambda run: not run.by_hand)
        self.newest = {(run.dag_id, run.task_id): run for run in in_order}
        self.build = self.newest.get((DBT_DAG, GATE))
        # Only the current day can be late; what is loaded on a later day is a back-fill or a
        # correction.
        self.over = self.start + timedelta(days=1)

    def cells(self) -> Iterable[Cell]:
        sources = [
            self._source(source.name, source.dag_id, policy(source.kind).sla) for source in SOURCES
        ]
        yield from sources
        published_at = max(self._publications(), default=None)
        for task_id in DBT_TASKS:
            yield replace(self._step(task_id, sources), published_at=published_at)

    def _cell(
        self,
        row: str,
        state: State,
        task: TaskRun | None = None,
        *,
        until: datetime | None = None,
        note: str = "",
    ) -> Cell:
        return Cell(row, self.day, state, task, until, note)

    def _source(self, name: str, dag_id: str, sla: timedelta | None) -> Cell:
        run = self.newest.get((dag_id, dag_id))
        if run is None:
            return self._absent(name, self.start + (sla or timedelta(0)))
        until = (run.run_started or run.started or self.now) + sla if sla else None
        if under_way := self._under_way(name, run, until):
            return under_way
        if self._stale(run):
            note = "It was loaded again after the day's marts were built."
            return self._cell(name, "stale", run, note=note)
        in_the_morning = run.run_type == "scheduled" and run.ended and run.ended < self.over
        if in_the_morning and until and run.ended and run.ended > until:
            note = f"It was loaded {_minutes(run.ended - until)} after its SLA."
            return self._cell(name, "late", run, note=note)
        return self._cell(name, "done", run)

    def _absent(self, name: str, due: datetime) -> Cell:
        if self.before:
            return self._cell(name, "before")
        if self.day == self.today and self.now < due:
            return self._cell(name, "due", until=due, note="It has not begun.")
        note = "It was never loaded: there is no run for this day."
        return self._cell(name, "missing", note=note)

    def _under_way(self, name: str, run: TaskRun, until: datetime | None) -> Cell | None:
        """The cell of a task that has not succeeded; None for one that has."""
        if run.state in _FAILED:
            return self._cell(name, "failed", run)
        if run.state == "up_for_retry":
            return self._cell(name, "retrying", run, until=until)
        if run.by_hand:
            note = "It was marked success by hand, and nothing came of it: clear it."
            return self._cell(name, "failed", run, note=note)
        if run.state == "success":
            return None
        if run.state == "skipped":
            return self._cell(name, "waiting", run, note="It was skipped.")
        if run.asks:
            return self._cell(name, "waiting", run, note="It waits for a person's answer.")
        if run.run_state in _FAILED:
            return self._cell(name, "failed", run, note="Its run has failed.")
        is_today = self.day == self.today
        if until and self.now > until and is_today and run.run_type != "backfill":
            note = f"It runs {_minutes(self.now - until)} over its SLA."
            return self._cell(name, "late", run, until=until, note=note)
        note = "" if run.state in _RUNNING else "It is queued."
        return self._cell(name, "running", run, until=until if is_today else None, note=note)

    def _stale(self, load: TaskRun) -> bool:
        """Whether the source was loaded after the newest build had read the load records."""
        if self.build is None or self.build.state != "success":
            return False
        return bool(load.ended and self.build.ended and load.ended > self.build.ended)

    def _step(self, task_id: str, sources: Sequence[Cell]) -> Cell:
        run = self.newest.get((DBT_DAG, task_id))
        due = self.start + pipeline_sla()
        if run is None:
            return self._not_built(task_id, sources, due)
        if run.run_state == "queued" or (run.state is None and run.run_state == "running"):
            return self._waiting(task_id, due, run, "The step before it has not ended.")
        if run.state == "upstream_failed":
            return self._cell(task_id, "waiting", run, note="A step before it failed.")
        if under_way := self._under_way(task_id, run, due):
            return under_way
        if task_id != PUBLISH:
            return self._cell(task_id, "done", run)
        if any(cell.state == "stale" for cell in sources):
            note = "A source was loaded again after these marts were built."
            return self._cell(task_id, "stale", run, note=note)
        published = self._first_publication()
        if published and due < published < self.over:
            note = f"It was published {_minutes(published - due)} after its SLA."
            return self._cell(task_id, "late", run, note=note)
        return self._cell(task_id, "done", run)

    def _first_publication(self) -> datetime | None:
        """When the day was published for the first time, if its loads ran by schedule: else it
        could not be late.
        """
        if not any(run.run_type == "scheduled" for run in self.runs if run.dag_id != DBT_DAG):
            return None
        return min(self._publications(), default=None)

    def _publications(self) -> list[datetime]:
        """When the day was published, each time."""
        done = (run for run in self.runs if run.task_id == PUBLISH and run.succeeded)
        return [run.ended for run in done if run.ended]

    def _not_built(self, task_id: str, sources: Sequence[Cell], due: datetime) -> Cell:
        lacking = [cell for cell in sources if not _loaded(cell)]
        if self.before and len(lacking) == len(sources):
            return self._cell(task_id, "before")
        if len(lacking) == len(sources) and all(cell.state == "missing" for cell in lacking):
            note = "The day never happened: no source has a run for it."
            return self._cell(task_id, "missing", note=note)
        if lacking:
            names = ", ".join(cell.row for cell in lacking)
            return self._waiting(task_id, due, None, f"dbt waits for {names}.")
        ends = (cell.task.ended for cell in sources if cell.task and cell.task.ended)
        if self.now - max(ends, default=self.now) < DBT_FOLLOWS_WITHIN:
            note = "All six sources are loaded; dbt is about to begin."
            return self._waiting(task_id, due, None, note)
        note = "All six sources are loaded, but dbt never began."
        return self._cell(task_id, "missing", note=note)

    def _waiting(self, task_id: str, due: datetime, run: TaskRun | None, note: str) -> Cell:
        """A step that waits; publication alone has a time by which it must be there."""
        if self.day != self.today or task_id != PUBLISH:
            return self._cell(task_id, "waiting", run, note=note)
        state: State = "late" if self.now > due else "waiting"
        return self._cell(task_id, state, run, until=due, note=note)


def _loaded(cell: Cell) -> bool:
    return cell.task is not None and cell.task.succeeded


def _minutes(late: timedelta) -> str:
    minutes = late.total_seconds() / 60
    return f"{minutes:.0f} min" if minutes >= 1 else f"{late.total_seconds():.0f} s"
