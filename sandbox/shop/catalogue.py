"""What the shop sells: products with prices that change, and costs that somebody mistyped.

Money is whole cents here; it becomes exact decimals in the database.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sandbox.shop.chance import Floats, Ints, Texts, chance

CHANGES_PER_PRODUCT_AND_DAY = 0.01  # two a day among 200 products
NEGATIVE_COSTS = 0.02
# category: usual price, sections, what each section sells
RANGE = {
    "Electronics": (14900, "Audio Cables Wearables Cameras", "Headphones Speaker Charger Tracker"),
    "Clothing": (4900, "Men Women Kids Shoes", "Jacket T-Shirt Sneakers Jeans"),
    "Home & Garden": (6900, "Kitchen Lighting Garden Bedding", "Pan Lamp Planter Duvet"),
    "Books": (1900, "Fiction Non-fiction Children Cooking", "Novel Guide Picture_Book Cookbook"),
    "Sports & Outdoors": (7900, "Cycling Camping Fitness Running", "Helmet Tent Dumbbell Shorts"),
    "Toys & Games": (2900, "Puzzles Board_Games Outdoor", "Puzzle Board_Game Kite"),
    "Beauty": (2400, "Skin Hair Fragrance", "Cream Shampoo Perfume"),
}
SPELLINGS = {
    "Electronics": "electronics",
    "Home & Garden": "Home and Garden",
    "Clothing": "apparel ",
    "Books": " Books",
}
BRANDS = (
    *("Aurora", "Bolt", "Cobalt", "Dune", "Ember", "Fjord"),
    *("Grove", "Harbor", "Iris", "Juniper", "Kestrel", "Lumen"),
)
MODELS = ("One", "Lite", "Pro", "Classic", "Max", "Mini", "Plus", "Air")


@dataclass(frozen=True)
class Products:
    """Columns of the table; money in cents, moments in microseconds since 1970."""

    product_id: Ints
    name: list[str]
    category: Texts
    subcategory: Texts
    price: Ints
    cost: list[int | None]
    weight_kg: Texts
    is_active: list[bool]
    created_at: Ints
    updated_at: Ints


@dataclass(frozen=True)
class Prices:
    """Every price a product ever had, sorted by product and the moment from which it counts."""

    product: Ints  # position of the product
    since: Ints
    cents: Ints

    def at(self, product: Ints, moment: Ints) -> Ints:
        """The price in cents of each product (by position) at each moment."""
        order = np.lexsort((self.since, self.product))
        span = np.int64(1) << np.int64(52)  # more microseconds than from 1970 to 2100
        keys = self.product[order] * span + self.since[order]
        found = np.searchsorted(keys, product * span + moment, side="right") - 1
        return np.asarray(self.cents[order][found], dtype=np.int64)


def make_products(rng: np.random.Generator, ids: Ints, created_at: Ints) -> Products:
    """Products with these numbers, as they are when they come into the shop."""
    count = len(ids)
    kinds = list(RANGE)
    names: list[str] = []
    categories: Texts = []
    subcategories: Texts = []
    typical: list[int] = []
    for draw in rng.random((count, 6)).tolist():
        category = kinds[int(draw[0] * len(kinds))]
        usual, *worded = RANGE[category]
        sections, things = ([word.replace("_", " ") for word in words.split()] for words in worded)
        section = int(draw[1] * len(sections))
        brand, model = BRANDS[int(draw[2] * len(BRANDS))], MODELS[int(draw[3] * len(MODELS))]
        names.append(f"{brand} {things[section]} {model}" + (" " if draw[4] > 0.97 else ""))
        spelt = SPELLINGS.get(category, category) if draw[5] < 0.12 else category
        categories.append(None if draw[4] < 0.01 else spelt)
        subcategories.append(None if draw[5] > 0.96 else sections[section])
        typical.append(usual)
    price = _round_price(np.array(typical) * np.exp(rng.normal(0, 0.55, count)))
    cost = (price * rng.uniform(0.35, 0.78, count)).astype(np.int64)
    wrong = rng.random(count)
    cost = np.where(wrong < NEGATIVE_COSTS, -cost, cost)
    if count >= 20 and not (cost < 0).any():
        cost[int(rng.integers(count))] *= -1
    weights = np.exp(rng.normal(-0.4, 0.9, count))
    return Products(
        product_id=ids,
        name=names,
        category=categories,
        subcategory=subcategories,
        price=price,
        cost=[None if odd > 0.97 else int(cents) for odd, cents in zip(wrong, cost, strict=True)],
        weight_kg=[
            None if draw < 0.05 else f"{weight:.2f}"
            for draw, weight in zip(rng.random(count), weights, strict=True)
        ],
        is_active=[bool(draw >= 0.05) for draw in rng.random(count)],
        created_at=created_at,
        updated_at=created_at.copy(),
    )


def change_prices(
    rng: np.random.Generator, products: Products, changes: Ints, moments: Ints
) -> Prices:
    """All prices of the products, with a new one for ``changes[i]`` (positions) at ``moments[i]``.

    The moments are sorted. ``products`` gets the last price and the moment of its change: its
    arrays are changed in place.
    """
    product, since = list(range(len(products.price))), products.created_at.tolist()
    cents, factors = products.price.tolist(), rng.uniform(0.85, 1.18, len(changes))
    for position, moment, factor in zip(changes.tolist(), moments.tolist(), factors, strict=True):
        products.price[position] = _round_price(np.array([products.price[position] * factor]))[0]
        products.updated_at[position] = moment
        product.append(position)
        since.append(moment)
        cents.append(int(products.price[position]))
    return Prices(np.array(product), np.array(since), np.array(cents))


def popularity(product_ids: Ints) -> Floats:
    """How often a product is bought, compared with others."""
    return np.asarray(np.minimum((1 - chance(product_ids, "popularity")) ** (-1 / 1.6), 25.0))


def _round_price(cents: Floats) -> Ints:
    """Prices end on .99 or .49."""
    return np.maximum(np.rint(cents / 50).astype(np.int64) * 50, 250) - 1
