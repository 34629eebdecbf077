"""Loads one day of Stripe: what is new, what events touched, and the cursor of the next load."""

from __future__ import annotations

import logging
from calendar import timegm
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from ingestion.stripe_api.changes import fetch_current, touched_since
from ingestion.stripe_api.client import StripeApi
from ingestion.stripe_api.contract import batches
from ingestion.stripe_api.listing import list_pages
from ingestion.stripe_api.settings import WEEKDAYS, StripeSettings
from pipeline.contracts import RawTable, Source
from pipeline.days import upper_bound
from pipeline.records import LoadRecord, Window
from pipeline.settings import settings
from pipeline.sources import CHARGES, DISPUTES, REFUNDS, source

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse import Load, Warehouse

logger = logging.getLogger(__name__)

# Stripe serves events of the last 30 days: https://docs.stripe.com/api/events
EVENTS_KEPT = timedelta(days=29)
LISTS = ((CHARGES, "/v1/charges"), (REFUNDS, "/v1/refunds"), (DISPUTES, "/v1/disputes"))


@dataclass(frozen=True)
class Plan:
    """What one load reads. Times are UTC without a zone.

    Attributes:
        window: objects created in it are new; events created in it say what has changed. ``start``
            None: first load.
        list_from: objects created after it are listed; earlier than ``window.start`` when a re-list
            is due. None: all.
    """

    window: Window
    list_from: datetime | None


def plan(
    settings: StripeSettings,
    day: date,
    cursor: datetime | None,
    *,
    now: datetime,
    full_refresh: bool = False,
) -> Plan:
    """What loading ``day`` takes, given the committed cursor.

    An old day starts at its own beginning, so that re-running it reads it again. A start that
    events no longer reach back to, and one day a week in any case, lists everything again that
    could still have changed: ``STRIPE_RELIST_DAYS`` before the start.
    """
    end = upper_bound(day)
    if cursor is None or full_refresh:
        # A full refresh replaces the tables, so it must not end before what they already hold.
        return Plan(Window(None, end if cursor is None else max(end, cursor)), None)
    start = min(cursor, upper_bound(day - timedelta(days=1))) - timedelta(
        minutes=settings.overlap_minutes
    )
    expired = start < now - EVENTS_KEPT
    weekly = (
        settings.relist_weekday != "never" and WEEKDAYS[day.weekday()] == settings.relist_weekday
    )
    return Plan(
        Window(start, end),
        start - timedelta(days=settings.relist_days) if expired or weekly else start,
    )


class StripeConnector:
    """Charges, refunds and disputes of one Stripe account, as the source ``charges``."""

    def __init__(self, settings: StripeSettings, warehouse: Warehouse) -> None:
        self._settings = settings
        self._warehouse = warehouse

    def load_charges(self, day: date, *, full_refresh: bool = False) -> LoadRecord:
        """Load everything that was created or has changed up to 06:00 UTC of ``day``; memory is
        flat.

        Objects are taken in their current state. The cursor of the next load is the moment before
        this one began to read, or the day's upper bound if that is earlier; it moves with the
        commit only.

        Args:
            day: the day to load.
            full_refresh: read the whole account and swap it in.

        Raises:
            CredentialsError: Stripe refused the key or its rights; nothing was retried.
            RateLimitedError: Stripe asked to come back later; ``retry_after`` says when.
            SourceUnavailableError: Stripe could not be read, whatever was retried.
            ContractError: Stripe sent something that does not fit the raw tables.
        """
        began = _now()
        stripe_source = source("charges")
        cursor = self._warehouse.watermark(stripe_source)
        planned = plan(self._settings, day, cursor, now=began, full_refresh=full_refresh)
        reached = min(began, planned.window.end)
        with (
            closing(StripeApi(self._settings)) as api,
            self._warehouse.begin_load(stripe_source, day, planned.window) as load,
        ):
            self._stage_listed(api, load, planned)
            if planned.window.start is not None:
                self._stage_changed(api, load, planned.window.start, planned)
            return load.commit(
                reached if cursor is None else max(cursor, reached), replace=full_refresh
            )

    def _stage_listed(self, api: StripeApi, load: Load, planned: Plan) -> None:
        for table, path in LISTS:
            load.stage(table, self.listed(api, table, path, planned.list_from, planned.window.end))

    def listed(
        self, api: StripeApi, table: RawTable, path: str, after: datetime | None, until: datetime
    ) -> Iterator[pa.RecordBatch]:
        """Batches of all objects of one kind created in ``(after, until]``."""
        threads = self._settings.parallel_windows
        return batches(
            table,
            list_pages(
                api, path, None if after is None else epoch(after), epoch(until), threads=threads
            ),
        )

    def _stage_changed(self, api: StripeApi, load: Load, start: datetime, planned: Plan) -> None:
        threads = self._settings.parallel_windows
        after, until = epoch(start), epoch(planned.window.end)
        listed_after = epoch(planned.list_from) if planned.list_from else 0
        touched = touched_since(api, after, until, listed_after=listed_after, threads=threads)
        logger.info(
            "Stripe's events since %s touched %d older charges.", start, len(touched.charges)
        )
        for current in fetch_current(api, touched, until, threads=threads):
            for table, pages in (
                (CHARGES, current.charges),
                (REFUNDS, current.refunds),
                (DISPUTES, current.disputes),
            ):
                if pages:
                    load.stage(table, batches(table, pages))


def load(source: Source, day: date, warehouse: Warehouse, full_refresh: bool) -> LoadRecord:
    """Load one day of ``charges`` with the configured settings."""
    connector = StripeConnector(settings(StripeSettings), warehouse)
    return connector.load_charges(day, full_refresh=full_refresh)


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def epoch(moment: datetime) -> int:
    """Seconds since 1970 of a UTC moment, rounded down."""
    return timegm(moment.timetuple())
