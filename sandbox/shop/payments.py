"""The shop's Stripe account: charges, failed attempts, refunds, disputes, and orphans.

Stripe counts in cents and whole seconds. Charges of orders are in USD, because orders carry no
currency, but for a few in CHF; a few orphans (gift cards, invoices of other systems) are in EUR,
GBP or JPY. Some authorisations are voided, captured in part, or expire before the order is shipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sandbox.shop.chance import Floats, Ints, chance, stripe_id
from sandbox.shop.lifecycle import (
    CANCELLED,
    PENDING,
    PROCESSING,
    REFUNDED,
    SHIPPED,
    SPECIAL_PAYMENTS,
    Transitions,
    checkout_takes,
    has_dispute,
    has_goodwill,
    is_authorised_only,
    is_settled,
    pays_at_checkout,
    pays_in_francs,
)
from sandbox.shop.season import DAY, HOUR, SECOND

Item = dict[str, Any]
AUTHORISED_FOR = 7 * DAY  # then Stripe lets an authorisation expire
FRANCS = 9, 10  # what a dollar's price is in francs
REACH_BACK = 130 * DAY  # no scheduled event comes later after its order
# Upper ends of the shares in chance(order_id, "payment").
UNPAID, OVERPAID, TWICE = 0.003, 0.005, SPECIAL_PAYMENTS
FAILURES = (
    ("card_declined", "Your card was declined."),
    ("insufficient_funds", "Your card has insufficient funds."),
)
REASONS = (
    "fraudulent",
    "product_not_received",
    "product_unacceptable",
    "duplicate",
    "credit_not_processed",
)


@dataclass(frozen=True)
class Paid:
    """Orders whose payments are looked at; money in cents, moments in microseconds since 1970."""

    order_id: Ints
    customer_id: Ints
    created_at: Ints
    total: Ints


class Ledger:
    """Collects what happens in the Stripe account in (start, end]."""

    def __init__(self, start: int, end: int) -> None:
        self._start, self._end = start, end
        self.charges: list[Item] = []
        self.captures: list[Item] = []
        self.refunds: list[Item] = []
        self.disputes: list[Item] = []
        self.outcomes: list[Item] = []

    def items(self) -> Iterator[Item]:
        """Oldest first per kind, and so that each finds the charge or dispute it belongs to."""
        for new in (self.charges, self.refunds, self.disputes):
            new.sort(key=lambda item: int(item["created"]))
        yield from self.charges
        yield from self.captures
        yield from self.refunds
        yield from self.disputes
        yield from self.outcomes

    def follow(self, orders: Paid, steps: Transitions) -> None:
        """What the steps of orders move: charges, late captures, refunds of what was sent back."""
        ids, customers = orders.order_id.tolist(), orders.customer_id.tolist()
        totals, kinds = orders.total.tolist(), chance(orders.order_id, "payment").tolist()
        authorised = is_authorised_only(orders.order_id).tolist()
        francs = pays_in_francs(orders.order_id).tolist()
        expires = (orders.created_at + checkout_takes(orders.order_id) + AUTHORISED_FOR).tolist()
        taken = (steps.order, steps.before, steps.after, steps.at)
        for order, before, after, at in zip(*(step.tolist() for step in taken), strict=True):
            number, total, kind = ids[order], totals[order], kinds[order]
            if (before, after) == (PENDING, PROCESSING):
                if kind < UNPAID:
                    continue
                amount = total + 500 + number % 16 * 100 if UNPAID <= kind < OVERPAID else total
                charge = self._charge(number, customers[order], amount, at)
                if authorised[order]:  # some of them with room for what the parcel will cost
                    room = total // 10 if number % 4 == 0 else 0
                    charge |= {"captured": False, "amount": total + room}
                if francs[order]:
                    charge |= {"currency": "chf", "amount": total * FRANCS[0] // FRANCS[1]}
                if OVERPAID <= kind < TWICE:
                    self._charge(number, customers[order], amount, at, attempt="again")
            elif after == SHIPPED and authorised[order] and at > expires[order] - HOUR:
                self._charge(number, customers[order], total, at, attempt="anew")
            elif after == SHIPPED and authorised[order]:
                capture = {"captured": True, "amount_captured": total, "_at": self._seconds(at)}
                charged = {"object": "charge", "id": stripe_id("ch", number, "first")}
                self.captures.append({**charged, **capture})
            elif after == REFUNDED or (after == CANCELLED and before != PENDING):
                # A fee for restocking is kept of some.
                kept = total * 15 // 100 if after == REFUNDED and number % 10 < 3 else 0
                self._refund(number, "first", total - kept, at, "requested_by_customer", "order")

    def attempt(self, orders: Paid) -> None:
        """Declined cards: before the payment that succeeded, and where it came late or never."""
        numbers = orders.order_id
        once = (chance(numbers, "declined") < 0.05) & ~is_settled(numbers)
        declined = once | ~pays_at_checkout(numbers)
        for number, customer, total, at in self._due(
            orders, declined, checkout_takes(numbers) // 2
        ):
            code, message = FAILURES[number % 2]
            charge = self._charge(number, customer, total, at, attempt="declined")
            charge |= {"status": "failed", "failure_code": code, "failure_message": message}

    def later(self, orders: Paid) -> None:
        """What follows after an order: refunds as goodwill or of doubles, voids, disputes."""
        numbers, kind = orders.order_id, chance(orders.order_id, "payment")
        goodwill, days = has_goodwill(numbers) & (kind >= TWICE), chance(numbers, "goodwill delay")
        for number, _, total, at in self._due(orders, goodwill, 3 * DAY + 55 * DAY * days):
            amount = total if number % 5 == 0 else total * (10 + number % 41) // 100
            self._refund(number, "first", amount, at, "requested_by_customer", "goodwill")
        twice = (kind >= OVERPAID) & (kind < TWICE) & (numbers % 2 == 0)
        noticed = 1 * DAY + 6 * DAY * chance(numbers, "notices")
        for number, _, total, at in self._due(orders, twice, noticed):
            self._refund(number, "again", total, at, "duplicate", "duplicate")
        self._void(orders)
        self._dispute(orders)
        self._orphans(orders)

    def _void(self, orders: Paid) -> None:
        """A card authorised beside the one that paid, and let go an hour later.

        One in five is forgotten and expires.
        """
        numbers, delay = orders.order_id, checkout_takes(orders.order_id)
        voided = (chance(numbers, "voided") < 0.002) & (chance(numbers, "payment") >= TWICE)
        voided &= pays_at_checkout(numbers)
        for number, customer, total, at in self._due(orders, voided, delay):
            self._charge(number, customer, total, at, attempt="held")["captured"] = False
        for number, _, total, at in self._due(orders, voided & (numbers % 5 > 0), delay + HOUR):
            self._refund(number, "held", total, at, "requested_by_customer", "void")

    def _dispute(self, orders: Paid) -> None:
        numbers = orders.order_id
        disputed = has_dispute(numbers) & (chance(numbers, "payment") >= TWICE)
        opened = (9 * DAY + 60 * DAY * chance(numbers, "dispute delay")).astype(np.int64)
        lasts = (20 * DAY + 30 * DAY * chance(numbers, "dispute length")).astype(np.int64)
        for number, _, total, at in self._due(orders, disputed, opened):
            self.disputes.append(
                {
                    "object": "dispute",
                    "id": stripe_id("du", number),
                    "charge": stripe_id("ch", number, "first"),
                    "amount": total,
                    "currency": "usd",
                    "created": self._seconds(at),
                    "reason": REASONS[number % len(REASONS)],
                    "status": "needs_response",
                }
            )
        for number, _, _, at in self._due(orders, disputed, opened + lasts):
            status = "won" if number % 5 < 2 else "lost"
            outcome = {"id": stripe_id("du", number), "status": status, "_at": self._seconds(at)}
            self.outcomes.append({"object": "dispute", **outcome})

    def _orphans(self, orders: Paid) -> None:
        numbers = orders.order_id
        orphan = chance(numbers, "orphan") < 0.002
        delay = (HOUR * chance(numbers, "orphan delay")).astype(np.int64) + SECOND
        for number, _, _, at in self._due(orders, orphan, delay):
            currency = ("usd", "eur", "gbp", "jpy")[number % 4]
            named = (None, f"GIFT-{number}", str(900_000_000 + number))[number // 4 % 3]
            self.charges.append(
                {
                    "object": "charge",
                    "id": stripe_id("ch", number, "orphan"),
                    "amount": 5000 if currency == "jpy" else 2500 + number % 7 * 500,
                    "currency": currency,
                    "created": self._seconds(at),
                    "description": "Gift card",
                    "metadata": {"order_id": named} if named else {},
                }
            )

    def _charge(
        self, number: int, customer: int, amount: int, at: int, attempt: str = "first"
    ) -> Item:
        charge: Item = {
            "object": "charge",
            "id": stripe_id("ch", number, attempt),
            "amount": amount,
            "currency": "usd",
            "created": self._seconds(at),
            "customer": stripe_id("cus", customer),
            "payment_intent": stripe_id("pi", number, "again" if attempt == "again" else "first"),
            "description": f"Order {number}",
            "metadata": {"order_id": str(number)},
        }
        self.charges.append(charge)
        return charge

    def _refund(
        self, number: int, attempt: str, amount: int, at: int, reason: str, kind: str
    ) -> None:
        if amount <= 0:
            return
        self.refunds.append(
            {
                "object": "refund",
                "id": stripe_id("re", number, kind),
                "charge": stripe_id("ch", number, attempt),
                "amount": amount,
                "currency": "usd",
                "created": self._seconds(at),
                "reason": reason,
                "metadata": {"order_id": str(number)},
            }
        )

    def _due(
        self, orders: Paid, chosen: Any, delay: Ints | Floats
    ) -> Iterator[tuple[int, int, int, int]]:
        """(number, customer, total, moment) of chosen orders whose moment lies in (start, end]."""
        at = orders.created_at + delay.astype(np.int64)
        due = np.flatnonzero(chosen & (at > self._start) & (at <= self._end))
        columns = (orders.order_id, orders.customer_id, orders.total, at)
        yield from zip(*(column[due].tolist() for column in columns), strict=True)

    def _seconds(self, at: int) -> int:
        """Whole seconds, still inside (start, end]."""
        return max(at // SECOND, self._start // SECOND + 1)
