"""A source's SLA as a deadline of its run, which Airflow watches even while no task runs.

It needs the plugin `plugins/ecommerce_deadlines.py` in every Airflow process; without it there are
no deadlines, and the tasks' own watch (`alerting.sla.watched`) is all there is. Whichever of the
two is first reports the breach.

The reference is one of our own because Airflow 3.3.2 answers the clearing of a task with an
internal error where a run has a pending deadline of `DAGRUN_QUEUED_AT` (apache/airflow#70368), and
because a run of an old day is never late.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.configuration import conf
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import BaseDeadlineReference, DeadlineAlert

from pipeline.days import day_of

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

logger = logging.getLogger(__name__)

PLUGIN = "ecommerce_deadlines.py"


class RunThatCanBeLate(BaseDeadlineReference):
    """The moment a run was queued; no deadline for back-fills and for runs of past days."""

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Session, dag_id: str, run_id: str) -> datetime | None:
        """Called when a run is made; an error here would end the scheduler or API server."""
        try:
            from airflow.models import DagRun
            from sqlalchemy import select

            from alerting.sla import can_be_late

            run = session.scalar(
                select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
            )
            if run is None or not can_be_late(day_of(run), str(run.run_type)):
                return None
            queued: datetime | None = run.queued_at
            return queued
        except Exception as error:
            logger.error("%s of %s has no deadline: %s", run_id, dag_id, type(error).__name__)
            return None


def source_deadline(scope: str, sla: timedelta | None, waiting_for: str) -> list[DeadlineAlert]:
    """What a DAG's ``deadline`` is; empty where Airflow does not have the plugin."""
    if sla is None or not (Path(conf.get("core", "plugins_folder")) / PLUGIN).exists():
        return []
    said = {"scope": scope, "sla_seconds": sla.total_seconds(), "waiting_for": waiting_for}
    return [
        DeadlineAlert(
            RunThatCanBeLate(),
            sla,
            AsyncCallback("alerting.deadlines.on_missed", said),
            name=f"SLA of {scope}",
        )
    ]


async def on_missed(
    context: Mapping[str, Any], scope: str, sla_seconds: float, waiting_for: str
) -> None:
    """Report the breach.

    Runs in the triggerer, on a thread of its own: the warehouse may be locked for a while.
    """
    from alerting.sla import Breach, report_breach

    run, missed = context["dag_run"], context["deadline"]["deadline_time"]
    due = missed if isinstance(missed, datetime) else datetime.fromisoformat(missed)
    sla = timedelta(seconds=sla_seconds)
    failed = run["state"] == "failed"
    waiting_for = (
        "somebody who clears its task: its run has failed, nothing more is tried"
        if failed
        else waiting_for
    )
    breach = Breach(
        scope,
        day_of(run),
        sla,
        due - sla,
        waiting_for,
        run["dag_id"],
        run["dag_run_id"],
        goes_on=not failed,
    )
    await asyncio.to_thread(report_breach, breach)
