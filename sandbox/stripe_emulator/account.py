"""What happens in a Stripe account: charges, captures, refunds, disputes, and their events.

A charge that is only authorised holds money and moves none. What is not captured of it is given
back by a refund that touches no balance: when it is voided (a refund of the whole), when a part of
it is captured (of the rest), and when it expires
(https://docs.stripe.com/payments/place-a-hold-on-a-payment-method,
https://docs.stripe.com/api/charges/capture, ``charge.expired`` of
https://docs.stripe.com/api/events/types).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sandbox.stripe_emulator import objects
from sandbox.stripe_emulator.store import Object, Store

AUTHORISED_FOR = 7 * 86400  # seconds until an authorisation that nobody captured expires
EVENTS_REACH_BACK = 30 * 86400  # seconds; https://docs.stripe.com/api/events
CLOSED = {"won", "lost", "warning_closed", "prevented"}


@dataclass(eq=False)
class StripeError(Exception):
    """An answer in the form of Stripe's errors."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    charge: str | None = None

    def body(self) -> dict[str, Any]:
        fields = {
            "charge": self.charge,
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "type": self.type,
        }
        return {"error": {name: value for name, value in fields.items() if value is not None}}


def missing(kind: str, identifier: str, param: str = "id") -> StripeError:
    return StripeError(404, f"No such {kind}: '{identifier}'", code="resource_missing", param=param)


