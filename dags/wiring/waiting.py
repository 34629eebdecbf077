"""Waits for an input that comes later: a file somebody drops.

The task goes to sleep and looks again, in no slot of a worker and without a failed try. Once it is
late an alert names what is awaited; the load goes on as soon as it is there.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from airflow.sdk.exceptions import AirflowRescheduleException

from pipeline.contracts import Source
from pipeline.days import day_of
from pipeline.errors import AwaitedInputError
from pipeline.schedule import scheduled_start

LOOK_AGAIN = timedelta(seconds=30)


def wait_for(error: AwaitedInputError, loaded: Source, run: Any) -> NoReturn:
    """Look again in a while. Raises the error itself where waiting means nothing: in a back-fill,
    and for a day that is over.

    Args:
        error: names what is awaited.
        run: the run of the source's DAG.
    """
    from alerting.sla import Breach, can_be_late, report_breach
    from ingestion.csv_uploads.settings import CsvSettings
    from pipeline.settings import settings

    day, now = day_of(run), datetime.now(UTC)
    if not can_be_late(day, run.run_type):
        raise error
    start = scheduled_start(day).replace(tzinfo=UTC)
    allowed = timedelta(minutes=settings(CsvSettings).late_after_minutes)
    if now >= start + allowed:
        report_breach(
            Breach(
                scope=loaded.dag_id,
                day=day,
                sla=allowed,
                since=start,
                waiting_for=str(error),
                dag_id=loaded.dag_id,
                run_id=run.run_id,
            )
        )
    raise AirflowRescheduleException(now + LOOK_AGAIN)  # type: ignore[no-untyped-call]
