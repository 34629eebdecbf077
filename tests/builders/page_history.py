"""Writes a history of runs into a migrated metadata database, as scheduler and tasks would."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel

from pipeline.sources import SOURCES
from pipeline_page.metadata import DBT_DAG, DBT_TASKS, GATE, LAYERS, PUBLISH, TEST

USUAL_ROWS = {
    "orders": 1600,
    "customers": 210,
    "products": 4,
    "order_items": 4000,
    "charges": 1700,
    "marketing": 20,
}


def morning(day: date, minutes: float = 0) -> datetime:
    return datetime.combine(day, time(6), UTC) + timedelta(minutes=minutes)


@dataclass
class History:
    """Runs written by hand. Times are minutes after 06:00 UTC of the day."""

    connection: sa.Connection

    def run(
        self, dag_id: str, day: date | None, *, at: float = 0, took: float = 1,
        state: str = "success",
        run_type: str = "scheduled", conf: dict[str, Any] | None = None,
        asked_on: date | None = None,
    ) -> tuple[int, str]:  # fmt: skip
        """One run; ``day`` None: without a partition key, asked for on ``asked_on``."""
        start = morning(day or asked_on or date.min, at)
        run_id = f"{run_type}__{start.isoformat()}__{uuid.uuid4().hex[:8]}"
        row = {
            "dag_id": dag_id,
            "run_id": run_id,
            "run_type": run_type,
            "state": state,
            "run_after": start,
            "queued_at": start,
            "start_date": start,
            "end_date": start + timedelta(minutes=took) if state in ("success", "failed") else None,
            "partition_key": day.isoformat() if day else None,
            "conf": conf or {},
            "clear_number": 0,
            "log_template_id": None,
            "updated_at": start,
            "created_at": start,
        }
        known = {name: value for name, value in row.items() if name in DagRun.__table__.columns}
        return int(
            self.connection.execute(DagRun.__table__.insert().values(known)).inserted_primary_key[0]
        ), run_id  # type: ignore[index]

    def task(
        self, dag_id: str, run: tuple[int, str], task_id: str, start: datetime,
        seconds: float | None, *,
        state: str | None = "success", try_number: int = 1, max_tries: int = 2, result: Any = None,
    ) -> None:  # fmt: skip
        over = seconds is not None and state not in ("running", None)
        row = {
            "id": uuid.uuid4(),
            "dag_id": dag_id,
            "run_id": run[1],
            "task_id": task_id,
            "map_index": -1,
            "state": state,
            "start_date": start if state else None,
            "end_date": start + timedelta(seconds=seconds or 0) if over else None,
            "duration": seconds if over else None,
            "try_number": try_number,
            "max_tries": max_tries,
            "pool": "default_pool",
            "pool_slots": 1,
            "queue": "default",
            "priority_weight": 1,
            "updated_at": start,
            "task_display_name": task_id,
        }
        self.connection.execute(TaskInstance.__table__.insert().values(row))
        if result is not None:
            value = {
                "dag_id": dag_id,
                "run_id": run[1],
                "dag_run_id": run[0],
                "task_id": task_id,
                "map_index": -1,
            }
            self.connection.execute(
                XComModel.__table__.insert().values(
                    {**value, "key": "return_value", "value": result, "timestamp": start}
                )
            )

    def load(
        self, name: str, day: date, *, at: float = 0, seconds: float = 4, rows: int | None = None,
        rejects: int = 0,
        state: str | None = "success", try_number: int = 1, run_type: str = "scheduled",
    ) -> None:  # fmt: skip
        """One load of one source for a day."""
        source = next(source for source in SOURCES if source.name == name)
        whole = {"success": "success", "failed": "failed"}.get(state or "", "running")
        run = self.run(source.dag_id, day, at=at, took=seconds / 60, state=whole, run_type=run_type)
        end = morning(day).replace(tzinfo=None)
        result = {
            "source": name,
            "day": day.isoformat(),
            "load_id": f"{name}-{day}",
            "rows": USUAL_ROWS[name] if rows is None else rows,
            "rows_rejected": rejects,
            "window": [(end - timedelta(days=1)).isoformat(), end.isoformat()],
            "watermark": end.isoformat(),
            "seconds": seconds,
        }
        self.task(
            source.dag_id, run, source.dag_id, morning(day, at), seconds, state=state,
            try_number=try_number,
            result=result if state == "success" else None,
        )  # fmt: skip

    def build(
        self,
        day: date,
        *,
        at: float = 1,
        failing: str | None = None,
        warned: int = 9,
        run_type: str = "asset_triggered",
    ) -> None:
        """One run of dbt for a day, up to the task that fails."""
        run = self.run(
            DBT_DAG, day, at=at, took=1, state="failed" if failing else "success", run_type=run_type
        )
        start, failed = morning(day, at), False
        for task_id in (GATE, *DBT_TASKS):
            seconds = 12.0 if task_id == TEST else 1.5
            state = "upstream_failed" if failed else "failed" if task_id == failing else "success"
            failed = failed or state == "failed"
            self.task(
                DBT_DAG,
                run,
                task_id,
                start,
                seconds,
                state=state,
                result=self._built(task_id, day, warned) if not failed else None,
            )
            start += timedelta(seconds=seconds + 0.5)

    @staticmethod
    def _built(task_id: str, day: date, warned: int) -> Any:
        if task_id in LAYERS:
            names = (
                ("fct_orders", "dim_customers")
                if task_id.endswith("marts")
                else (f"{task_id}_model",)
            )
            models = [
                {"name": name, "seconds": 0.2 + len(name) / 40, "rows": 100, "kept": False}
                for name in names
            ]
            return {"layer": task_id, "models": models}
        if task_id == TEST:
            return {
                "day": day.isoformat(),
                "passed": 282 - warned,
                "warned": warned,
                "total": 282,
                "tests": [],
            }
        return {"day": day.isoformat()} if task_id == PUBLISH else []

    def ordinary(self, day: date, chance: random.Random) -> None:
        """A day on which everything went well."""
        for name, rows in USUAL_ROWS.items():
            weekend = 0.7 if day.weekday() >= 5 else 1.0
            self.load(
                name,
                day,
                seconds=chance.uniform(1, 6),
                rows=round(rows * weekend * chance.uniform(0.93, 1.07)),
            )
        self.build(day)
