"""A day, the unit of everything: its key, and the moment up to which it counts."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from pipeline.errors import PermanentError

BOUNDARY = time(
    6, 0
)  # UTC. DESIGN: all sources of a day have the same upper bound, 06:00 UTC of the day


class DayError(PermanentError):
    """The text given as a day is none, or lies in the future."""


def parse_day(text: str) -> date:
    """``2026-11-22`` as a date; ``DayError`` for anything else."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except (TypeError, ValueError):
        day = None
    if (
        day is None or day.isoformat() != text
    ):  # strptime takes 2026-1-2 too, which is no partition key
        raise DayError(
            f"{text!r} is not a day. Give it as YYYY-MM-DD, for example {current_day()}."
        )
    return day


def current_day(now: datetime | None = None) -> date:
    """The latest day whose upper bound (06:00 UTC) has passed. ``now`` has a zone."""
    now = now.astimezone(UTC) if now else datetime.now(UTC)
    return (now - timedelta(hours=BOUNDARY.hour, minutes=BOUNDARY.minute)).date()


def past_day(text: str, now: datetime | None = None) -> date:
    """``parse_day``, refusing a day whose upper bound has not come yet."""
    day = parse_day(text)
    if day > current_day(now):
        raise DayError(
            f"{day} has not come yet: a day can be loaded from 06:00 UTC on it. The latest is "
            f"{current_day(now)}."
        )
    return day


def upper_bound(day: date) -> datetime:
    """06:00 UTC of the day, without a zone, as all timestamps in the warehouse are: rows up to and
    including it count.
    """
    return datetime.combine(day, BOUNDARY)
