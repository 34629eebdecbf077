"""Orders and their lines: who buys what, at that moment's price.

An order's total is the sum of its lines, to the cent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.shop.catalogue import Prices, Products, popularity
from sandbox.shop.chance import Floats, Ints, Texts

LINES = (0.30, 0.27, 0.20, 0.13, 0.06, 0.04)  # share of orders with 1, 2, ... lines: 2.5 on average
QUANTITIES = (0.80, 0.14, 0.04, 0.02)
DISCOUNTS = (0, 0, 0, 5, 10, 10, 15, 20, 25)  # per cent; in the other half of the lines it is null


@dataclass(frozen=True)
class Lines:
    """Columns of order_items; ``order`` and ``product`` are positions, money is in cents."""

    order: Ints
    product: Ints
    quantity: Ints
    unit_price: Ints
    discount_pct: Texts
    line_total: Ints

    def totals(self, orders: int) -> Ints:
        """The sum of the lines per order, in cents."""
        sums = np.zeros(orders, dtype=np.int64)
        np.add.at(sums, self.order, self.line_total)
        return sums


def make_lines(
    rng: np.random.Generator, ordered_at: Ints, products: Products, prices: Prices
) -> Lines:
    """Lines for orders at these moments (sorted), of products that existed then.

    Popular ones are chosen more often.
    """
    per_order = rng.choice(len(LINES), size=len(ordered_at), p=LINES) + 1
    order = np.repeat(np.arange(len(ordered_at)), per_order)
    moment = ordered_at[order]
    product = _choose(rng, moment, products)
    quantity = rng.choice(len(QUANTITIES), size=len(order), p=QUANTITIES).astype(np.int64) + 1
    unit_price = prices.at(product, moment)
    given = rng.random(len(order)) < 0.5
    discount = np.array(DISCOUNTS, dtype=np.int64)[rng.integers(len(DISCOUNTS), size=len(order))]
    line_total = (
        quantity * unit_price * (100 - np.where(given, discount, 0)) + 50
    ) // 100  # half a cent counts as one
    return Lines(
        order=order,
        product=product,
        quantity=quantity,
        unit_price=unit_price,
        discount_pct=[
            str(cut) if known else None
            for cut, known in zip(discount.tolist(), given.tolist(), strict=True)
        ],
        line_total=line_total,
    )


def _choose(rng: np.random.Generator, moment: Ints, products: Products) -> Ints:
    by_age = np.argsort(products.created_at, kind="stable")
    reach: Floats = np.cumsum(popularity(products.product_id[by_age]))
    known = np.maximum(np.searchsorted(products.created_at[by_age], moment, side="right"), 1)
    drawn = rng.random(len(moment)) * reach[known - 1]
    return np.asarray(
        by_age[np.minimum(np.searchsorted(reach, drawn, side="right"), known - 1)], dtype=np.int64
    )
