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


@dataclass(frozen=True)
class DayReport:
    """One day, as the load records, the announcements and the publication tell it. Times are UTC
    without a zone.
    """

    day: date
    sources: dict[str, SourceState]
    rows: dict[str, int]
    errors: dict[str, str]
    newest_load: datetime | None
    last_build: datetime | None
    published: bool

    @property
    def complete(self) -> bool:
        """Whether all six sources have loaded the day."""
        return all(state.startswith("loaded") for state in self.sources.values())

    @property
    def lost(self) -> bool:
        """Whether all six are loaded and dbt has not begun since: nobody is going to build this day
        unless it is told to.
        """
        if not self.complete or self.newest_load is None:
            return False
        return self.last_build is None or self.last_build < self.newest_load

    @property
    def waiting_for(self) -> list[str]:
        return [name for name, state in self.sources.items() if not state.startswith("loaded")]

    def sentences(self) -> list[str]:
        """What a person on call needs to know, a sentence each."""
        said = []
        for name, state in self.sources.items():
            rows = f", {self.rows[name]:,} rows" if name in self.rows else ""
            error = (
                f": {self.errors[name]}"
                if state in ("running", "failed") and name in self.errors
                else ""
            )
            said.append(f"{name}: {state}{rows}{error}{'' if error.endswith('.') else '.'}")
        return said + self.conclusion()

    def conclusion(self) -> list[str]:
        """What the day comes to, and what else a person has to look at."""
        said = [self._verdict()]
        if silent := [
            name for name, state in self.sources.items() if state == "loaded, not announced"
        ]:
            said.append(
                f"Loaded, but not announced: {', '.join(silent)}. The task publish has failed, or "
                "it waits. It waits for ever "
                f"if Airflow's pool is missing: {SET_POOL}"
            )
        return said

    def _verdict(self) -> str:
        if self.published:
            return f"{self.day} is published."
        if self.lost:
            return f"All six sources of {self.day} are loaded, but dbt has not begun: it is announced again."
        if self.complete:
            return f"All six sources of {self.day} are loaded; dbt began at {self.last_build:%H:%M:%S} UTC."
        return f"dbt waits for {', '.join(self.waiting_for)}."


def report_day(
    state: DayState,
    records: tuple[LoadRecord, ...],
    running: frozenset[str],
    published_day: date | None,
    errors: Mapping[str, str] | None = None,
) -> DayReport:
    """Put together what is known of a day.

    Args:
        records: the day's latest load of each source.
        running: sources whose DAG has a run in progress.
        published_day: the newest day that is published.
        errors: what was reported last of the day's failed tries, by source.
    """
    loaded = {record.source: record for record in records}
    errors = dict(errors or {})
    states: dict[str, SourceState] = {}
    for source in SOURCES:
        if source.name in loaded:
            states[source.name] = (
                "loaded" if source.name in state.announced else "loaded, not announced"
            )
        else:
            states[source.name] = (
                "running"
                if source.name in running
                else "failed"
                if source.name in errors
                else "missing"
            )
    return DayReport(
        day=state.day,
        sources=states,
        errors=errors,
        rows={name: record.rows_extracted for name, record in loaded.items()},
        newest_load=max((record.committed_at for record in records), default=None),
        last_build=state.last_build,
        published=published_day is not None and published_day >= state.day,
    )
