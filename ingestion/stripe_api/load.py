"""Loads one day of Stripe: what is new, what events touched, and the cursor of the next load."""

from __future__ import annotations

import logging
import time
from calendar import timegm
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING

from ingestion.stripe_api.changes import fetch_current, touched_since
from ingestion.stripe_api.client import StripeApi
from ingestion.stripe_api.contract import SetAside, batches
from ingestion.stripe_api.identity import check_identity
from ingestion.stripe_api.listing import list_pages
from ingestion.stripe_api.order_number import OrderNumber
from ingestion.stripe_api.settings import WEEKDAYS, StripeSettings
from pipeline.contracts import RawTable, Source
from pipeline.days import upper_bound
from pipeline.errors import SourceUnavailableError
from pipeline.records import LoadRecord, Window
from pipeline.settings import settings
from pipeline.sources import CHARGES, DISPUTES, REFUNDS, source

if TYPE_CHECKING:
    import pyarrow as pa

    from warehouse import Load, Warehouse

logger = logging.getLogger(__name__)

STRIPE = source("charges")
READ_AGAIN = 500  # objects of a kind that were set aside, in one load at most
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
        self._order_number = OrderNumber(settings.order_keys, settings.order_pattern)

    def load_charges(self, day: date, *, full_refresh: bool = False) -> LoadRecord:
        """Load all that was created or has changed up to 06:00 UTC of ``day``, in flat memory.

        Objects are taken in their current state. The cursor of the next load is the moment before
        this one began to read, or the day's upper bound if that is earlier; it moves with the
        commit only. What time it is, Stripe's clock says.

        Args:
            day: the day to load.
            full_refresh: read the whole account and swap it in; it may be another one than before.

        Raises:
            OtherAccountError: the key opens another account or mode than the one that is loaded.
            CredentialsError: Stripe refused the key or its rights; nothing was retried.
            RateLimitedError: Stripe asked to come back later; ``retry_after`` says when.
            SourceUnavailableError: Stripe could not be read, whatever was retried, or has not
                reached the end of the day by its own clock.
            ContractError: Stripe finds a request wrong.
            TooManyRejectsError: more objects do not fit than ``STRIPE_MAX_REJECT_RATIO`` allows.
        """
        cursor = self._warehouse.watermark(STRIPE)
        with closing(StripeApi(self._settings)) as api:
            began = self._end_of(day, api)
            seen = cursor
            if cursor is not None and not full_refresh:
                # Where nothing is loaded, anything may be older than the cursor: all of an account
                # that went live after weeks of empty loads.
                is_loaded = check_identity(api, self._settings, self._warehouse)
                seen = cursor if is_loaded else None
            planned = plan(self._settings, day, seen, now=began, full_refresh=full_refresh)
            reached = min(began, planned.window.end)
            aside = SetAside({} if cursor is None else self._warehouse.keys_set_aside(STRIPE))
            with self._warehouse.begin_load(STRIPE, day, planned.window) as load:
                self._stage_listed(api, load, planned, aside)
                if planned.window.start is not None:
                    self._stage_changed(api, load, planned.window.start, planned, aside)
                self.set_aside(load, aside)
                return load.commit(
                    reached if cursor is None else max(cursor, reached), replace=full_refresh
                )

    def set_aside(self, load: Load, aside: SetAside) -> None:
        """Hand over what did not fit; ``TooManyRejectsError`` if that is too much."""
        aside.check(self._settings.max_reject_ratio)
        for table in STRIPE.tables:
            load.reject(table, aside.of(table))

    def _end_of(self, day: date, api: StripeApi) -> datetime:
        """The time by Stripe's clock, once the day has ended by it."""
        behind = (upper_bound(day) - api.now()).total_seconds()
        if behind > self._settings.max_wait_seconds:
            raise SourceUnavailableError(
                f"Stripe's clock stands at {api.now():%Y-%m-%d %H:%M:%S} UTC, before the end of "
                f"{day} ({upper_bound(day):%H:%M} UTC): what is still to come would be missing. "
                "If that time is wrong, see to STRIPE_API_BASE; if it is right, set the clock of "
                "this machine."
            )
        if behind > 0:
            logger.info("The day ends in %.1f s by Stripe's clock; waiting for it.", behind)
            time.sleep(behind)
        return api.now()

    def _stage_listed(self, api: StripeApi, load: Load, planned: Plan, aside: SetAside) -> None:
        for table, path in LISTS:
            listed = self.listed(api, table, path, planned.list_from, planned.window.end, aside)
            load.stage(table, listed)

    def listed(
        self,
        api: StripeApi,
        table: RawTable,
        path: str,
        after: datetime | None,
        until: datetime,
        aside: SetAside,
    ) -> Iterator[pa.RecordBatch]:
        """Batches of all objects of a kind created in ``(after, until]`` but those set aside."""
        threads = self._settings.parallel_windows
        begin = None if after is None else epoch(after)
        pages = list_pages(api, path, begin, epoch(until), threads=threads)
        return batches(table, pages, self._order_number, aside)

    def _stage_changed(
        self, api: StripeApi, load: Load, start: datetime, planned: Plan, aside: SetAside
    ) -> None:
        threads = self._settings.parallel_windows
        after, until = epoch(start), epoch(planned.window.end)
        listed_after = epoch(planned.list_from) if planned.list_from else 0
        touched = touched_since(api, after, until, listed_after=listed_after, threads=threads)
        # What was set aside has no event when it comes right, by a newer release of ours perhaps.
        for ids, table in (
            (touched.charges, CHARGES),
            (touched.loose_refunds, REFUNDS),
            (touched.loose_disputes, DISPUTES),
        ):
            ids |= dict.fromkeys(islice(sorted(aside.known.get(table.name, ())), READ_AGAIN))
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
                    load.stage(table, batches(table, pages, self._order_number, aside))


def load(source: Source, day: date, warehouse: Warehouse, full_refresh: bool) -> LoadRecord:
    """Load one day of ``charges`` with the configured settings."""
    connector = StripeConnector(settings(StripeSettings), warehouse)
    return connector.load_charges(day, full_refresh=full_refresh)


def epoch(moment: datetime) -> int:
    """Seconds since 1970 of a UTC moment, rounded down."""
    return timegm(moment.timetuple())