class Account:
    """The account's state.

    Every public method is one change: whole, under one lock, with its events.

    ``now`` gives seconds since 1970.
    """

    def __init__(self, store: Store, now: Callable[[], float], *, livemode: bool = False) -> None:
        self.store = store
        self.now = now
        self.livemode = livemode
        self.lock = threading.RLock()
        # Moments of creation by id; those that were captured or voided since go when they are due.
        self._authorised: dict[str, int] = {}
        for body in store["charge"].bodies():
            if b'"captured":false' in body:
                self._note_authorised(json.loads(body))

    def get(self, kind: str, identifier: str, param: str = "id") -> Object:
        item = self.store[kind].get(identifier)
        if item is None:
            raise missing(kind, identifier, param)
        return item

    def oldest_event(self) -> int:
        """Events created before this moment are no longer served."""
        return int(self.now()) - EVENTS_REACH_BACK

    def create_charge(self, given: Mapping[str, Any]) -> Object:
        fields = dict(given)
        token = fields.pop("source", None) or fields.get("payment_method")
        declined = token in {"tok_chargeDeclined", "pm_card_chargeDeclined"}
        if declined:
            fields |= {
                "status": "failed",
                "failure_code": "card_declined",
                "failure_message": "Your card was declined.",
            }
        fields["captured"] = fields.pop("capture", True) and not declined
        with self.lock:
            item = self._charge(fields | {"created": int(self.now())})
            self._new_charge(item, item["created"])
            if declined:
                self.store.flush()
                raise StripeError(
                    402, "Your card was declined.", "card_error", "card_declined", charge=item["id"]
                )
            if token in {"tok_createDispute", "pm_card_createDispute"}:
                self._new_dispute(
                    {"created": item["created"], "reason": "fraudulent"}, item, item["created"]
                )
            self.store.flush()
            return self.get("charge", item["id"])

    def capture(self, identifier: str, amount: int | None) -> Object:
        with self.lock:
            item = self.get("charge", identifier)
            if item["captured"]:
                raise StripeError(
                    400,
                    f"Charge {identifier} has already been captured.",
                    code="charge_already_captured",
                )
            if item["status"] == "failed":
                raise StripeError(400, f"Charge {identifier} failed and cannot be captured.")
            if item["refunded"]:
                raise StripeError(
                    400,
                    f"Charge {identifier} has been refunded and cannot be captured.",
                    code="charge_already_refunded",
                )
            taken = item["amount"] if amount is None else amount
            if not 0 < taken <= item["amount"]:
                raise StripeError(
                    400,
                    "Invalid amount: it must be positive and at most the charge's.",
                    param="amount_to_capture",
                )
            changed = item | {"captured": True, "amount_captured": taken}
            return self._changed(item, changed, int(self.now()))

    def create_refund(self, given: Mapping[str, Any]) -> Object:
        with self.lock:
            of = self._charge_of(given)
            left = of["amount"] - of["amount_refunded"]
            amount = given.get("amount", left)
            if of["status"] == "failed" or not left:
                raise StripeError(
                    400,
                    f"Charge {of['id']} has already been refunded.",
                    code="charge_already_refunded",
                )
            if not of["captured"] and amount != left:
                raise StripeError(
                    400,
                    "You cannot partially refund an uncaptured charge. Instead, capture the charge "
                    "for an amount less than the original amount.",
                    param="amount",
                )
            if amount > left:
                text = (
                    f"Refund amount ({amount}) is greater than unrefunded amount on charge "
                    f"({left})."
                )
                raise StripeError(400, text, param="amount")
            if amount <= 0:
                raise StripeError(
                    400,
                    "Invalid positive integer",
                    code="parameter_invalid_integer",
                    param="amount",
                )
            item = self._new_refund(dict(given) | {"created": int(self.now())}, of, int(self.now()))
            self.store.flush()
            return item

    def update(self, kind: str, identifier: str, given: Mapping[str, Any]) -> Object:
        """Metadata is merged, as at Stripe; other fields are replaced."""
        with self.lock:
            item = self.get(kind, identifier)
            merged = item["metadata"] | given.get("metadata", {})
            return self._changed(item, item | dict(given) | {"metadata": merged}, int(self.now()))

    def close_dispute(self, identifier: str) -> Object:
        with self.lock:
            item = self.get("dispute", identifier)
            return self._changed(item, item | {"status": "lost"}, int(self.now()))

    def import_objects(self, items: Iterable[Object]) -> dict[str, int]:
        """Take in objects with their own past; see the package's description.

        All of them, or ``StripeError``.
        """
        counts = {"charge": 0, "refund": 0, "dispute": 0}
        with self.lock:
            items = list(items)
            self._check_import(items)
            for given in items:
                fields = dict(given)
                at = fields.pop("_at", None)
                kind = fields["object"]
                counts[kind] += 1
                existing = self.store[kind].get(fields["id"]) if "id" in fields else None
                if existing is not None:
                    self._changed(
                        existing, existing | fields, int(self.now()) if at is None else at
                    )
                elif kind == "charge":
                    self._new_charge(self._charge(fields), fields["created"] if at is None else at)
                else:
                    at = fields["created"] if at is None else at
                    if kind == "refund" and fields["charge"] is None:
                        self._emit("refund.created", at, self._put(objects.refund(fields, None)))
                        continue
                    make = self._new_refund if kind == "refund" else self._new_dispute
                    make(fields, self._charge_of(fields), at)
            self.store.flush()
        return counts

    def _check_import(self, items: list[Object]) -> None:
        known: set[tuple[object, object]] = set()
        for number, item in enumerate(items, start=1):
            kind = item.get("object")
            if kind not in ("charge", "refund", "dispute"):
                raise StripeError(
                    400, f"Line {number}: object is {kind!r}; one of charge, refund, dispute."
                )
            if item.get("id", "") in self.store[kind] or (kind, item.get("id")) in known:
                continue
            needed = (
                ("created", "amount", "currency") if kind == "charge" else ("created", "charge")
            )
            for name in needed:
                if name not in item:
                    raise StripeError(400, f"Line {number}: a new {kind} needs {name!r}.")
            if kind == "refund" and item["charge"] is None:
                if not {"amount", "currency"} <= item.keys():
                    raise StripeError(
                        400, f"Line {number}: a refund without a charge needs amount and currency."
                    )
            elif (
                kind != "charge"
                and ("charge", item["charge"]) not in known
                and str(item["charge"]) not in self.store["charge"]
            ):
                raise StripeError(400, f"Line {number}: no such charge: {item['charge']!r}.")
            if "id" in item:
                known.add((kind, item["id"]))

    def _charge_of(self, given: Mapping[str, Any]) -> Object:
        if given.get("charge"):
            return self.get("charge", given["charge"], "charge")
        raise StripeError(
            400, "One of the following params should be provided for this request: charge."
        )

    def expire_authorisations(self) -> None:
        """What was authorised long enough ago and neither captured nor voided since, expires."""
        with self.lock:
            last = int(self.now()) - AUTHORISED_FOR
            for identifier in [name for name, at in self._authorised.items() if at <= last]:
                at = self._authorised.pop(identifier) + AUTHORISED_FOR
                item = self.get("charge", identifier)
                if not item["captured"] and not item["refunded"]:
                    expired = self._release(item, item["amount"], at, "expired_uncaptured_charge")
                    self._put_charge(item, expired, "charge.expired", at)
                    self.store.flush()

    def _charge(self, given: Mapping[str, Any]) -> Object:
        return objects.charge({"livemode": self.livemode} | dict(given))

    def _note_authorised(self, item: Object) -> None:
        if item["status"] == "succeeded" and not item["captured"] and not item["refunded"]:
            self._authorised[item["id"]] = item["created"]

    def _release(self, of: Object, amount: int, at: int, reason: str | None) -> Object:
        """Give back money that was never captured; the charge, which says so."""
        given: Object = {"id": objects.derived_id("re", of["id"]), "amount": amount, "created": at}
        self._put(objects.refund(given | {"reason": reason}, of, released=True))
        refunded = of["amount_refunded"] + amount
        return of | {"amount_refunded": refunded, "refunded": refunded >= of["amount"]}

    def _put(self, item: Object) -> Object:
        self.store.put(item)
        return item

    def _new_charge(self, item: Object, at: int) -> None:
        self.store.put(item)
        self._note_authorised(item)
        self._emit("charge.failed" if item["status"] == "failed" else "charge.succeeded", at, item)

    def _new_refund(self, given: Mapping[str, Any], of: Object, at: int) -> Object:
        item = objects.refund(given, of)
        # An import may tell what became of an authorisation without having told how.
        if of["amount_refunded"] + item["amount"] <= of["amount"] - of["amount_captured"]:
            item = objects.refund(item | {"balance_transaction": None}, of, released=True)
        self.store.put(item)
        if item["status"] not in {"failed", "canceled"}:
            total = of["amount_refunded"] + item["amount"]
            self._put_charge(
                of,
                of | {"amount_refunded": total, "refunded": total >= of["amount"]},
                "charge.refunded",
                at,
            )
        self._emit("refund.created", at, item)
        return item

    def _new_dispute(self, given: Mapping[str, Any], of: Object, at: int) -> Object:
        item = objects.dispute(given, of)
        self.store.put(item)
        self.store.put(of | {"disputed": True})
        self._emit("charge.dispute.created", at, item)
        self._emit("charge.dispute.funds_withdrawn", at, item)
        if item["status"] in CLOSED:
            self._emit("charge.dispute.closed", at, item)
        return item

    def _changed(self, old: Object, new: Object, at: int) -> Object:
        """Store a new state of an object, with the events that the change has at Stripe."""
        kind = old["object"]
        if kind == "charge" and new["captured"] and not old["captured"]:
            taken = new["amount_captured"] or new["amount"]
            transaction = objects.derived_id("txn", new["id"])
            new = new | {"amount_captured": taken, "balance_transaction": transaction}
            if taken < new["amount"]:
                new = self._release(new, new["amount"] - taken, at, None)
        previous = {name: value for name, value in old.items() if new.get(name) != value}
        self.store.put(new)
        if kind == "charge":
            captured = new["captured"] and not old["captured"]
            self._emit("charge.captured" if captured else "charge.updated", at, new, previous)
        elif kind == "refund":
            gone = new["status"] in {"failed", "canceled"} and old["status"] not in {
                "failed",
                "canceled",
            }
            if gone and old["charge"]:  # the money came back: Stripe takes it off the charge
                of = self.get("charge", old["charge"])
                left = of["amount_refunded"] - old["amount"]
                self._put_charge(
                    of, of | {"amount_refunded": left, "refunded": False}, "charge.updated", at
                )
            self._emit("refund.failed" if gone else "refund.updated", at, new, previous)
            self._emit("charge.refund.updated", at, new, previous)
        else:
            closed = new["status"] in CLOSED and old["status"] not in CLOSED
            if closed and new["status"] == "won":
                self._emit("charge.dispute.funds_reinstated", at, new)
            self._emit(
                "charge.dispute.closed" if closed else "charge.dispute.updated", at, new, previous
            )
        self.store.flush()
        return new

    def _put_charge(self, old: Object, new: Object, kind: str, at: int) -> None:
        self.store.put(new)
        self._emit(
            kind, at, new, {name: value for name, value in old.items() if new[name] != value}
        )

    def _emit(
        self, kind: str, at: int, item: Object, previous: Mapping[str, Any] | None = None
    ) -> None:
        if at >= self.oldest_event():  # an older one could never be read
            event = objects.event(kind, at, item, previous, livemode=self.livemode)
            self.store.put(event)
