"""The shop's first twelve months, made in one go.

At ``scale=1``: 100,000 orders with 250,000 items, 50,000 customers (a quarter of them older than
the twelve months), 200 products. The shop grows threefold over the year, so that its last days have
about 400 to 550 new orders; with those that are paid late, shipped, delivered or completed, about
1,600 to 2,000 orders change per day, 200 to 300 customers and 2 products. Items are append-only:
about 2.5 per new order. Products do not shrink below 50, so that there is a choice.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import psycopg2
from psycopg2 import extensions

from sandbox.shop.catalogue import CHANGES_PER_PRODUCT_AND_DAY, change_prices, make_products
from sandbox.shop.chance import Ints
from sandbox.shop.counts import ShopCounts
from sandbox.shop.lifecycle import PENDING, advance, spelled
from sandbox.shop.marketing import Takings, write_exports
from sandbox.shop.orders import make_lines
from sandbox.shop.payments import Ledger, Paid
from sandbox.shop.people import Addresses, choose_buyers, make_customers
from sandbox.shop.rows import columns, line_columns, picked, shipped_to
from sandbox.shop.season import DAY, HOUR, SECOND, micros, moments
from sandbox.shop.targets import ShopError, copy_rows, import_into_stripe

SCHEMA = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")
ORDERS, CUSTOMERS, PRODUCTS, FEWEST_PRODUCTS = 100_000, 50_000, 200, 50
DAYS = 365
OLD_CUSTOMERS = 0.25  # registered before the twelve months
MOVED = 0.15  # customers who changed their address since they registered
SERIALS = {
    "customers": "customer_id",
    "products": "product_id",
    "orders": "order_id",
    "order_items": "order_item_id",
}


def open_shop(
    source_dsn: str,
    stripe_url: str,
    csv_inbox: Path,
    *,
    scale: float = 0.1,
    until: datetime,
    seed: int = 20260101,
) -> ShopCounts:
    """Fill an empty source database, the Stripe emulator and the CSV inbox with twelve months.

    The tables are created where they are missing. The same arguments give the same shop. What goes
    into PostgreSQL is one transaction, committed last.

    Args:
        source_dsn: the source database, as ``postgresql://`` address.
        stripe_url: the Stripe emulator.
        csv_inbox: the folder for the marketing exports; they hold whole days, so none of the day of
            ``until``.
        scale: 1 for the sizes above.
        until: UTC, without a zone; nothing is newer.

    Raises:
        ShopError: the shop is open already, or the Stripe emulator does not answer.
    """
    rng = np.random.default_rng([seed, round(scale * 1_000_000), micros(until)])
    end = micros(until)
    start = end - DAYS * DAY

    registered = _registrations(rng, max(round(CUSTOMERS * scale), 10), start, end)
    moved = rng.random(len(registered)) < MOVED
    later = moved * rng.random(len(registered)) * (end - registered)
    last_change = registered + later.astype(np.int64)
    customers = make_customers(rng, _numbered(len(registered)), registered, last_change)

    count = max(round(PRODUCTS * scale), FEWEST_PRODUCTS)
    base = np.where(rng.random(count) < 0.8, start - 400 * DAY, start)
    listed = np.sort(base + (rng.random(count) * 300 * DAY).astype(np.int64))
    listed[0] = start - 400 * DAY  # there is always something to buy
    products = make_products(rng, _numbered(count), listed)
    changes = moments(rng, int(rng.poisson(CHANGES_PER_PRODUCT_AND_DAY * count * DAYS)), start, end)
    changed = rng.integers(count, size=len(changes))
    existing = listed[changed] < changes
    prices = change_prices(rng, products, changed[existing], changes[existing])

    ordered = moments(rng, max(round(ORDERS * scale), 10), start, end)
    order_id = _numbered(len(ordered))
    buyers = choose_buyers(rng, ordered, customers.customer_id, registered)
    elsewhere = rng.integers(len(registered), size=len(ordered))  # a gift, sent to somebody else
    to_whom = np.where(rng.random(len(ordered)) < 0.07, elsewhere, buyers)
    shipping = picked(customers.address, to_whom)
    lines = make_lines(rng, ordered, products, prices)
    total = lines.totals(len(ordered))
    pending = np.full(len(ordered), PENDING)
    status, updated, steps = advance(rng, order_id, pending, ordered, start, end)

    paid = Paid(order_id, customers.customer_id[buyers], ordered, total)
    ledger = Ledger(0, end)
    ledger.follow(paid, steps)
    ledger.attempt(paid)
    ledger.later(paid)

    with (
        closing(psycopg2.connect(source_dsn)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        _make_room(cursor)
        with ThreadPoolExecutor(1) as beside:  # two servers, each busy on its own
            imported = beside.submit(import_into_stripe, stripe_url, ledger.items())
            copy_rows(cursor, "customers", columns(customers))
            copy_rows(cursor, "products", columns(products))
            copy_orders(cursor, paid, status, updated, shipping)
            numbers = _numbered(len(lines.order))
            made = line_columns(numbers, lines, order_id, ordered, products.product_id)
            copy_rows(cursor, "order_items", made)
            for table, column in SERIALS.items():
                cursor.execute(
                    f"select setval(pg_get_serial_sequence('{table}', '{column}'), max({column})) "  # noqa: S608
                    f"from {table}"
                )
            cursor.execute("analyze")
            imported.result()
        first_day, takings = until.date() - timedelta(days=DAYS), _takings(ordered, total)
        csv_rows = write_exports(csv_inbox, takings, until.date(), seed, since=first_day)
    return ShopCounts(
        orders=len(ordered),
        order_items=len(lines.order),
        customers=len(registered),
        products=count,
        charges=len(ledger.charges),
        refunds=len(ledger.refunds),
        disputes=len(ledger.disputes),
        csv_rows=csv_rows,
    )


def copy_orders(
    cursor: extensions.cursor, paid: Paid, status: Ints, updated_at: Ints, shipping: Addresses
) -> None:
    """An order is dated to the second; its row is created in that second."""
    rows = columns(
        order_id=paid.order_id,
        customer_id=paid.customer_id,
        order_date=paid.created_at // SECOND * SECOND,
        status=spelled(paid.order_id, status),
        total_amount=paid.total,
        created_at=paid.created_at,
        updated_at=updated_at,
        **shipped_to(shipping),
    )
    copy_rows(cursor, "orders", rows)


def _make_room(cursor: extensions.cursor) -> None:
    cursor.execute("select to_regclass('orders') is not null")
    if cursor.fetchone() == (False,):
        cursor.execute(SCHEMA)
    cursor.execute("select exists (select from orders) or exists (select from customers)")
    if cursor.fetchone() == (True,):
        raise ShopError(
            "The shop is open already: its tables are not empty. Use an empty database, or let it "
            "live on."
        )


def _registrations(rng: np.random.Generator, count: int, start: int, end: int) -> Ints:
    old = max(round(count * OLD_CUSTOMERS), 1)
    before = start - HOUR - (rng.random(old) ** 1.5 * 2 * 365 * DAY).astype(np.int64)
    return np.concatenate([np.sort(before), moments(rng, count - old, start, end)])


def _numbered(count: int) -> Ints:
    return np.arange(1, count + 1, dtype=np.int64)


def _takings(ordered: Ints, total: Ints) -> dict[date, Takings]:
    days, position = np.unique(ordered // SECOND // 86_400, return_inverse=True)
    cents = np.zeros(len(days), dtype=np.int64)
    np.add.at(cents, position, total)
    orders = np.bincount(position, minlength=len(days))
    first = date(1970, 1, 1)
    return {
        first + timedelta(days=int(day)): Takings(int(sold), int(number))
        for day, sold, number in zip(days, cents, orders, strict=True)
    }
