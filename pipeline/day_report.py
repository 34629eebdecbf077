"""How a day stands: what is loaded, what is announced, whether dbt was called; and what to do about
it. No Airflow in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from pipeline.pool import SET_POOL
from pipeline.records import DayState, LoadRecord
from pipeline.sources import SOURCES

SourceState = Literal["loaded", "loaded, not announced", "running", "failed", "missing"]
_LOADED: tuple[SourceState, ...] = ("loaded", "loaded, not announced")


@dataclass(frozen=True)
class DayReport:
    """One day, as the load records, the announcements and the publication tell it.

    Attributes:
        errors: what was reported last of the day's failed tries, by source.
        last_build: when the newest build began, UTC without a zone.
        lost: all six sources are loaded, and no build has read all of it.
        paused: ``ecommerce_dbt`` is paused: it builds nothing until somebody unpauses it.
    """

    day: date
    sources: dict[str, SourceState]
    rows: dict[str, int]
    errors: Mapping[str, str]
    last_build: datetime | None
    published: bool
    lost: bool
    paused: bool

    @property
    def waiting_for(self) -> list[str]:
        """The sources that have not loaded the day."""
        return [name for name, state in self.sources.items() if state not in _LOADED]

    def sentences(self) -> list[str]:
        """What a person on call needs to know, a sentence each."""
        return [self._of_source(name) for name in self.sources] + self.conclusion()

    def conclusion(self) -> list[str]:
        """What the day comes to, and what else a person has to look at."""
        said = [self._verdict()]
        if self.paused:
            said.append(
                "The DAG ecommerce_dbt is paused: its runs wait, and announcements made meanwhile "
                "start none. Unpause it; the days that wait are built then."
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
            return f"dbt waits for {', '.join(self.waiting_for)}."
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
        return f"All six sources of {self.day} are loaded; dbt {began}."


def report_day(
    state: DayState,
    records: tuple[LoadRecord, ...],
    *,
    running: frozenset[str] = frozenset(),
    published_day: date | None = None,
    errors: Mapping[str, str] | None = None,
    lost: bool = False,
    paused: bool = False,
) -> DayReport:
    """Put together what is known of a day.

    Args:
        records: the day's latest load of each source.
        running: sources whose DAG has a run in progress.
        published_day: the newest day that is published.
        errors, lost, paused: as in ``DayReport``.
    """
    rows = {record.source: record.rows_extracted for record in records}
    errors = errors or {}

    def state_of(name: str) -> SourceState:
        if name in rows:
            return "loaded" if name in state.announced else "loaded, not announced"
        if name in running:
            return "running"
        return "failed" if name in errors else "missing"

    return DayReport(
        day=state.day,
        sources={source.name: state_of(source.name) for source in SOURCES},
        rows=rows,
        errors=errors,
        last_build=state.last_build,
        published=published_day is not None and published_day >= state.day,
        lost=lost,
        paused=paused,
    )
