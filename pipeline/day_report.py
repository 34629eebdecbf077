"""How a day stands: what is loaded, what is announced, whether dbt was called; and what to do about
it. No Airflow in here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from pipeline.pool import SET_POOL
from pipeline.records import DayState, LoadRecord
from pipeline.sources import SOURCES

SourceState = Literal["loaded", "loaded, not announced", "running", "failed", "no run"]
DBT_DAG = "ecommerce_dbt"
_LOADED: tuple[SourceState, ...] = ("loaded", "loaded, not announced")


@dataclass(frozen=True)
class DayReport:
    """One day, as the load records, the announcements and the publication tell it.

    Attributes:
        errors: what was reported last of the day's failed tries, by source.
        last_build: when the newest build began, UTC without a zone.
        lost: all six sources are loaded, and no build has read all of it.
        paused: DAGs that are paused: they run nothing until somebody unpauses them.
        build_failed: what the newest build failed with, where nothing of it runs any more.
    """

    day: date
    sources: dict[str, SourceState]
    rows: dict[str, int]
    errors: Mapping[str, str]
    last_build: datetime | None
    published: bool
    lost: bool
    paused: tuple[str, ...]
    build_failed: str

    @property
    def waiting_for(self) -> list[str]:
        """The sources that have not loaded the day."""
        return [name for name, state in self.sources.items() if state not in _LOADED]

    @property
    def goes_on(self) -> bool:
        """Whether anything runs, or is about to, that brings the day on by itself."""
        if self.waiting_for:
            return "running" in self.sources.values()
        return not (self.published or self.build_failed or DBT_DAG in self.paused)

    def sentences(self) -> list[str]:
        """What a person on call needs to know, a sentence each."""
        return [self._of_source(name) for name in self.sources] + self.conclusion()

    def conclusion(self) -> list[str]:
        """What the day comes to, and what else a person has to look at."""
        said = [self._verdict()]
        if DBT_DAG in self.paused:
            said.append(
                f"The DAG {DBT_DAG} is paused: its runs wait, and announcements made meanwhile "
                "start none. Unpause it; the days that wait are built then."
            )
        if loads := [dag_id for dag_id in self.paused if dag_id != DBT_DAG]:
            said.append(
                f"Paused as well, so nothing is loaded by them: {', '.join(loads)}. Unpause them."
                if len(said) > 1
                else f"Paused, so nothing is loaded by them: {', '.join(loads)}. Unpause them."
            )
        silent = [name for name, state in self.sources.items() if state == "loaded, not announced"]
        if silent:
            said.append(
                f"Loaded, but not announced: {', '.join(silent)}. The task publish has failed, or "
                f"it waits. It waits for ever if Airflow's pool is missing: {SET_POOL}"
            )
        return said

    def _of_source(self, name: str) -> str:
        state = self.sources[name]
        rows = f", {self.rows[name]:,} rows" if name in self.rows else ""
        known = state in ("running", "failed") and name in self.errors
        error = f": {self.errors[name].rstrip('.')}" if known else ""
        return f"{name}: {state}{rows}{error}."

    def _verdict(self) -> str:
        if self.waiting_for:
            return " ".join([f"dbt waits for {', '.join(self.waiting_for)}.", *self._what_to_do()])
        if self.lost:
            return (
                f"All six sources of {self.day} are loaded, but dbt has not begun: a run of it is "
                "started."
            )
        if self.published:
            return f"{self.day} is published."
        began = (
            f"began at {self.last_build:%H:%M:%S} UTC" if self.last_build else "is about to begin"
        )
        if self.build_failed:
            failed = self.build_failed.rstrip(".")
            began = (
                f"{began} and has failed: {failed}. Nothing more is tried: clear its failed task"
            )
        return f"All six sources of {self.day} are loaded; dbt {began}."

    def _what_to_do(self) -> list[str]:
        """What a person does about the sources that nothing brings on by itself."""
        failed = [name for name in self.waiting_for if self.sources[name] == "failed"]
        absent = [name for name in self.waiting_for if self.sources[name] == "no run"]
        said = []
        if failed:
            have = "has" if len(failed) == 1 else "have"
            said.append(
                f"{', '.join(failed)} {have} failed and nothing more is tried: clear the failed "
                f"task of {_dags_of(failed)}."
            )
        if absent:
            have = "has" if len(absent) == 1 else "have"
            said.append(
                f"{', '.join(absent)} {have} no run for the day: trigger {_dags_of(absent)} with "
                f"the key {self.day}."
            )
        return said


def report_day(
    state: DayState,
    records: tuple[LoadRecord, ...],
    *,
    running: frozenset[str] = frozenset(),
    published_day: date | None = None,
    errors: Mapping[str, str] | None = None,
    lost: bool = False,
    paused: Collection[str] = (),
    build_failed: str = "",
) -> DayReport:
    """Put together what is known of a day.

    Args:
        records: the day's latest load of each source.
        running: sources whose DAG has a run in progress.
        published_day: the newest day that is published.
        errors, lost, paused, build_failed: as in ``DayReport``.
    """
    rows = {record.source: record.rows_extracted for record in records}
    errors = errors or {}

    def state_of(name: str) -> SourceState:
        if name in rows:
            return "loaded" if name in state.announced else "loaded, not announced"
        if name in running:
            return "running"
        return "failed" if name in errors else "no run"

    return DayReport(
        day=state.day,
        sources={source.name: state_of(source.name) for source in SOURCES},
        rows=rows,
        errors=errors,
        last_build=state.last_build,
        published=published_day is not None and published_day >= state.day,
        lost=lost,
        paused=tuple(paused),
        build_failed=build_failed,
    )


def _dags_of(names: Collection[str]) -> str:
    return ", ".join(source.dag_id for source in SOURCES if source.name in names)
