"""Finds by Stripe's events what changed since a moment, and fetches each touched charge anew."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice

from ingestion.stripe_api.client import Item, ObjectGoneError, StripeApi
from ingestion.stripe_api.listing import Page, list_pages

logger = logging.getLogger(__name__)

CHARGES_PER_CHUNK = 500
NAMED_IN_LOG = 5

# Everything that says that a charge, a refund or a dispute is new or has changed; a list takes 20
# types at most. https://docs.stripe.com/api/events/types
EVENT_TYPES = (
    "charge.captured",
    "charge.expired",
    "charge.failed",
    "charge.pending",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "charge.refund.updated",
    "refund.created",
    "refund.failed",
    "refund.updated",
)


@dataclass
class Touched:
    """Ids to read again: charges, those of them with refunds or disputes, and these."""

    charges: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    with_refunds: set[str] = field(default_factory=set)
    with_disputes: set[str] = field(default_factory=set)
    loose_refunds: dict[str, None] = field(default_factory=dict)
    loose_disputes: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True)
class Current:
    """The current state of some touched objects, a page per request."""

    charges: list[Page]
    refunds: list[Page]
    disputes: list[Page]


def touched_since(
    api: StripeApi, after: int, until: int, *, listed_after: int, threads: int
) -> Touched:
    """What events created in ``(after, until]`` (seconds since 1970) have touched.

    Charges created in ``(listed_after, until]`` are left out where the event shows it: the load
    lists them anyway, and that later than the event.
    """
    found = Touched()
    where = {"types": list(EVENT_TYPES)}
    for page in list_pages(api, "/v1/events", after, until, threads=threads, where=where):
        for event in page.items:
            try:
                _note(found, event["data"]["object"], listed_after, until)
            except (KeyError, TypeError, AttributeError):
                logger.warning("Stripe's event %s names no object.", event.get("id"))
    return found


def _note(found: Touched, item: Item, listed_after: int, until: int) -> None:
    kind = item.get("object")
    if kind == "charge":
        created = item.get("created")
        if not isinstance(created, int) or not listed_after < created <= until:
            found.charges[item["id"]] = None
        return
    charge = item.get("charge")
    charge = charge["id"] if isinstance(charge, dict) else charge
    if charge is None:
        if kind == "refund":
            found.loose_refunds[item["id"]] = None
        return
    found.charges[charge] = None
    (found.with_refunds if kind == "refund" else found.with_disputes).add(charge)


def fetch_current(
    api: StripeApi, touched: Touched, until: int, *, threads: int
) -> Iterator[Current]:
    """Touched charges with refunds and disputes up to ``until``, some hundred at a time.

    An object that Stripe no longer has is left out: its event would fail every load for 30 days.
    """
    gone: list[str] = []

    def fetch(charge_id: str) -> Current:
        answer = api.get(f"/v1/charges/{charge_id}")
        charge = answer.body
        refunds = disputes = []
        if charge.get("amount_refunded") or charge_id in touched.with_refunds:
            refunds = list(_of_charge(api, "/v1/refunds", charge_id, until))
        if charge.get("disputed") or charge_id in touched.with_disputes:
            disputes = list(_of_charge(api, "/v1/disputes", charge_id, until))
        return Current([Page([charge], answer.fetched_at)], refunds, disputes)

    def fetch_refund(refund_id: str) -> Current:
        answer = api.get(f"/v1/refunds/{refund_id}")
        return Current([], [_created_until(until, [answer.body], answer.fetched_at)], [])

    def fetch_dispute(dispute_id: str) -> Current:
        answer = api.get(f"/v1/disputes/{dispute_id}")
        return Current([], [], [_created_until(until, [answer.body], answer.fetched_at)])

    def unless_gone(get: Callable[[str], Current], identifier: str) -> Current:
        try:
            return get(identifier)
        except ObjectGoneError:
            gone.append(identifier)
            return Current([], [], [])

    with ThreadPoolExecutor(threads, thread_name_prefix="stripe-changes") as pool:
        for get, wanted in (
            (fetch, touched.charges),
            (fetch_refund, touched.loose_refunds),
            (fetch_dispute, touched.loose_disputes),
        ):
            ids = iter(wanted)
            while chunk := list(islice(ids, CHARGES_PER_CHUNK)):
                yield _together(pool.map(partial(unless_gone, get), chunk))
    if gone:
        logger.warning(
            "%d objects that were to be read again are gone from Stripe (404) and left out: %s.",
            len(gone),
            ", ".join(gone[:NAMED_IN_LOG]),
        )


def _of_charge(api: StripeApi, path: str, charge_id: str, until: int) -> Iterator[Page]:
    cursor: dict[str, str] = {}
    while True:
        page = api.page(path, {"charge": charge_id} | cursor)
        yield _created_until(until, page.items, page.fetched_at)
        if page.next_after is None:
            return
        cursor = {"starting_after": page.next_after}


def _created_until(until: int, items: list[Item], fetched_at: datetime) -> Page:
    """What is not known to be newer; its contract sets an object without a moment aside."""
    newer = [isinstance(at := item.get("created"), int) and at > until for item in items]
    return Page(
        [item for item, is_newer in zip(items, newer, strict=True) if not is_newer], fetched_at
    )


def _together(parts: Iterable[Current]) -> Current:
    whole = Current([], [], [])
    for part in parts:
        whole.charges.extend(part.charges)
        whole.refunds.extend(part.refunds)
        whole.disputes.extend(part.disputes)
    return whole
