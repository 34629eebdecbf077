"""What has become of a day: who announced it when, when its builds began, what was late."""

from __future__ import annotations

from datetime import date, datetime

from pipeline.contracts import Source
from pipeline.records import DayState
from pipeline.sources import SOURCES
from warehouse.session import Session, utc_now


def day_state(session: Session, day: date) -> DayState:
    announced = session.rows(
        "select source, max(announced_at) from LOADS.ANNOUNCEMENTS where day = ? group by source",
        [day],
    )
    builds = session.rows(
        "select build_id, max(started_at) from LOADS.BUILDS where day = ? group by build_id", [day]
    )
    return DayState(day, dict(announced), dict(builds))


def days_to_build(session: Session, first: date, last: date) -> dict[date, str]:
    """Complete days with a load that no build of them has read, and the id of the newest such load.

    A day is complete when all six sources have loaded it, whether or not they have announced it.
    """
    found = session.rows(
        "select records.day, max_by(records.load_id, records.committed_at) "
        "from LOADS.LOAD_RECORDS records "
        "left join (select day, max(started_at) as began from LOADS.BUILDS group by day) builds "
        "on builds.day = records.day where records.day between ? and ? group by records.day "
        "having count(distinct records.source) = ? and max(records.committed_at) "
        "> coalesce(max(builds.began), timestamp '1970-01-01') order by records.day",
        [first, last, len(SOURCES)],
    )
    return dict(found)


def announce(session: Session, announcement_id: str, day: date, source: Source) -> bool:
    """Note that a source announces a day, unless all six have before; whether it has to."""
    if _is_announced_by(session, announcement_id, day):
        return True
    if day_state(session, day).announced_by_all:
        return False
    session.insert("LOADS.ANNOUNCEMENTS", [(announcement_id, day, source.name, utc_now())])
    return True


def _is_announced_by(session: Session, announcement_id: str, day: date) -> bool:
    """Whether an earlier try noted the same announcement: its event may not have been sent."""
    known = "select 1 from LOADS.ANNOUNCEMENTS where announcement_id = ? and day = ? limit 1"
    return bool(session.rows(known, [announcement_id, day]))


def add_build(session: Session, build_id: str, day: date) -> None:
    session.insert("LOADS.BUILDS", [(build_id, day, utc_now())])


def add_breach(
    session: Session, scope: str, day: date, sla_seconds: float, since: datetime, waiting_for: str
) -> None:
    """Note that a scope was late on a day, once per scope and day."""
    known = "select 1 from LOADS.SLA_BREACHES where scope = ? and day = ?"
    if not session.rows(known, [scope, day]):
        breach = (scope, day, sla_seconds, since, utc_now(), waiting_for)
        session.insert("LOADS.SLA_BREACHES", [breach])
