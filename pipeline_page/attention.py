"""What needs somebody now, in sentences: one per cause, each with the action that helps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from alerting.incidents import Incident
from alerting.policy import policy
from alerting.store import Reported
from pipeline.sources import SOURCES
from pipeline_page.grid import Cell, Grid, Row
from pipeline_page.metadata import PUBLISH, REBUILD_DAG, TEST

Weight = Literal["red", "amber"]
Errors = Mapping[tuple[str, str, str], Reported]  # (day, DAG, task) -> its newest error

_SOURCES = {source.name: source for source in SOURCES}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")


@dataclass(frozen=True)
class Action:
    """What a button does: ``load`` sources for a day, ``rebuild`` a day's marts, or ``backfill``
    all six for a day, or for the days up to ``last``.
    """

    kind: Literal["load", "rebuild", "backfill"]
    day: date
    sources: tuple[str, ...] = ()
    rebuilds: bool = False  # the day's marts exist and will be rebuilt by it
    again: bool = True  # there has been a run of it
    last: date | None = None

    @property
    def dag_ids(self) -> tuple[str, ...]:
        """The DAGs it triggers: whoever may trigger all of them sees the button."""
        if self.kind == "rebuild":
            return (REBUILD_DAG,)
        return tuple(
            source.dag_id
            for source in SOURCES
            if self.kind == "backfill" or source.name in self.sources
        )

    @property
    def label(self) -> str:
        if self.kind == "load":
            what = self.sources[0] if len(self.sources) == 1 else f"{len(self.sources)} sources"
            return f"Load {what}{' again' if self.again else ''}"
        if self.kind == "rebuild":
            return "Rebuild the marts"
        return "Back-fill these days" if self.last else "Back-fill this day"


@dataclass(frozen=True)
class Sentence:
    """One cause on one day: what is wrong, who waits, what helps.

    ``facts`` are label and text, such as the tests that failed with their rows; ``cell`` is the one
    whose log says more.
    """

    day: date
    text: str
    weight: Weight
    action: Action | None = None
    cell: Cell | None = None
    facts: tuple[tuple[str, str], ...] = ()
    runbook: str = ""  # the section that helps
    incident: Incident | None = None


def what_needs_me(
    grid: Grid,
    errors: Errors,
    last_days: int | None = None,
    incidents: Sequence[Incident] = (),
) -> list[Sentence]:
    """What is broken before what is odd, the newest day first; empty when nothing needs anybody.

    Args:
        last_days: how many of the newest days are looked at; the others only say what is usual.
        incidents: those that are open; each stands beside what the grid shows of it, or by itself.
    """
    days = grid.days[-(last_days or 0) :]
    never = [day for day in days if _never_happened(grid, day)]
    said = [_of_gap(gap) for gap in _in_a_row(never)]
    for day in reversed(days):
        if day not in never:
            said += _Day(grid, day, errors, incidents).sentences()
    shown = {sentence.incident.id for sentence in said if sentence.incident}
    said += [_of_incident(one, grid) for one in incidents if one.id not in shown]
    return sorted(said, key=lambda one: (one.weight != "red", -one.day.toordinal()))


def action_of(grid: Grid, cell: Cell) -> Action | None:
    """What can be done about a cell, whether or not something is wrong with it."""
    if cell.state in ("before", "due", "running"):
        return None
    if cell.row in _SOURCES:
        built = is_built(grid, cell.day)
        return Action("load", cell.day, (cell.row,), built, again=cell.task is not None)
    if all(source.task and source.task.succeeded for source in _sources_of(grid, cell.day)):
        return Action("rebuild", cell.day)
    return None


def is_built(grid: Grid, day: date) -> bool:
    """Whether the day's marts have been published."""
    cell = grid.cell(PUBLISH, day)
    return bool(cell and cell.published_at)


def _sources_of(grid: Grid, day: date) -> list[Cell]:
    return list(grid.of_day(day)[: len(grid.sources)])


def _never_happened(grid: Grid, day: date) -> bool:
    return all(cell.state == "missing" for cell in _sources_of(grid, day))


def _in_a_row(days: Sequence[date]) -> Iterable[tuple[date, date]]:
    """First and last of each run of days without a gap."""
    begin = None
    for day in days:
        begin = begin or day
        if day + timedelta(days=1) not in days:
            yield begin, day
            begin = None


