"""From which day on the schedules count."""

from __future__ import annotations

import os
from datetime import UTC, datetime

DEFAULT_START_DATE = "2026-01-01"


def start_date() -> datetime:
    """``PIPELINE_START_DATE`` (YYYY-MM-DD, UTC). With a date in the past, a new installation runs the current day at once."""
    return datetime.strptime(os.environ.get("PIPELINE_START_DATE") or DEFAULT_START_DATE, "%Y-%m-%d").replace(tzinfo=UTC)
