"""What needs somebody now, in sentences, each with the action that helps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pipeline.sources import SOURCES
from pipeline_page.grid import Cell, Grid, Row
from pipeline_page.metadata import DBT_DAG, PUBLISH, REBUILD_DAG

Weight = Literal["red", "amber"]
Errors = Mapping[
    tuple[str, str, str], str
]  # (day, DAG, task) -> the first line of its newest error

_SOURCES = {source.name: source for source in SOURCES}
_WAITS = ("running", "retrying", "due")


@dataclass(frozen=True)
class Action:
    """What a button does: ``load`` one source for a day, ``rebuild`` a day's marts, or ``backfill``
    all six for a day.
    """

    kind: Literal["load", "rebuild", "backfill"]
    day: date
    source: str = ""
    rebuilds: bool = False  # the day's marts exist and will be rebuilt by it

    @property
    def dag_ids(self) -> tuple[str, ...]:
        """The DAGs it triggers: whoever may trigger all of them sees the button."""
        if self.kind == "rebuild":
            return (REBUILD_DAG,)
        return tuple(
            source.dag_id
            for source in SOURCES
            if self.kind == "backfill" or source.name == self.source
        )

    @property
    def label(self) -> str:
        if self.kind == "load":
            return f"Load {self.source} again"
        return "Rebuild the marts" if self.kind == "rebuild" else "Back-fill this day"


@dataclass(frozen=True)
class Sentence:
    day: date
    text: str
    weight: Weight
    action: Action | None = None


def what_needs_me(grid: Grid, errors: Errors, last_days: int | None = None) -> list[Sentence]:
    """What is broken before what is odd, the newest day first; empty when nothing needs anybody.

    Args:
        last_days: how many of the newest days are looked at; the others only say what is usual.
    """
    said = [
        sentence
        for day in reversed(grid.days[-(last_days or 0) :])
        for sentence in _of_day(grid, day, errors)
    ]
    return sorted(said, key=lambda sentence: sentence.weight != "red")


def action_of(grid: Grid, cell: Cell) -> Action | None:
    """What can be done about a cell, whether or not something is wrong with it."""
    if cell.state in ("before", "due", "running"):
        return None
    if cell.row in _SOURCES:
        return Action("load", cell.day, cell.row, rebuilds=is_built(grid, cell.day))
    if all(
        source.task and source.task.state == "success" for source in _sources_of(grid, cell.day)
    ):
        return Action("rebuild", cell.day)
    return None


def is_built(grid: Grid, day: date) -> bool:
    """Whether the day's marts have been published."""
    cell = grid.cell(PUBLISH, day)
    return bool(cell and cell.task and cell.task.state == "success")


def _sources_of(grid: Grid, day: date) -> list[Cell]:
    return list(grid.of_day(day)[: len(grid.sources)])


def _of_day(grid: Grid, day: date, errors: Errors) -> list[Sentence]:
    sources = _sources_of(grid, day)
    if all(cell.state == "missing" for cell in sources):
        text = f"{day} never happened: none of the six sources has a run for it."
        return [Sentence(day, text, "red", Action("backfill", day))]
    said = [sentence for cell in sources if (sentence := _of_source(grid, cell, sources, errors))]
    for cell in grid.of_day(day)[len(grid.sources) :]:
        sentence = _of_step(cell, errors)
        if sentence:
            said.append(sentence)
            break  # the steps after it wait for it
    unusual = [
        text
        for row, cell in zip(grid.sources, sources, strict=True)
        if (text := _unusual(row, cell))
    ]
    if unusual:
        said.append(
            Sentence(
                day,
                f"Far from what is usual on that weekday, {day}: {'; '.join(unusual)}.",
                "amber",
            )
        )
    return said


def _of_source(grid: Grid, cell: Cell, sources: list[Cell], errors: Errors) -> Sentence | None:
    name, day, built = cell.row, cell.day, is_built(grid, cell.day)
    again = Action("load", day, name, rebuilds=built)
    failed = f"{name} failed for {day}{_try(cell)}{_error(cell, errors)}"
    if cell.state == "failed":
        then = "The published marts hold its load of before." if built else "dbt waits for it."
        return Sentence(day, f"{failed}; {_others(cell, sources)}. {then}", "red", again)
    if cell.state == "retrying":
        return Sentence(day, f"{failed}. It will be tried again.", "amber")
    if cell.state == "missing":
        text = f"{name} is missing for {day}: it has no run; {_others(cell, sources)}."
        return Sentence(day, f"{text} dbt waits for it.", "red", again)
    if cell.state == "late" and cell.task and cell.task.state != "success":
        return Sentence(day, f"{name} is late for {day}: {cell.note} dbt waits for it.", "amber")
    if cell.state == "stale":
        text = f"{name} was loaded again for {day} after its marts were built."
        return Sentence(day, text, "amber", Action("rebuild", day))
    return None


def _of_step(cell: Cell, errors: Errors) -> Sentence | None:
    rebuild = Action("rebuild", cell.day)
    failed = f"{cell.row} failed for {cell.day}{_try(cell)}{_error(cell, errors)}"
    if cell.state == "failed":
        return Sentence(cell.day, f"{failed}. Nothing was published for it.", "red", rebuild)
    if cell.state == "retrying":
        return Sentence(cell.day, f"{failed}. It will be tried again.", "amber")
    if cell.state == "missing":
        text = f"All six sources of {cell.day} are loaded, but dbt never began."
        return Sentence(cell.day, text, "red", rebuild)
    return None


def _others(cell: Cell, sources: list[Cell]) -> str:
    lacking = [
        other.row
        for other in sources
        if other.row != cell.row and not (other.task and other.task.state == "success")
    ]
    if not lacking:
        return "the other five are loaded"
    return f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not loaded either"


def _try(cell: Cell) -> str:
    return (
        f" on try {cell.task.try_number} of {cell.task.tries}"
        if cell.task and cell.task.try_number
        else ""
    )


def _error(cell: Cell, errors: Errors) -> str:
    dag_id = cell.task.dag_id if cell.task else DBT_DAG
    text = errors.get((str(cell.day), dag_id, cell.task.task_id if cell.task else ""), "")
    return f": {text.rstrip('.')}" if text else ""


def _unusual(row: Row, cell: Cell) -> str:
    """``orders brought 40 rows, usually about 1,629``, or nothing."""
    band = row.bands.get(cell.day)
    if band is None or cell.rows is None or not band.far_outside(cell.rows):
        return ""
    return f"{cell.row} brought {cell.rows:,} rows, usually about {band.middle:,.0f}"
