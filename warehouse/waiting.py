"""Days that wait for a build nobody is going to start."""

from __future__ import annotations

from datetime import date

from pipeline.sources import SOURCES
from warehouse import Warehouse


def days_to_build(warehouse: Warehouse, first: date, last: date) -> dict[date, str]:
    """Complete days with a load that no build of them has read, and the id of the newest such load.

    A day is complete when all six sources have loaded it, whether or not they have announced it.
    """
    found = warehouse.query(
        """select loads.day, max_by(loads.load_id, loads.committed_at)
           from loads.load_records as loads
           left join (
               select day, max(started_at) as began from loads.builds group by day
           ) as builds on builds.day = loads.day
           where loads.day between ? and ?
           group by loads.day
           having count(distinct loads.source) = ?
              and max(loads.committed_at) > coalesce(max(builds.began), timestamp '1970-01-01')
           order by loads.day""",
        [first, last, len(SOURCES)],
    )
    return dict(found)  # type: ignore[arg-type]
