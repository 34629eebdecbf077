"""Moments in the local time of a column without zone (``POSTGRES_TIMEZONE``).

Every moment has one wall time, but where clocks are set back, an hour of wall times has two moments
each. A condition on such a column must therefore reach a little further at that hour: no row that
is due is missed, and the few that are read twice change nothing. PostgreSQL takes a wall time that
is there twice as the later one (``at time zone``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


def first_wall_after(moment: datetime, zone: str) -> datetime:
    """No moment after this one (UTC without a zone) has an earlier wall time."""
    local = _local(moment, zone)
    return (local if local.fold else local - _set_back(local)).replace(tzinfo=None, fold=0)


def last_wall_until(moment: datetime, zone: str) -> datetime:
    """No moment up to this one (UTC without a zone) has a later wall time."""
    local = _local(moment, zone)
    return (local + _set_back(local) if local.fold else local).replace(tzinfo=None, fold=0)


def _local(moment: datetime, zone: str) -> datetime:
    return moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone))


def _set_back(local: datetime) -> timedelta:
    """By how much clocks were set back if the wall time is there twice, else nothing."""
    offsets = [local.replace(fold=fold).utcoffset() for fold in (0, 1)]
    return (offsets[0] or timedelta()) - (offsets[1] or timedelta())
