"""Stripe's REST interface over an account: parameters in, bodies or Stripe's errors out.

Knows nothing of sockets.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl

from sandbox.stripe_emulator.account import Account, StripeError, missing
from sandbox.stripe_emulator.store import Object, Query, encode

Parameters = list[tuple[str, str]]

_PLURALS = {"charges": "charge", "refunds": "refund", "disputes": "dispute", "events": "event"}
_FILTERS = {
    "charge": {"customer", "payment_intent"},
    "refund": {"charge", "payment_intent"},
    "dispute": {"charge", "payment_intent"},
    "event": {"type"},
}
_WRITABLE = {
    "charge": {
        "description",
        "metadata",
        "receipt_email",
        "shipping",
        "transfer_group",
        "customer",
        "fraud_details",
    },
    "refund": {"metadata"},
    "dispute": {"metadata", "evidence", "submit"},
}
_CREATE_CHARGE = _WRITABLE["charge"] | {
    "amount",
    "currency",
    "source",
    "payment_method",
    "capture",
    "payment_intent",
}
_CREATE_REFUND = {"charge", "amount", "reason", "metadata"}
_INTEGERS = {"amount", "amount_to_capture"}
_BOOLEANS = {"capture", "submit"}


class Api:
    """``answer`` maps one request to its body.

    ``api_key`` None lets in every secret key of the account's mode.
    """

    def __init__(self, account: Account, api_key: str | None = None) -> None:
        self._account = account
        self._api_key = api_key
        self._replies: dict[tuple[str, str], bytes] = {}

    def authorize(self, header: str) -> None:
        """``StripeError`` 401 for no key or a wrong one, 403 for a restricted one."""
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "basic":
            value = base64.b64decode(value + "==").decode(errors="replace").partition(":")[0]
        if not value:
            raise StripeError(
                401,
                "You did not provide an API key. Provide it in the Authorization header, using "
                "Bearer auth.",
            )
        hidden = f"{value[:8]}{'*' * 8}{value[-4:]}" if len(value) > 16 else "*" * 8
        mode = "live" if self._account.livemode else "test"
        if value.startswith(f"rk_{mode}_"):
            raise StripeError(
                403,
                f"The provided key '{hidden}' does not have the required permissions for this "
                "endpoint.",
            )
        any_secret_key = self._api_key is None and value.startswith(f"sk_{mode}_")
        known = any_secret_key or value == self._api_key
        if not known:
            raise StripeError(401, f"Invalid API Key provided: {hidden}")

    def answer(
        self, method: str, path: str, query: str, body: str, idempotency_key: str | None
    ) -> bytes:
        """Body of a successful answer; ``StripeError`` otherwise."""
        self._account.expire_authorisations()
        parts = path.strip("/").split("/")[1:]
        kind = _PLURALS.get(parts[0]) if parts else None
        if kind is None or len(parts) > 3:
            raise StripeError(404, f"Unrecognized request URL ({method}: {path}).")
        if method == "GET":
            parameters = parse_qsl(query, keep_blank_values=True)
            if len(parts) == 1:
                return self._list(kind, path, parameters)
            if len(parts) == 2:
                return self._retrieve(kind, parts[1])
        if method == "POST":
            reply = self._replies.get((path, idempotency_key)) if idempotency_key else None
            if reply is None:
                reply = encode(
                    self._write(
                        kind,
                        parts[1:],
                        _nested(parse_qsl(body, keep_blank_values=True)),
                        method,
                        path,
                    )
                )
                if idempotency_key:
                    self._replies[path, idempotency_key] = reply
            return reply
        raise StripeError(404, f"Unrecognized request URL ({method}: {path}).")

    def _retrieve(self, kind: str, identifier: str) -> bytes:
        with self._account.lock:
            body = self._account.store[kind].body(identifier)
            expired = (
                kind == "event"
                and body
                and self._account.get(kind, identifier)["created"] < self._account.oldest_event()
            )
        if body is None or expired:
            raise missing(kind, identifier)
        return body

    def _list(self, kind: str, path: str, parameters: Parameters) -> bytes:
        query = _query(kind, parameters)
        if kind == "event":
            oldest = self._account.oldest_event()
            query = replace(query, after=max(oldest, query.after or oldest))
        with self._account.lock:
            try:
                bodies, more = self._account.store[kind].page(query)
            except KeyError as unknown:
                cursor = (
                    "starting_after" if query.starting_after == unknown.args[0] else "ending_before"
                )
                raise StripeError(
                    400,
                    f"No such {kind}: '{unknown.args[0]}'",
                    code="resource_missing",
                    param=cursor,
                ) from None
        end = b'],"has_more":%s,"url":"%s"}' % (b"true" if more else b"false", path.encode())
        return b'{"object":"list","data":[' + b",".join(bodies) + end

    def _write(self, kind: str, rest: list[str], given: Object, method: str, path: str) -> Object:
        account = self._account
        match (kind, *rest):
            case ("charge",):
                _check(given, _CREATE_CHARGE, ("amount", "currency"))
                if given["amount"] <= 0:
                    raise StripeError(
                        400,
                        "Invalid positive integer",
                        code="parameter_invalid_integer",
                        param="amount",
                    )
                return account.create_charge(given)
            case ("refund",):
                _check(given, _CREATE_REFUND)
                return account.create_refund(given)
            case ("charge", identifier, "capture"):
                _check(given, {"amount", "amount_to_capture"})
                return account.capture(
                    identifier, given.get("amount_to_capture", given.get("amount"))
                )
            case ("dispute", identifier, "close"):
                _check(given, set())
                return account.close_dispute(identifier)
            case ("charge" | "refund" | "dispute", identifier):
                _check(given, _WRITABLE[kind])
                return account.update(kind, identifier, given)
        raise StripeError(404, f"Unrecognized request URL ({method}: {path}).")


def _check(given: Mapping[str, Any], allowed: set[str], needed: tuple[str, ...] = ()) -> None:
    for name in given:
        if name not in allowed:
            raise StripeError(
                400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name
            )
    for name in needed:
        if name not in given:
            raise StripeError(
                400, f"Missing required param: {name}.", code="parameter_missing", param=name
            )


def _query(kind: str, parameters: Parameters) -> Query:
    limit, after, before = 10, None, None
    cursors: dict[str, str] = {}
    where: tuple[str, tuple[str, ...]] | None = None
    types: list[str] = []
    for name, value in parameters:
        bound = re.fullmatch(r"created(?:\[(gte?|lte?)\])?", name)
        if bound:
            moment = _integer(name, value)
            operator = bound[1]
            if operator in ("gt", "gte", None):
                after = max(moment + (operator == "gt"), after if after is not None else 0)
            if operator in ("lt", "lte", None):
                before = min(moment - (operator == "lt"), before if before is not None else moment)
        elif name == "limit":
            limit = _integer(name, value)
            if not 1 <= limit <= 100:
                raise StripeError(
                    400, "This value must be between 1 and 100 (inclusive).", param="limit"
                )
        elif name in ("starting_after", "ending_before"):
            cursors[name] = value
        elif kind == "event" and re.fullmatch(r"types\[\d*\]", name):
            types.append(value)
        elif name in _FILTERS[kind]:
            if where is not None:
                raise StripeError(
                    400,
                    f"This emulator filters by one of {where[0]} and {name}, not by both.",
                    param=name,
                )
            where = (name, (value,))
        else:
            raise StripeError(
                400, f"Received unknown parameter: {name}", code="parameter_unknown", param=name
            )
    if len(cursors) == 2:
        raise StripeError(
            400, "You may only specify one of these parameters: ending_before, starting_after."
        )
    if types:
        if where is not None:
            raise StripeError(400, "You may only specify one of these parameters: type, types.")
        where = ("type", tuple(dict.fromkeys(types)))
    return Query(
        limit, after, before, cursors.get("starting_after"), cursors.get("ending_before"), where
    )


def _integer(name: str, value: str) -> int:
    if not re.fullmatch(r"-?\d{1,15}", value):
        raise StripeError(
            400, f"Invalid integer: {value}", code="parameter_invalid_integer", param=name
        )
    return int(value)


def _nested(parameters: Parameters) -> Object:
    """``metadata[order_id]=7&amount=100`` as ``{"metadata": {"order_id": "7"}, "amount": 100}``."""
    given: Object = {}
    for name, value in parameters:
        outer, *inner = re.findall(r"[^\[\]]+", name) or [name]
        if inner:
            given.setdefault(outer, {})[inner[0]] = value
        elif outer in _INTEGERS:
            given[outer] = _integer(outer, value)
        elif outer in _BOOLEANS:
            given[outer] = value == "true"
        else:
            given[outer] = value
    return given
