"""The shop's rows as the database's columns: exact decimals for cents, timestamps for microseconds.

The fields of Customers, Addresses, Products and Lines are called as their columns are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sandbox.shop.chance import Ints, Texts
from sandbox.shop.orders import Lines
from sandbox.shop.people import Addresses
from sandbox.shop.season import iso

Columns = Mapping[str, Iterable[object]]
MONEY = ("price", "cost", "unit_price", "line_total", "total_amount")
MOMENTS = ("created_at", "updated_at", "order_date")


def columns(row: Any = None, **more: Any) -> Columns:
    """The columns of a dataclass and some more: money from cents, moments from microseconds."""
    given: dict[str, Any] = {**(vars(row) if row else {}), **more}
    found: dict[str, Iterable[object]] = {}
    for name, values in given.items():
        if isinstance(values, Addresses):
            found.update(vars(values))
        elif name in MOMENTS:
            found[name] = iso(values)
        else:
            listed = values.tolist() if isinstance(values, np.ndarray) else values
            found[name] = map(money, listed) if name in MONEY else listed
    return found


def money(cents: int | None) -> str | None:
    if cents is None:
        return None
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"


def shipped_to(addresses: Addresses) -> Columns:
    """An address as the columns of an order."""
    names = {"address": "address", "city": "city", "state": "state", "country": "country"}
    names["zip_code"] = "zip"
    return {f"shipping_{name}": getattr(addresses, field) for field, name in names.items()}


def line_columns(
    line_id: Ints, lines: Lines, order_id: Ints, created_at: Ints, product_id: Ints
) -> Columns:
    values = dict(vars(lines))
    order, product = values.pop("order"), values.pop("product")
    return columns(
        order_item_id=line_id,
        order_id=order_id[order],
        product_id=product_id[product],
        **values,
        created_at=created_at[order],
    )


def picked(addresses: Addresses, positions: Ints) -> Addresses:
    """The addresses at these positions."""
    chosen = positions.tolist()

    def pick(texts: Texts) -> Texts:
        return [texts[position] for position in chosen]

    return Addresses(**{name: pick(texts) for name, texts in vars(addresses).items()})
