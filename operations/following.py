"""Follows a back-fill: every load, the dbt runs that come of them, and how each day stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

from operations.airflow_api import AirflowApi
from operations.backfill import DBT_DAG, UNFINISHED, Range, Started, close
from pipeline.days import DayError, day_of
from pipeline.sources import SOURCES

PAGE = 100
POLL_SECONDS = 1.0
# From the announcement that completes a day to the dbt run Airflow makes of it: below a second,
# more on a busy machine.
QUIET_SECONDS = 4.0
DBT_PATIENCE_SECONDS = 180.0


@dataclass(frozen=True)
class DayOutcome:
    """One day of the range.

    ``loads``: state by source. ``builds``: states of its dbt runs since the back-fill began.
    """

    day: date
    loads: dict[str, str]
    builds: tuple[str, ...]
    build_expected: bool

    @property
    def failed(self) -> bool:
        missing = self.build_expected and not self.builds
        return missing or any(
            state != "success" for state in (*self.loads.values(), *self.builds[-1:])
        )

    def __str__(self) -> str:
        loaded = [name for name, state in self.loads.items() if state == "success"]
        failed = [name for name, state in self.loads.items() if state != "success"]
        said = f"{self.day}  {len(loaded)} of {len(self.loads)} loaded"
        if failed:
            said += f", failed: {', '.join(failed)}"
        if self.builds:
            return f"{said}; dbt: {', '.join(self.builds)}"
        if self.build_expected:
            return (
                f"{said}; dbt did NOT run, although it should have: trigger rebuild_day for "
                f"{self.day}"
            )
        return f"{said}; dbt waits for the other sources of the day"


@dataclass
class Following:
    """A back-fill in progress. ``watch`` returns when nothing of it is left to happen."""

    api: AirflowApi
    days: Range
    started: Sequence[Started]
    say: Callable[[str], None]
    # run_id of a load -> whether it had its day rebuilt.
    _rebuilt: dict[str, bool] = field(default_factory=dict)

    def watch(self) -> list[DayOutcome]:
        """Wait for the last load and for dbt, telling the progress; then close the back-fill.

        Returns the days in order.
        """
        told = ""
        quiet_since: float | None = None
        while True:
            outcomes = self.outcomes()
            progress = self._progress(outcomes)
            if progress != told:
                self.say(progress)
                told = progress
            if self._busy(outcomes):
                quiet_since = None
            else:
                quiet_since = quiet_since or time.monotonic()
                patience = (
                    DBT_PATIENCE_SECONDS
                    if any(day.build_expected and not day.builds for day in outcomes)
                    else QUIET_SECONDS
                )
                if time.monotonic() - quiet_since > patience or all(day.builds for day in outcomes):
                    break
            time.sleep(POLL_SECONDS)
        for one in self.started:
            close(self.api, one.id)
        return outcomes

    def outcomes(self) -> list[DayOutcome]:
        """How each day of the range stands now."""
        loads = {one.source.name: self._loads(one) for one in self.started}
        builds = self._builds(min(one.created_at for one in self.started))
        return [self._outcome(day, loads, builds.get(day, [])) for day in self.days.days]

    def _outcome(
        self, day: date, loads: dict[str, dict[str, dict[str, Any]]], builds: list[str]
    ) -> DayOutcome:
        of_day = {
            name: runs.get(day.isoformat(), {"state": "not started"})
            for name, runs in loads.items()
        }
        states = {name: str(run["state"]) for name, run in of_day.items()}
        expected = not builds and any(self._rebuilds(run) for run in of_day.values())
        all_six = len(loads) == len(SOURCES) and set(states.values()) == {"success"}
        return DayOutcome(day, states, tuple(builds), expected or all_six)

    def _rebuilds(self, run: dict[str, Any]) -> bool:
        """Whether a load that has ended found its day complete before, and had it built again."""
        if run["state"] != "success":
            return False
        run_id = run["dag_run_id"]
        if run_id not in self._rebuilt:
            of_run = f"/dags/{run['dag_id']}/dagRuns/{quote(run_id, safe='')}"
            path = f"{of_run}/taskInstances/rebuild_marts"
            self._rebuilt[run_id] = self.api.call("GET", path)["state"] == "success"
        return self._rebuilt[run_id]

    def _busy(self, outcomes: Sequence[DayOutcome]) -> bool:
        unfinished = ("not started", *UNFINISHED)
        return any(
            state in unfinished for day in outcomes for state in (*day.loads.values(), *day.builds)
        )

    def _loads(self, one: Started) -> dict[str, dict[str, Any]]:
        """The runs of one source's back-fill by partition key."""
        bounds = f"partition_date_gte={self.days.first}&partition_date_lte={self.days.last}"
        runs = self._runs(one.source.dag_id, f"{bounds}&run_type=backfill")
        return {
            run["partition_key"]: run for run in reversed(list(runs)) if _since(run, one.created_at)
        }

    def _builds(self, since: datetime) -> dict[date, list[str]]:
        """States of dbt's runs asked for since that moment, by day, oldest first.

        Only their own days tell what they are for: a correction's run has no partition key.
        """
        found: dict[date, list[str]] = {}
        asked = quote(since.isoformat(), safe="")
        for run in reversed(list(self._runs(DBT_DAG, f"run_after_gte={asked}"))):
            with suppress(DayError):
                found.setdefault(day_of(run), []).append(run["state"])
        return found

    def _runs(self, dag_id: str, which: str) -> Iterator[dict[str, Any]]:
        """Those runs of a DAG, newest first."""
        offset, total = 0, 1
        while offset < total:
            page = self.api.call(
                "GET", f"/dags/{dag_id}/dagRuns?{which}&order_by=-id&limit={PAGE}&offset={offset}"
            )
            yield from page["dag_runs"]
            offset, total = offset + PAGE, page["total_entries"]

    @staticmethod
    def _progress(outcomes: Sequence[DayOutcome]) -> str:
        loads = [state for day in outcomes for state in day.loads.values()]
        failed = f" ({loads.count('failed')} failed)" if "failed" in loads else ""
        ended = sum(state in ("success", "failed") for state in loads)
        built = sum("success" in day.builds for day in outcomes)
        return f"{ended} of {len(loads)} loads ended{failed}, {built} of {len(outcomes)} days built"


def _since(run: dict[str, Any], moment: datetime) -> bool:
    """Whether a run was asked for after a moment of Airflow's clock."""
    asked = run["queued_at"] or run["start_date"]
    return asked is None or datetime.fromisoformat(asked) >= moment
