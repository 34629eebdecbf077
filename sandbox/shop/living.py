"""The shop lives on: what happens in it between two moments, on top of what is there."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psycopg2

from sandbox.shop.catalogue import (
    CHANGES_PER_PRODUCT_AND_DAY,
    Prices,
    Products,
    change_prices,
    make_products,
)
from sandbox.shop.chance import Ints
from sandbox.shop.counts import ShopCounts
from sandbox.shop.lifecycle import PENDING, Transitions, advance, spelled, status_code
from sandbox.shop.marketing import REVISED_DAYS, Takings, write_exports
from sandbox.shop.opening import SERIALS, copy_orders
from sandbox.shop.orders import make_lines
from sandbox.shop.payments import REACH_BACK, Ledger, Paid
from sandbox.shop.people import Addresses, choose_buyers, make_addresses, make_customers
from sandbox.shop.rows import columns, line_columns, picked
from sandbox.shop.season import DAY, iso, micros, moments, worth
from sandbox.shop.targets import ShopError, copy_rows, import_into_stripe, update_rows

if TYPE_CHECKING:
    from psycopg2 import extensions

LOOK_BACK = 28 * DAY  # over which the shop's pace is measured
MOVES_PER_CUSTOMER_AND_DAY = 0.001
NEW_PRODUCTS_PER_DAY = 0.05


def live(
    source_dsn: str,
    stripe_url: str,
    csv_inbox: Path,
    start: datetime,
    end: datetime,
    seed: int = 20260101,
) -> ShopCounts:
    """Let the shop live over ``(start, end]`` at the pace of its last four weeks.

    Both are UTC, without a zone. New customers and orders, progress of open orders, moves, price
    changes, payments, refunds and disputes of old orders, the marketing exports of the days that
    ended; all moments lie in the interval. Call it with intervals that follow each other: rows that
    changed after ``start`` are left alone. What goes into PostgreSQL is one transaction.

    Raises:
        ShopError: the shop is not open, the interval is empty, or the Stripe emulator does not
            answer.
    """
    if end <= start:
        raise ShopError(
            f"The shop cannot live from {start} to {end}: the end is not after the start."
        )
    with (
        closing(psycopg2.connect(source_dsn)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("select to_regclass('orders') is not null")
        if cursor.fetchone() == (False,):
            raise ShopError("The shop is not open yet: its tables are missing. Open it first.")
        rng = np.random.default_rng([seed, micros(start), micros(end)])
        interval = _Interval(cursor, rng, micros(start), micros(end))
        new_customers = interval.register()
        interval.move()
        new_products, prices, products = interval.trade()
        new = interval.order(products, prices)
        ledger = interval.progress(new)
        import_into_stripe(stripe_url, ledger.items())
        csv_rows = _export(cursor, csv_inbox, start, end, seed)
    return ShopCounts(
        orders=len(new.paid.order_id),
        order_items=new.lines,
        customers=new_customers,
        products=new_products,
        charges=len(ledger.charges),
        refunds=len(ledger.refunds),
        disputes=len(ledger.disputes),
        csv_rows=csv_rows,
    )


@dataclass(frozen=True)
class _NewOrders:
    paid: Paid
    steps: Transitions
    lines: int


class _Interval:
    """One stretch of the shop's life inside one transaction."""

    def __init__(
        self, cursor: extensions.cursor, rng: np.random.Generator, start: int, end: int
    ) -> None:
        self._cursor, self._rng, self._start, self._end = cursor, rng, start, end
        self._days = (end - start) / DAY

    def register(self) -> int:
        """New customers; their number."""
        created = self._moments(self._expected("customers"))
        ids = self._serials("customers", len(created))
        emails = self._rows(
            "select email from customers where email <> lower(email)"
            " or customer_id > (select max(customer_id) - 2000 from customers) order by customer_id"
        )
        known = [email for (email,) in emails]
        made = make_customers(self._rng, ids, created, created, known)
        return copy_rows(self._cursor, "customers", columns(made))

    def move(self) -> None:
        """Customers who move house."""
        settled = "select customer_id from customers where updated_at <= %s order by customer_id"
        ids = np.array([number for (number,) in self._rows(settled, self._start)], dtype=np.int64)
        count = min(self._poisson(MOVES_PER_CUSTOMER_AND_DAY * len(ids)), len(ids))
        moving = np.sort(self._rng.choice(ids, size=count, replace=False)) if count else ids[:0]
        at = self._rng.permutation(self._moments(count))
        moved = columns(make_addresses(self._rng, count), customer_id=moving, updated_at=at)
        update_rows(self._cursor, "customers", "customer_id", moved)

    def trade(self) -> tuple[int, Prices, Products]:
        """New products and price changes: the number of new products, all prices, all products."""
        added = self._moments(self._poisson(NEW_PRODUCTS_PER_DAY))
        made = make_products(self._rng, self._serials("products", len(added)), added)
        new_products = copy_rows(self._cursor, "products", columns(made))
        products = self._products()
        count = len(products.price)
        at = self._moments(self._poisson(CHANGES_PER_PRODUCT_AND_DAY * count))
        which = self._rng.integers(count, size=len(at)) if count else at
        untouched = products.updated_at[which] <= self._start
        prices = change_prices(self._rng, products, which[untouched], at[untouched])
        changed = np.unique(which[untouched])
        repriced = columns(
            product_id=products.product_id[changed],
            price=products.price[changed],
            updated_at=products.updated_at[changed],
        )
        update_rows(self._cursor, "products", "product_id", repriced)
        return new_products, prices, products

    def order(self, products: Products, prices: Prices) -> _NewOrders:
        """New orders with their lines, as they stand at the end of the interval."""
        since = "(extract(epoch from created_at) * 1000000)::bigint"
        found = self._rows(
            f"select customer_id, {since} from customers order by created_at, customer_id"  # noqa: S608
        )
        customers = np.array(found, dtype=np.int64).reshape(-1, 2)
        count = self._expected("orders") if len(customers) and len(products.price) else 0
        ordered = self._moments(count)
        order_id, pending = self._serials("orders", count), np.full(count, PENDING)
        if not count:
            none = Paid(order_id, order_id, ordered, ordered)
            _, _, steps = advance(self._rng, order_id, pending, ordered, self._start, self._end)
            return _NewOrders(none, steps, 0)
        buyers = choose_buyers(self._rng, ordered, customers[:, 0], customers[:, 1])
        customer_id = customers[buyers, 0]
        lines = make_lines(self._rng, ordered, products, prices)
        paid = Paid(order_id, customer_id, ordered, lines.totals(count))
        status, updated, steps = advance(
            self._rng, order_id, pending, ordered, self._start, self._end
        )
        copy_orders(self._cursor, paid, status, updated, self._addresses(customer_id))
        line_id = self._serials("order_items", len(lines.order))
        made = line_columns(line_id, lines, order_id, ordered, products.product_id)
        copy_rows(self._cursor, "order_items", made)
        return _NewOrders(paid, steps, len(lines.order))

    def progress(self, new: _NewOrders) -> Ledger:
        """What happens to older orders; the Stripe account's news, of old and new ones."""
        ledger = Ledger(self._start, self._end)
        ledger.follow(new.paid, new.steps)
        rows = self._rows(
            "select order_id, customer_id, created_at, updated_at, total_amount, status from "
            "orders where created_at <= %s and updated_at <= %s and lower(trim(status)) not in "
            "('completed', 'cancelled', 'canceled', 'refunded') order by order_id",
            self._start,
            self._start,
        )
        known = [row for row in rows if status_code(row[5]) is not None]
        open_orders = _paid(known)
        status = np.array([status_code(row[5]) for row in known], dtype=np.int64)
        since = np.array([micros(row[3]) for row in known], dtype=np.int64)
        after, updated, steps = advance(
            self._rng, open_orders.order_id, status, since, self._start, self._end
        )
        changed = np.unique(steps.order)
        ids = open_orders.order_id[changed]
        moved_on = columns(
            order_id=ids, status=spelled(ids, after[changed]), updated_at=updated[changed]
        )
        update_rows(self._cursor, "orders", "order_id", moved_on)
        ledger.follow(open_orders, steps)
        recent = _paid(
            self._rows(
                "select order_id, customer_id, created_at, updated_at, total_amount from orders "
                "where created_at > %s and created_at <= %s order by order_id",
                self._start - REACH_BACK,
                self._end,
            )
        )
        ledger.attempt(recent)
        ledger.later(recent)
        return ledger

    def _expected(self, table: str) -> int:
        """New rows of the table at the pace of the last four weeks, the season's change in mind."""
        before = self._start - LOOK_BACK
        count = f"select count(*) from {table} where created_at > %s and created_at <= %s"  # noqa: S608
        pace = self._rows(count, before, self._start)[0][0] / worth(before, self._start)
        return int(self._rng.poisson(pace * worth(self._start, self._end)))

    def _poisson(self, per_day: float) -> int:
        return int(self._rng.poisson(per_day * self._days))

    def _moments(self, count: int) -> Ints:
        return moments(self._rng, count, self._start, self._end)

    def _serials(self, table: str, count: int) -> Ints:
        self._cursor.execute(
            "select nextval(pg_get_serial_sequence(%s, %s)) from generate_series(1, %s)",
            (table, SERIALS[table], count),
        )
        return np.array([number for (number,) in self._cursor.fetchall()], dtype=np.int64)

    def _rows(self, query: str, *times: int) -> list[tuple[Any, ...]]:
        self._cursor.execute(query, [iso(np.array([time]))[0] for time in times] or None)
        return self._cursor.fetchall()

    def _addresses(self, customer_id: Ints) -> Addresses:
        chosen = np.unique(customer_id)
        self._cursor.execute(
            "select address, city, state, country, zip_code from customers "
            "where customer_id = any(%s) order by customer_id",
            (chosen.tolist(),),
        )
        found = Addresses(*map(list, zip(*self._cursor.fetchall(), strict=True)))
        return picked(found, np.searchsorted(chosen, customer_id))

    def _products(self) -> Products:
        rows = self._rows(
            "select product_id, name, category, subcategory, price, cost, weight_kg, is_active, "
            "created_at, updated_at from products order by product_id"
        )
        found: list[list[Any]] = [[row[number] for row in rows] for number in range(10)]
        return Products(
            product_id=np.array(found[0], dtype=np.int64),
            name=found[1],
            category=found[2],
            subcategory=found[3],
            price=np.array([_cents(price) for price in found[4]], dtype=np.int64),
            cost=[None if cost is None else _cents(cost) for cost in found[5]],
            weight_kg=found[6],
            is_active=found[7],
            created_at=np.array([micros(moment) for moment in found[8]], dtype=np.int64),
            updated_at=np.array([micros(moment) for moment in found[9]], dtype=np.int64),
        )


def _export(
    cursor: extensions.cursor, inbox: Path, start: datetime, end: datetime, seed: int
) -> int:
    """The exports of the days that ended in the interval; the days before are revised with them."""
    if end.date() == start.date() and inbox.exists():
        return 0
    since = start.date() - timedelta(days=REVISED_DAYS)
    cursor.execute(
        "select created_at::date, sum(total_amount), count(*) from orders where created_at >= %s "
        "and created_at < %s group by 1",
        (since, end.date()),
    )
    takings = {day: Takings(_cents(sold), orders) for day, sold, orders in cursor.fetchall()}
    return write_exports(inbox, takings, end.date(), seed, since=since)


def _paid(rows: list[tuple[Any, ...]]) -> Paid:
    return Paid(
        order_id=np.array([row[0] for row in rows], dtype=np.int64),
        customer_id=np.array([row[1] or 0 for row in rows], dtype=np.int64),
        created_at=np.array([micros(row[2]) for row in rows], dtype=np.int64),
        total=np.array([_cents(row[4]) for row in rows], dtype=np.int64),
    )


def _cents(amount: Decimal) -> int:
    return int(amount * 100)