def _of_gap(gap: tuple[date, date]) -> Sentence:
    first, last = gap
    if first == last:
        text = f"{first} never happened: none of the six sources has a run for it."
        return Sentence(first, text, "red", Action("backfill", first))
    text = f"{first} to {last} never happened: none of the six sources has a run for these days."
    return Sentence(last, text, "red", Action("backfill", first, last=last))


def _of_incident(incident: Incident, grid: Grid) -> Sentence:
    """An incident of which the grid shows nothing: of another DAG, or of a key that is no day."""
    day = date.fromisoformat(incident.day) if incident.day else grid.days[-1]
    dags = ", ".join(sorted({task.partition(".")[0] for task in incident.tasks}))
    of = f"{incident.day}: " if incident.day else ""
    text = f"{of}{dags or incident.dag_id}: {incident.title.rstrip('.')}."
    return Sentence(day, text, "red", runbook=_section(incident.title), incident=incident)


class _Day:
    """What is to be said of one day on which at least one source has a run."""

    def __init__(
        self, grid: Grid, day: date, errors: Errors, incidents: Sequence[Incident]
    ) -> None:
        self.grid, self.day, self.errors = grid, day, errors
        self.incidents = [one for one in incidents if one.day == str(day)]
        self.sources = _sources_of(grid, day)
        self.built = is_built(grid, day)
        self.lacking = [cell for cell in self.sources if not (cell.task and cell.task.succeeded)]

    def sentences(self) -> list[Sentence]:
        missing = [cell for cell in self.sources if cell.state == "missing"]
        failed = [cell for cell in self.sources if cell.state == "failed" and not _by_hand(cell)]
        groups = self._by_cause(failed)
        said: list[Sentence] = []
        if len(groups) == 1 and missing and len(missing) + len(failed) == len(self.sources):
            said.append(self._stopped(groups[0], missing))
        else:
            said += [self._failed(group) for group in groups]
            said += [self._missing(missing)] if missing else []
        others = (cell for cell in self.sources if cell not in (*missing, *failed))
        said += [sentence for cell in others if (sentence := self._source(cell))]
        for cell in self.grid.of_day(self.day)[len(self.grid.sources) :]:
            if sentence := self._step(cell):
                said.append(sentence)
                break  # the steps after it wait for it
        unusual = [
            text
            for row, cell in zip(self.grid.sources, self.sources, strict=True)
            if (text := _unusual(row, cell))
        ]
        if unusual:
            text = f"Far from what is usual on that weekday, {self.day}: {'; '.join(unusual)}."
            said.append(Sentence(self.day, text, "amber"))
        return said

    def _by_cause(self, cells: Sequence[Cell]) -> list[list[Cell]]:
        """Failed sources by their incident, or their error."""
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            incident, reported = self._incident(cell), self._reported(cell)
            cause = incident.id if incident else reported.text if reported else cell.row
            groups.setdefault(cause, []).append(cell)
        return list(groups.values())

    def _stopped(self, failed: list[Cell], missing: list[Cell]) -> Sentence:
        """Nothing is loaded: some failed, and the rest never began."""
        names, number = ", ".join(cell.row for cell in failed), _NUMBERS[len(missing)]
        text = (
            f"{self.day}: {number} source{'s' * (len(missing) > 1)} did not run after {names} "
            f"failed{_try(failed[0])}{self._error(failed[0])}. dbt waits for all six."
        )
        return self._sentence(failed[0], text, Action("backfill", self.day))

    def _failed(self, cells: list[Cell]) -> Sentence:
        names = tuple(cell.row for cell in cells)
        it = "it" if len(cells) == 1 else "them"
        its = "its load" if len(cells) == 1 else "their loads"
        then = (
            f"The published marts hold {its} of before." if self.built else f"dbt waits for {it}."
        )
        text = (
            f"{', '.join(names)} failed for {self.day}{_try(cells[0])}{self._error(cells[0])}; "
            f"{self._others(names)}. {then}"
        )
        return self._sentence(cells[0], text, Action("load", self.day, names, self.built))

    def _missing(self, cells: list[Cell]) -> Sentence:
        names = tuple(cell.row for cell in cells)
        text = (
            f"{', '.join(names)} did not run for {self.day}; {self._others(names)}. dbt waits for "
            f"{'it' if len(names) == 1 else 'them'}."
        )
        action = Action("load", self.day, names, self.built, again=False)
        return Sentence(self.day, text, "red", action)

    def _source(self, cell: Cell) -> Sentence | None:
        name = cell.row
        if _by_hand(cell):
            text = f"{name} of {self.day} was marked success by hand: nothing was loaded. Clear it."
            again = Action("load", self.day, (name,), self.built)
            return self._sentence(cell, text, again, runbook="markedbyhanderror")
        if cell.state == "retrying":
            failed = f"{name} failed for {self.day}{_try(cell)}{self._error(cell)}"
            return self._sentence(cell, f"{failed}. It will be tried again.", weight="amber")
        if cell.state == "late" and cell.task and cell.task.state != "success":
            text = f"{name} is late for {self.day}: {cell.note} dbt waits for it."
            return self._sentence(cell, text, weight="amber")
        if cell.state == "stale":
            text = f"{name} was loaded again for {self.day} after its marts were built."
            return Sentence(self.day, text, "amber", Action("rebuild", self.day))
        return None

    def _step(self, cell: Cell) -> Sentence | None:
        rebuild = Action("rebuild", self.day)
        failed = f"{cell.row} failed for {self.day}{_try(cell)}{self._error(cell)}"
        if cell.task and cell.task.asks:
            incident = self._incident(cell)
            why = f": {incident.title}" if incident else ""
            text = f"{self.day} is built and held{why}. Is it to be published?"
            return self._sentence(cell, text, runbook="helddayerror")
        if _by_hand(cell):
            marked = f"{cell.row} of {self.day} was marked success by hand"
            text = f"{marked}: nothing came of it. Clear it."
            return self._sentence(cell, text, rebuild, runbook="markedbyhanderror")
        if cell.state == "failed":
            then = (
                f"What was published at {cell.published_at:%Y-%m-%d %H:%M} UTC stays."
                if cell.published_at
                else "Nothing was published for it."
            )
            return self._sentence(cell, f"{failed}. {then}", rebuild)
        if cell.state == "retrying":
            return self._sentence(cell, f"{failed}. It will be tried again.", weight="amber")
        if cell.state == "missing":
            text = f"All six sources of {self.day} are loaded, but dbt never began."
            return Sentence(self.day, text, "red", rebuild)
        return None

    def _sentence(
        self,
        cell: Cell,
        text: str,
        action: Action | None = None,
        *,
        weight: Weight = "red",
        runbook: str = "",
    ) -> Sentence:
        reported = self._reported(cell)
        return Sentence(
            self.day,
            text,
            weight,
            action,
            cell,
            tuple(reported.facts.items()) if reported and not runbook else (),
            runbook or (_section(reported.text) if reported else ""),
            self._incident(cell),
        )

    def _reported(self, cell: Cell) -> Reported | None:
        if cell.task is None:
            return None
        return self.errors.get((str(self.day), cell.task.dag_id, cell.task.task_id))

    def _incident(self, cell: Cell) -> Incident | None:
        task = f"{cell.task.dag_id}.{cell.task.task_id}" if cell.task else ""
        return next((one for one in self.incidents if task in one.tasks), None)

    def _error(self, cell: Cell) -> str:
        said = self._reported(cell)
        return f": {said.text.rstrip('.')}" if said else ""

    def _others(self, names: Sequence[str]) -> str:
        lacking = [cell.row for cell in self.lacking if cell.row not in names]
        if not lacking:
            return f"the other {_NUMBERS[len(self.sources) - len(names)]} are loaded"
        return f"{', '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} not loaded either"


def _by_hand(cell: Cell) -> bool:
    return bool(cell.task and cell.task.by_hand)


def _section(error: str) -> str:
    """The runbook's section of an error, from the name of its class, as alerts write it."""
    name = error.partition(":")[0].strip()
    return name.lower() if name.isidentifier() else ""


def _try(cell: Cell) -> str:
    """``on try 3 of 3``, counted from when the task was last cleared."""
    if not (cell.task and cell.task.try_number):
        return ""
    kind = _SOURCES[cell.row].kind if cell.row in _SOURCES else "dbt_run"
    retries = policy("dbt_test" if cell.row == TEST else kind).retries
    before = max(cell.task.tries - retries - 1, 0)
    if before == 0 or cell.task.try_number <= before:
        return f" on try {cell.task.try_number} of {cell.task.tries}"
    return f" on try {cell.task.try_number - before} of {retries + 1} since it was cleared"


def _unusual(row: Row, cell: Cell) -> str:
    """``orders brought 40 rows, usually about 1,629``, or nothing."""
    band = row.bands.get(cell.day)
    if band is None or cell.rows is None or not band.far_outside(cell.rows):
        return ""
    return f"{cell.row} brought {cell.rows:,} rows, usually about {band.middle:,.0f}"
