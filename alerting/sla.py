"""SLA breaches: each is reported once, recorded in the warehouse, and stops nothing.

Only the current day can be late: a back-fill, or the correction of an old day, has no time by which
it must be there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from alerting.alert import Alert, duration
from alerting.policy import pipeline_sla
from alerting.runbook import link
from alerting.settings import AlertingSettings
from alerting.severity import THE_PIPELINE
from pipeline.days import current_day
from pipeline.schedule import scheduled_start
from pipeline.settings import settings as configured
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from pipeline.day_report import DayReport

logger = logging.getLogger(__name__)

MONDAY = 0  # as `date.weekday` counts
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
    also: tuple[tuple[str, str], ...] = ()  # label and text of what else has to be known


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


def report_morning(
    report: DayReport, also: Sequence[tuple[str, str]], dag_id: str, run_id: str
) -> None:
    """Report the current day at the end of its SLA: a breach where it is not published, else what
    needs attention all the same.

    Args:
        also: label and text of what is wrong beside the day.
        dag_id, run_id: the monitor's own.
    """
    if not report.published:
        report_breach(
            Breach(
                scope=THE_PIPELINE,
                day=report.day,
                sla=pipeline_sla(),
                since=scheduled_start(report.day).replace(tzinfo=UTC),
                waiting_for=" ".join(report.conclusion()),
                dag_id=dag_id,
                run_id=run_id,
                goes_on=report.goes_on,
                also=tuple(also),
            )
        )
        return
    facts = [*(("Paused", text) for text in report.conclusion()[1:]), *also]
    if not facts:
        return
    from alerting.context import log_url
    from alerting.slack import deliver
    from pipeline.masking import mask

    deliver(
        Alert(
            status="attention",
            dag_id=dag_id,
            key=f"attention|{report.day}",
            day=str(report.day),
            run_id=run_id,
            log_url=log_url(dag_id, run_id, "check_day", None, None),
            facts=(
                ("Readers", f"{report.day} is published"),
                *((label, mask(text)) for label, text in facts),
            ),
            runbook=link("NeedsAttention", configured(AlertingSettings).runbook()),
        )
    )


def report_week(day: date, dag_id: str, run_id: str) -> None:
    """On a Monday say which causes came back within the week; what is mended each time by hand is
    worth mending once. Never raises.
    """
    if day.weekday() != MONDAY:
        return
    try:
        from alerting.context import log_url
        from alerting.incidents import came_back
        from alerting.slack import deliver

        week = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=7)
        causes = [f"• {cause}: {', '.join(days)}" for cause, days in came_back(week)]
        if causes:
            alert = Alert(
                status="attention",
                dag_id=dag_id,
                key=f"week|{day}",
                run_id=run_id,
                log_url=log_url(dag_id, run_id, None, None, None),
                facts=(("Came back within a week", "\n".join(causes)),),
                runbook=link("NeedsAttention", configured(AlertingSettings).runbook()),
            )
            deliver(alert)
    except Exception as error:
        logger.error("What came back this week cannot be said: %s", type(error).__name__)


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
    meanwhile = "the work goes on" if breach.goes_on else "nothing runs that makes up for it"
    facts.append(("Meanwhile", f"{meanwhile}; what is published stays as it was"))
    facts += [(label, mask(text)) for label, text in breach.also]
    return Alert(
        status="sla_breach",
        dag_id=breach.dag_id or breach.scope,
        key=f"sla|{breach.scope}|{breach.day}",
        scope=breach.scope,
        day=str(breach.day),
        run_id=breach.run_id,
        log_url=log_url(breach.dag_id, breach.run_id, None, None, None) if breach.dag_id else None,
        facts=tuple(facts),
        runbook=link("SlaBreach", configured(AlertingSettings).runbook()),
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


def _record(breach: Breach) -> None:
    from warehouse import open_warehouse

    patient = {"lock_timeout_seconds": LOCK_SECONDS}
    warehouse = open_warehouse(configured(WarehouseSettings).model_copy(update=patient))
    since = breach.since.astimezone(UTC).replace(tzinfo=None)
    seconds = breach.sla.total_seconds()
    warehouse.record_breach(breach.scope, breach.day, seconds, since, breach.waiting_for)
