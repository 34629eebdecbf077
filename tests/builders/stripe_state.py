"""Changes behind the emulator's back: what no request and no import can bring about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.stripe_emulator import StripeEmulator


def become(emulator: StripeEmulator, item: dict[str, Any]) -> None:
    """An object that is there is served like this from now on, whatever it says, without event."""
    body = json.dumps(item).encode()
    emulator.account.store[item["object"]]._bodies[item["id"]] = body


def forget(emulator: StripeEmulator, kind: str, identifier: str) -> None:
    """The object is gone, as test data that was removed is; its events are not."""
    collection = emulator.account.store[kind]
    place = collection._places.pop(identifier)
    del collection._bodies[identifier]
    for order in (collection._order, *collection._indexes.values()):
        if place in order:
            order.remove(place)
