"""Finds what changed since a moment by Stripe's events, and fetches each touched charge in its
current state.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from ingestion.stripe_api.client import PAGE_SIZE, Item, StripeApi
from ingestion.stripe_api.listing import Page, list_pages

CHARGES_PER_CHUNK = 500

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
    """Ids that events named: charges, the ones among them with events of refunds or disputes,
    refunds without a charge.
    """

    charges: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    with_refunds: set[str] = field(default_factory=set)
    with_disputes: set[str] = field(default_factory=set)
    loose_refunds: dict[str, None] = field(default_factory=dict)


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
            _note(found, event["data"]["object"], listed_after, until)
    return found


def _note(found: Touched, item: Item, listed_after: int, until: int) -> None:
    kind = item.get("object")
    if kind == "charge":
        if not listed_after < item["created"] <= until:
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
    """Touched charges with their refunds and disputes created up to ``until``, some hundred charges
    at a time.
    """

    def fetch(charge_id: str) -> Current:
        answer = api.get(f"/v1/charges/{charge_id}")
        charge = answer.body
        refunds = disputes = []
        if charge.get("amount_refunded") or charge_id in touched.with_refunds:
            refunds = list(_of_charge(api, "/v1/refunds", charge_id, until))
        if charge.get("disputed") or charge_id in touched.with_disputes:
            disputes = list(_of_charge(api, "/v1/disputes", charge_id, until))
        return Current([Page([charge], answer.fetched_at)], refunds, disputes)

    def fetch_loose(refund_id: str) -> Current:
        answer = api.get(f"/v1/refunds/{refund_id}")
        return Current(
            [],
            [Page([answer.body], answer.fetched_at)] if answer.body["created"] <= until else [],
            [],
        )

    with ThreadPoolExecutor(threads, thread_name_prefix="stripe-changes") as pool:
        for get, wanted in ((fetch, touched.charges), (fetch_loose, touched.loose_refunds)):
            ids = iter(wanted)
            while chunk := list(islice(ids, CHARGES_PER_CHUNK)):
                yield _together(pool.map(get, chunk))


def _of_charge(api: StripeApi, path: str, charge_id: str, until: int) -> Iterator[Page]:
    cursor: dict[str, str] = {}
    while True:
        answer = api.get(path, {"charge": charge_id, "limit": PAGE_SIZE} | cursor)
        items = answer.body["data"]
        yield Page([item for item in items if item["created"] <= until], answer.fetched_at)
        if not items or not answer.body["has_more"]:
            return
        cursor = {"starting_after": items[-1]["id"]}


def _together(parts: Iterable[Current]) -> Current:
    whole = Current([], [], [])
    for part in parts:
        whole.charges.extend(part.charges)
        whole.refunds.extend(part.refunds)
        whole.disputes.extend(part.disputes)
    return whole
