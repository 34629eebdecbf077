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
from sandbox.shop.chance import Ints, Texts
from sandbox.shop.counts import ShopCounts
from sandbox.shop.lifecycle import PENDING, Transitions, advance, spelled, status_code
from sandbox.shop.marketing import REVISED_DAYS, Exported, Takings, write_exports
from sandbox.shop.opening import SERIALS
from sandbox.shop.orders import make_lines
from sandbox.shop.payments import REACH_BACK, Ledger, Paid
from sandbox.shop.people import Addresses, choose_buyers, make_addresses, make_customers
from sandbox.shop.rows import (
    address_columns,
    customer_columns,
    line_columns,
    money,
    order_columns,
    picked,
    product_columns,
)
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
    """Let the shop live over ``(start, end]`` (UTC, without a zone), at the pace of its last four
    weeks.

    New customers and orders, progress of open orders, moves, price changes, payments, refunds and
    disputes of old orders, the marketing exports of the days that ended; all moments lie in the
    interval. Call it with intervals that
    follow each other: rows that changed after ``start`` are left alone. What goes into PostgreSQL
    is one transaction.

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
        interval = _Interval(
            cursor,
            np.random.default_rng([seed, micros(start), micros(end)]),
            micros(start),
            micros(end),
        )
        new_customers = interval.register()
        moved = interval.move()
        new_products, repriced, prices, products = interval.trade()
        new = interval.order(products, prices)
        changed, ledger = interval.progress(new)
        import_into_stripe(stripe_url, ledger.items())
        exported = _export(cursor, csv_inbox, start, end, seed)
    return ShopCounts(
        orders=len(new.paid.order_id),
        order_items=new.lines,
        customers=new_customers,
        products=new_products,
        orders_changed=changed,
        customers_changed=moved,
        products_changed=repriced,
        charges=len(ledger.charges),
        refunds=len(ledger.refunds),
        disputes=len(ledger.disputes),
        spend_rows=exported.spend,
        performance_rows=exported.performance,
        malformed_rows=exported.malformed,
    )


@dataclass(frozen=True)
class _NewOrders:
    paid: Paid
    status: Ints
    updated_at: Ints
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
        created = moments(self._rng, self._expected("customers"), self._start, self._end)
        ids = self._serials("customers", len(created))
        self._cursor.execute(
            "select email from customers where email <> lower(email)"
            " or customer_id > (select max(customer_id) - 2000 from customers) order by customer_id"
        )
        emails = [email for (email,) in self._cursor.fetchall()]
        return copy_rows(
            self._cursor,
            "customers",
            customer_columns(make_customers(self._rng, ids, created, created, emails)),
        )

    def move(self) -> int:
        """Customers who move house; their number."""
        ids = self._column(
            "select customer_id from customers where updated_at <= %s order by customer_id"
        )
        count = min(
            int(self._rng.poisson(MOVES_PER_CUSTOMER_AND_DAY * len(ids) * self._days)), len(ids)
        )
        moving = np.sort(self._rng.choice(ids, size=count, replace=False)) if count else ids[:0]
        at = self._rng.permutation(moments(self._rng, count, self._start, self._end))
        addresses = make_addresses(self._rng, count)
        columns = {
            "customer_id": moving.tolist(),
            **address_columns(addresses),
            "updated_at": iso(at),
        }
        return update_rows(self._cursor, "customers", "customer_id", columns)

    def trade(self) -> tuple[int, int, Prices, Products]:
        """New products and price changes: how many of both, all prices of the interval, and the
        products.
        """
        added = moments(
            self._rng,
            int(self._rng.poisson(NEW_PRODUCTS_PER_DAY * self._days)),
            self._start,
            self._end,
        )
        ids = self._serials("products", len(added))
        new_products = copy_rows(
            self._cursor, "products", product_columns(make_products(self._rng, ids, added))
        )
        products = self._products()
        count = len(products.price)
        at = moments(
            self._rng,
            int(self._rng.poisson(CHANGES_PER_PRODUCT_AND_DAY * count * self._days)),
            self._start,
            self._end,
        )
        which = self._rng.integers(count, size=len(at)) if count else at
        untouched = products.updated_at[which] <= self._start
        prices = change_prices(self._rng, products, which[untouched], at[untouched])
        changed = np.unique(which[untouched])
        columns = {
            "product_id": products.product_id[changed].tolist(),
            "price": list(map(money, products.price[changed].tolist())),
            "updated_at": iso(products.updated_at[changed]),
        }
        return (
            new_products,
            update_rows(self._cursor, "products", "product_id", columns),
            prices,
            products,
        )

    def order(self, products: Products, prices: Prices) -> _NewOrders:
        """New orders with their lines, as they stand at the end of the interval."""
        customers = self._rows(
            "select customer_id, {created_at} from customers order by created_at, customer_id"
        )
        count = self._expected("orders") if len(customers) and len(products.price) else 0
        ordered = moments(self._rng, count, self._start, self._end)
        order_id = self._serials("orders", count)
        buyers = (
            choose_buyers(self._rng, ordered, customers[:, 0], customers[:, 1])
            if count
            else ordered
        )
        customer_id = customers[buyers, 0]
        lines = make_lines(self._rng, ordered, products, prices) if count else None
        total = lines.totals(count) if lines else ordered
        status, updated, steps = advance(
            self._rng, order_id, np.full(count, PENDING), ordered, self._start, self._end
        )
        if lines:
            shipping = self._addresses(customer_id)
            copy_rows(
                self._cursor,
                "orders",
                order_columns(order_id, customer_id, ordered, status, updated, total, shipping),
            )
            line_id = self._serials("order_items", len(lines.order))
            copy_rows(
                self._cursor,
                "order_items",
                line_columns(line_id, lines, order_id, ordered, products.product_id),
            )
        return _NewOrders(
            Paid(order_id, customer_id, ordered, total),
            status,
            updated,
            steps,
            len(lines.order) if lines else 0,
        )

    def progress(self, new: _NewOrders) -> tuple[int, Ledger]:
        """What happens to older orders, and everything that moves money: changed orders, and the
        Stripe account's news.
        """
        ledger = Ledger(self._start, self._end)
        ledger.follow(new.paid, new.steps)
        self._cursor.execute(
            "select order_id, customer_id, created_at, updated_at, total_amount, status from "
            "orders where created_at <= %s"
            " and updated_at <= %s and lower(trim(status)) not in ('completed', 'cancelled', "
            "'canceled', 'refunded')"
            " order by order_id",
            (_text(self._start), _text(self._start)),
        )
        found = [(row, status_code(row[5])) for row in self._cursor.fetchall()]
        known = [(row, code) for row, code in found if code is not None]
        open_orders = _paid([row for row, _ in known])
        status = np.array([code for _, code in known], dtype=np.int64)
        since = np.array([micros(row[3]) for row, _ in known], dtype=np.int64)
        after, updated, steps = advance(
            self._rng, open_orders.order_id, status, since, self._start, self._end
        )
        changed = np.unique(steps.order)
        ids = open_orders.order_id[changed]
        columns = {
            "order_id": ids.tolist(),
            "status": spelled(ids, after[changed]),
            "updated_at": iso(updated[changed]),
        }
        count = update_rows(self._cursor, "orders", "order_id", columns)
        ledger.follow(open_orders, steps)
        self._cursor.execute(
            "select order_id, customer_id, created_at, updated_at, total_amount from orders where "
            "created_at > %s"
            " and created_at <= %s order by order_id",
            (_text(self._start - REACH_BACK), _text(self._end)),
        )
        recent = _paid(self._cursor.fetchall())
        ledger.attempt(recent)
        ledger.later(recent)
        return count, ledger

    def _expected(self, table: str) -> int:
        """How many new rows the table gets, at the pace of the last four weeks and with the
        season's change since.
        """
        self._cursor.execute(
            f"select count(*) from {table} where created_at > %s and created_at <= %s",  # noqa: S608
            (_text(self._start - LOOK_BACK), _text(self._start)),
        )
        row = self._cursor.fetchone()
        assert row is not None
        pace = row[0] / worth(self._start - LOOK_BACK, self._start)
        return int(self._rng.poisson(pace * worth(self._start, self._end)))

    def _serials(self, table: str, count: int) -> Ints:
        self._cursor.execute(
            "select nextval(pg_get_serial_sequence(%s, %s)) from generate_series(1, %s)",
            (table, SERIALS[table], count),
        )
        return np.array([number for (number,) in self._cursor.fetchall()], dtype=np.int64)

    def _column(self, query: str) -> Ints:
        self._cursor.execute(query, (_text(self._start),))
        return np.array([value for (value,) in self._cursor.fetchall()], dtype=np.int64)

    def _rows(self, query: str) -> Ints:
        self._cursor.execute(
            query.format(created_at="(extract(epoch from created_at) * 1000000)::bigint")
        )
        return np.array(self._cursor.fetchall(), dtype=np.int64).reshape(-1, 2)

    def _addresses(self, customer_id: Ints) -> Addresses:
        chosen = np.unique(customer_id)
        self._cursor.execute(
            "select customer_id, address, city, state, country, zip_code from customers where "
            "customer_id = any(%s)"
            " order by customer_id",
            (chosen.tolist(),),
        )
        columns: list[Texts] = [
            list(column) for column in zip(*self._cursor.fetchall(), strict=True)
        ]
        return picked(Addresses(*columns[1:]), np.searchsorted(chosen, customer_id))

    def _products(self) -> Products:
        self._cursor.execute(
            "select product_id, name, category, subcategory, price, cost, weight_kg, is_active, "
            "created_at, updated_at"
            " from products order by product_id"
        )
        rows = self._cursor.fetchall()
        columns: list[list[Any]] = [[row[number] for row in rows] for number in range(10)]
        return Products(
            product_id=np.array(columns[0], dtype=np.int64),
            name=columns[1],
            category=columns[2],
            subcategory=columns[3],
            price=np.array([_cents(price) for price in columns[4]], dtype=np.int64),
            cost=[None if cost is None else _cents(cost) for cost in columns[5]],
            weight=columns[6],
            is_active=columns[7],
            created_at=np.array([micros(moment) for moment in columns[8]], dtype=np.int64),
            updated_at=np.array([micros(moment) for moment in columns[9]], dtype=np.int64),
        )


def _export(
    cursor: extensions.cursor, inbox: Path, start: datetime, end: datetime, seed: int
) -> Exported:
    """The marketing exports of the days that ended in the interval; the last days before it are
    revised with them.
    """
    if end.date() == start.date() and inbox.exists():
        return Exported(0, 0, 0)
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


def _text(moment: int) -> str:
    return iso(np.array([moment]))[0]
