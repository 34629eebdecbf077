"""What becomes of an order: paid, shipped, delivered, or cancelled, reviewed, returned, refunded.

Every step but the payment at checkout is memoryless, so an order can be taken up at any moment
without knowing how long it has been waiting. Moments are microseconds since 1970.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.shop.chance import Flags, Floats, Ints, Texts, chance
from sandbox.shop.season import DAY, HOUR, SECOND

STATUSES = (
    *("pending", "processing", "shipped", "delivered", "completed"),
    *("cancelled", "returned", "refunded"),
    "pending_review",  # nobody ever documented it
)
PENDING, PROCESSING, SHIPPED, DELIVERED, COMPLETED = range(5)
CANCELLED, RETURNED, REFUNDED, PENDING_REVIEW = range(5, 9)
OPEN = (PENDING, PROCESSING, SHIPPED, DELIVERED, RETURNED, PENDING_REVIEW)

SPECIAL_PAYMENTS = 0.007  # share of orders that are never paid, overpaid or paid twice

# From a status: how long it lasts on average, and what comes next with which share.
STEPS = {
    # Those who did not pay at checkout.
    PENDING: (
        10 * HOUR,
        ((PROCESSING, 0.55), (CANCELLED, 0.45)),
    ),
    PROCESSING: (1.2 * DAY, ((SHIPPED, 0.955), (PENDING_REVIEW, 0.01), (CANCELLED, 0.035))),
    PENDING_REVIEW: (3 * DAY, ((PROCESSING, 0.75), (CANCELLED, 0.25))),
    SHIPPED: (3.2 * DAY, ((DELIVERED, 1.0),)),
    DELIVERED: (14 * DAY, ((COMPLETED, 0.955), (RETURNED, 0.045))),
    RETURNED: (2 * DAY, ((REFUNDED, 1.0),)),
}


@dataclass(frozen=True)
class Transitions:
    """Steps of orders: position of the order, status before and after, and when.

    In order of time per order.
    """

    order: Ints
    before: Ints
    after: Ints
    at: Ints


def is_settled(order_ids: Ints) -> Flags:
    """Orders that are paid at checkout and never cancelled or returned.

    They have a special payment, a goodwill refund or a dispute, or are paid in francs.

    So what is refunded never exceeds what was paid.
    """
    return np.asarray(
        _is_special(order_ids) | is_authorised_only(order_ids) | pays_in_francs(order_ids)
    )


def has_goodwill(order_ids: Ints) -> Flags:
    return np.asarray(chance(order_ids, "goodwill") < 0.025)


def has_dispute(order_ids: Ints) -> Flags:
    return np.asarray((chance(order_ids, "dispute") < 0.006) & ~has_goodwill(order_ids))


def is_authorised_only(order_ids: Ints) -> Flags:
    """Orders whose charge is captured when they are shipped, not before."""
    return np.asarray((chance(order_ids, "authorised") < 0.01) & ~_is_special(order_ids))


def pays_in_francs(order_ids: Ints) -> Flags:
    """Orders from Switzerland, whose currency nobody has given a rate."""
    others = _is_special(order_ids) | is_authorised_only(order_ids)
    return np.asarray((chance(order_ids, "francs") < 0.0006) & ~others)


def _is_special(order_ids: Ints) -> Flags:
    special = chance(order_ids, "payment") < SPECIAL_PAYMENTS
    return np.asarray(special | has_goodwill(order_ids) | has_dispute(order_ids))


def pays_at_checkout(order_ids: Ints) -> Flags:
    return np.asarray((chance(order_ids, "late payment") >= 0.05) | is_settled(order_ids))


def checkout_takes(order_ids: Ints) -> Ints:
    """Microseconds from the order to its payment at checkout."""
    return np.asarray(((8 + 110 * chance(order_ids, "checkout") ** 2) * SECOND).astype(np.int64))


def advance(
    rng: np.random.Generator, order_ids: Ints, status: Ints, since: Ints, start: int, end: int
) -> tuple[Ints, Ints, Transitions]:
    """Let orders live on over (start, end]; ``since`` is when each came into its status.

    Returns:
        status and ``since`` afterwards, and every step on the way.
    """
    status, since = status.copy(), since.copy()
    settled, at_checkout, checkout = (
        is_settled(order_ids),
        pays_at_checkout(order_ids),
        checkout_takes(order_ids),
    )
    steps: list[tuple[Ints, Ints, Ints, Ints]] = []
    waiting = np.flatnonzero(np.isin(status, OPEN))
    while len(waiting):
        before, base = status[waiting], np.maximum(since[waiting], start)
        after, delay = _next(rng, before, settled[waiting])
        paying = (before == PENDING) & at_checkout[waiting]
        after[paying] = PROCESSING
        at = base + np.maximum(delay.astype(np.int64), SECOND)
        at[paying] = np.maximum(since[waiting][paying] + checkout[waiting][paying], start + 1)
        happens = at <= end
        waiting, before, after, at = waiting[happens], before[happens], after[happens], at[happens]
        status[waiting], since[waiting] = after, at
        steps.append((waiting, before, after, at))
        waiting = waiting[np.isin(after, OPEN)]
    if not steps:
        steps = [(np.empty(0, np.int64),) * 4]
    order, before, after, at = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    return status, since, Transitions(order, before, after, at)


def spelled(order_ids: Ints, status: Ints) -> Texts:
    """Statuses as the shop's programs write them: one in a hundred in another spelling."""
    odd = chance(order_ids, "spelling") < 0.01
    names = []
    for code, other in zip(status.tolist(), odd.tolist(), strict=True):
        name = STATUSES[code]
        names.append(("canceled" if code == CANCELLED else name.capitalize()) if other else name)
    return names


def status_code(text: str) -> int | None:
    """The status that a text means; None for one that the shop does not know."""
    name = text.strip().lower().replace("canceled", "cancelled")
    return STATUSES.index(name) if name in STATUSES else None


def _next(rng: np.random.Generator, before: Ints, settled: Flags) -> tuple[Ints, Floats]:
    after, delay = np.empty_like(before), np.empty(len(before))
    which = rng.random(len(before))
    patience = rng.exponential(1.0, len(before))
    for code, (mean, ways) in STEPS.items():
        here = np.flatnonzero(before == code)
        bounds = np.cumsum([share for _, share in ways])[:-1]
        chosen = np.searchsorted(bounds, which[here], side="right")
        chosen[settled[here]] = 0  # the first way is the good one
        after[here] = np.array([way for way, _ in ways])[chosen]
        delay[here] = patience[here] * mean
    return after, delay
