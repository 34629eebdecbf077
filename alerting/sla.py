"""SLA breaches: each is reported once, recorded in the warehouse, and stops nothing.

Only the current day can be late: a back-fill, or the correction of an old day, has no time by which
it must be there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from alerting.alert import Alert, duration
from pipeline.days import current_day
from pipeline.settings import settings as configured
from warehouse.settings import WarehouseSettings

logger = logging.getLogger(__name__)

LOCK_SECONDS = (
    60  # the alert is out by then; the record may wait this long for dbt to let go of the warehouse
)


@dataclass(frozen=True)
class Breach:
    """``scope`` (a DAG, the dbt run, the pipeline) should have been done ``sla`` after ``since``
    (UTC) and was not.

    ``goes_on`` is False where nothing runs any more that could make up for it.
    """

    scope: str
    day: date
    sla: timedelta
    since: datetime
    waiting_for: str = ""
    dag_id: str | None = None
    run_id: str | None = None
    goes_on: bool = True


def can_be_late(day: date, run_type: str | None = None, now: datetime | None = None) -> bool:
    """Whether lateness of this day's run means anything: not for back-fills, nor for days that are
    over.
    """
    return run_type != "backfill" and day >= current_day(now)


def report_breach(breach: Breach) -> bool:
    """Send one alert per scope and day, and record the breach; whether this call was the one. Never
    raises.
    """
    try:
        from alerting.slack import deliver

        delivered = deliver(breach_alert(breach))
    except Exception as error:
        logger.error(
            "The SLA alert of %s could not be made: %s", breach.scope, type(error).__name__
        )
        delivered = False
    try:
        _record(breach)
    except Exception as error:
        logger.error(
            "The SLA breach of %s on %s is not recorded in the warehouse: %s",
            breach.scope,
            breach.day,
            error,
        )
    return delivered


def breach_alert(breach: Breach) -> Alert:
    """The message of a breach: what is late, since when, and what it is waiting for."""
    from alerting.context import log_url
    from pipeline.masking import mask

    due = breach.since + breach.sla
    seconds = breach.sla.total_seconds()
    allowed = duration(seconds) if seconds % 60 else f"{seconds / 60:g} min"
    facts = [
        (
            "Late",
            f"{breach.scope}: its SLA of {allowed} from {breach.since:%H:%M:%S} UTC ended at "
            f"{due:%H:%M:%S} UTC",
        )
    ]
    if breach.waiting_for:
        facts.append(("Waiting for", mask(breach.waiting_for)))
    facts.append(
        (
            "Meanwhile",
            f"{'the work goes on; ' if breach.goes_on else ''}what is published stays as it was",
        )
    )
    return Alert(
        status="sla_breach",
        dag_id=breach.dag_id or breach.scope,
        key=f"sla|{breach.scope}|{breach.day}",
        day=str(breach.day),
        run_id=breach.run_id,
        log_url=log_url(breach.dag_id, breach.run_id, None, None, None) if breach.dag_id else None,
        facts=tuple(facts),
        runbook=_runbook(),
    )


@contextmanager
def watched(
    scope: str,
    day: date,
    sla: timedelta | None,
    since: datetime | None = None,
    *,
    waiting_for: str = "it is still running",
    dag_run: Any = None,
) -> Iterator[None]:
    """Report a breach the moment the work inside takes longer than ``sla`` from ``since`` (UTC;
    default: now).

    For work of one process, a retry of it included, and for several that share one SLA, such as the
    three dbt run tasks: each is watched ``since`` the first of them began. A task that waits for
    its retry when the SLA ends is reported when that retry begins.

    Args:
        sla: None where the work has none.
        dag_run: the run the work belongs to; a back-fill's is never late.
    """
    if sla is None:
        yield
        return
    start = since or datetime.now(UTC)
    run_type = getattr(dag_run, "run_type", None)
    breach = Breach(
        scope,
        day,
        sla,
        start,
        waiting_for,
        getattr(dag_run, "dag_id", None),
        getattr(dag_run, "run_id", None),
    )
    left = (start + sla - datetime.now(UTC)).total_seconds()
    timer = threading.Timer(max(left, 0.0), report_breach, (breach,))
    timer.daemon = True
    if not can_be_late(day, getattr(run_type, "value", run_type)):
        yield
        return
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(
            LOCK_SECONDS
        )  # a report under way is finished: the task's process ends right after its work


def _runbook() -> str:
    from alerting.runbook import link
    from alerting.settings import AlertingSettings

    return link("SlaBreach", configured(AlertingSettings).runbook_url)


def _record(breach: Breach) -> None:
    from warehouse import open_warehouse

    patient = {"lock_timeout_seconds": LOCK_SECONDS}
    warehouse = open_warehouse(configured(WarehouseSettings).model_copy(update=patient))
    since = breach.since.astimezone(UTC).replace(tzinfo=None)
    seconds = breach.sla.total_seconds()
    warehouse.record_breach(breach.scope, breach.day, seconds, since, breach.waiting_for)
