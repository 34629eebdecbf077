"""Starts a back-fill for one source or all six: Airflow's own, with the last day included."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from operations.airflow_api import AirflowApi, AirflowApiError
from pipeline.contracts import Source
from pipeline.days import DayError, past_day
from pipeline.pool import PUBLISH_POOL, complaint_about
from pipeline.sources import SOURCES

ALL = "all"
DBT_DAG = "ecommerce_dbt"
NOT_FOUND, CONFLICT = 404, 409
UNFINISHED = ("queued", "running")


class BackfillRefused(Exception):  # noqa: N818  it is no defect: the sentence says what to do instead
    """A back-fill that cannot be started as asked; nothing was started unless the text says so."""


@dataclass(frozen=True)
class Range:
    """Days from the first to the last, both included."""

    first: date
    last: date

    @property
    def days(self) -> list[date]:
        return [
            self.first + timedelta(days=number)
            for number in range((self.last - self.first).days + 1)
        ]

    def __str__(self) -> str:
        return f"{self.first} to {self.last}" if self.first != self.last else str(self.first)


@dataclass(frozen=True)
class Started:
    """One source's back-fill as Airflow knows it.

    ``created_at`` is Airflow's clock, with its zone.
    """

    source: Source
    id: int
    created_at: datetime


def asked_sources(name: str) -> tuple[Source, ...]:
    """The source of that name, or the six of them for ``all``."""
    chosen = SOURCES if name == ALL else tuple(source for source in SOURCES if source.name == name)
    if not chosen:
        known = ", ".join(source.name for source in SOURCES)
        raise BackfillRefused(
            f"There is no source called {name!r}. Known sources: {known}; {ALL} for all six."
        )
    return tuple(chosen)


def asked_range(first: str, last: str | None) -> Range:
    """The days as given; refuses what is no day, lies in the future, or is upside down.

    ``last`` defaults to ``first``.
    """
    try:
        days = Range(past_day(first), past_day(last) if last else past_day(first))
    except DayError as error:
        raise BackfillRefused(str(error)) from None
    if days.last < days.first:
        raise BackfillRefused(
            f"The last day, {days.last}, lies before the first, {days.first}. --backwards loads "
            "the last first."
        )
    return days


def start(
    api: AirflowApi, sources: Sequence[Source], days: Range, *, backwards: bool, days_at_a_time: int
) -> tuple[Started, ...]:
    """Ask Airflow for runs of all the days, loaded ones included: a repeated load does no harm.

    Args:
        backwards: the last day first.
        days_at_a_time: how many days of one source are loaded side by side.

    Raises:
        BackfillRefused: Airflow is not ready for it; nothing was started, or the sentence says what
            was.
    """
    check_ready(api, sources)
    return create(api, sources, days, backwards=backwards, days_at_a_time=days_at_a_time)


def create(
    api: AirflowApi, sources: Sequence[Source], days: Range, *, backwards: bool, days_at_a_time: int
) -> tuple[Started, ...]:
    """What ``start`` does when it has found Airflow ready."""
    started: list[Started] = []
    for source in sources:
        body = {
            "dag_id": source.dag_id,
            "from_date": datetime.combine(days.first, time.min, UTC).isoformat(),
            "to_date": datetime.combine(
                days.last, time.max, UTC
            ).isoformat(),  # Airflow's bound is a moment, ours a day
            "run_backwards": backwards,
            "reprocess_behavior": "completed",
            "max_active_runs": days_at_a_time,
        }
        try:
            answer = api.call("POST", "/backfills", json=body)
        except AirflowApiError as error:
            before = (
                f" Started before: {', '.join(one.source.name for one in started)}."
                if started
                else ""
            )
            raise BackfillRefused(
                f"Airflow refused the back-fill of {source.name}: {error}.{before}"
            ) from None
        started.append(
            Started(source, int(answer["id"]), datetime.fromisoformat(answer["created_at"]))
        )
    return tuple(started)


def check_ready(api: AirflowApi, sources: Sequence[Source]) -> None:
    """Refuse a back-fill that would wait for ever, or whose announcements would be lost."""
    if complaint := complaint_about(api.pool_slots(PUBLISH_POOL)):
        raise BackfillRefused(complaint)
    for dag_id in (*(source.dag_id for source in sources), DBT_DAG):
        try:
            dag = api.call("GET", f"/dags/{dag_id}")
        except AirflowApiError as error:
            if error.status != NOT_FOUND:
                raise
            raise BackfillRefused(
                f"Airflow on {api.url} has no DAG {dag_id}. Is AIRFLOW_API_URL right?"
            ) from None
        if dag["is_paused"]:
            why = (
                "what is announced while it is paused is lost"
                if dag_id == DBT_DAG
                else "its runs would wait"
            )
            raise BackfillRefused(f"The DAG {dag_id} is paused: {why}. Unpause it first.")
    for source in sources:
        for active in active_backfills(api, source):
            if _unfinished_runs(api, source, active):
                first, last = str(active["from_date"])[:10], str(active["to_date"])[:10]
                raise BackfillRefused(
                    f"A back-fill of {source.name} from {first} to {last} is under way (number "
                    f"{active['id']}). "
                    "Wait until it has ended, or cancel it in Airflow: "
                    f"{api.url}/dags/{source.dag_id}/backfills"
                )
            close(api, int(active["id"]))


def active_backfills(api: AirflowApi, source: Source) -> list[dict[str, Any]]:
    """Back-fills of a source that Airflow has not closed yet."""
    found = api.call("GET", f"/backfills?dag_id={source.dag_id}&order_by=-id&limit=20")["backfills"]
    return [backfill for backfill in found if backfill["completed_at"] is None]


def _unfinished_runs(api: AirflowApi, source: Source, backfill: dict[str, Any]) -> bool:
    first, last = str(backfill["from_date"])[:10], str(backfill["to_date"])[:10]
    bounds = f"partition_date_gte={first}&partition_date_lte={last}"
    states = "&".join(f"state={state}" for state in UNFINISHED)
    path = f"/dags/{source.dag_id}/dagRuns?run_type=backfill&{bounds}&{states}&limit=1"
    return bool(api.call("GET", path)["dag_runs"])


def close(api: AirflowApi, backfill_id: int) -> None:
    """Tell Airflow that a back-fill whose runs are over is over.

    Until Airflow sees that by itself, it refuses the next one.
    """
    try:
        api.call("PUT", f"/backfills/{backfill_id}/cancel")
    except AirflowApiError as error:
        if error.status != CONFLICT:  # closed already
            raise
