"""The demo shop: books right to the cent, data messy on purpose, life inside its interval."""

from __future__ import annotations

import csv
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import pytest
import requests

from sandbox.postgres import EmbeddedPostgres
from sandbox.shop import SCHEMA, ShopCounts, ShopError, live, open_shop
from sandbox.shop.lifecycle import PENDING, PROCESSING, Transitions
from sandbox.shop.payments import Ledger, Paid
from sandbox.shop.season import black_friday, day_factor, micros
from sandbox.stripe_emulator import StripeEmulator

UNTIL = datetime(2026, 11, 22, 5, 40, 30, 123456)
NOON = datetime(2026, 11, 23, 12)
SCALE = 0.05
TABLES = {
    "customers": "customer_id",
    "products": "product_id",
    "orders": "order_id",
    "order_items": "order_item_id",
}


@dataclass
class Shop:
    """A shop of its own: database, Stripe account, inbox."""

    dsn: str
    stripe: StripeEmulator
    inbox: Path
    counts: list[ShopCounts] = field(default_factory=list)

    def open(self, seed: int = 1, scale: float = SCALE) -> Shop:
        self.counts.append(
            open_shop(self.dsn, self.stripe.url, self.inbox, scale=scale, until=UNTIL, seed=seed)
        )
        return self

    def live(self, start: datetime, end: datetime, seed: int = 1) -> ShopCounts:
        self.counts.append(live(self.dsn, self.stripe.url, self.inbox, start, end, seed))
        return self.counts[-1]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with (
            closing(psycopg2.connect(self.dsn)) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)
            return cursor.fetchall()

    def one(self, statement: str) -> Any:
        return self.query(statement)[0][0]

    def table(self, name: str) -> dict[int, tuple[Any, ...]]:
        return {row[0]: row for row in self.query(f"select * from {name} order by 1")}

    def tables(self) -> dict[str, dict[int, tuple[Any, ...]]]:
        return {name: self.table(name) for name in TABLES}

    def objects(self, kind: str) -> dict[str, dict[str, Any]]:
        """Objects of the Stripe account by id, as its API lists them."""
        found: dict[str, dict[str, Any]] = {}
        with requests.Session() as session:
            session.headers["Authorization"] = "Bearer sk_test_shop"
            cursor: dict[str, str] = {}
            while True:
                page = session.get(
                    f"{self.stripe.url}/v1/{kind}", params={"limit": "100", **cursor}, timeout=10
                ).json()
                found |= {item["id"]: item for item in page["data"]}
                if not page["has_more"]:
                    return found
                cursor = {"starting_after": page["data"][-1]["id"]}

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Events of the last 30 days."""
        return [event for event in self.objects("events").values() if event["type"] == kind]

    def csv_rows(self, name: str) -> list[list[str]]:
        with (self.inbox / name).open(newline="") as file:
            return list(csv.reader(file))[1:]


@pytest.fixture(scope="module")
def new_shop(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], Shop]]:
    """Makes empty shops."""
    made: list[tuple[str, StripeEmulator]] = []

    def make() -> Shop:
        name = f"shop_{uuid.uuid4().hex[:12]}"
        postgres.create_database(name)
        # Its events reach back 30 days from here.
        emulator = StripeEmulator(now=NOON.replace(tzinfo=UTC).timestamp)
        emulator.start()
        made.append((name, emulator))
        return Shop(postgres.dsn(name), emulator, tmp_path_factory.mktemp("inbox"))

    yield make
    for name, emulator in made:
        emulator.stop()
        postgres.drop_database(name)


@pytest.fixture(scope="module")
def shop(new_shop: Callable[[], Shop]) -> Shop:
    """An open shop that nobody changes."""
    return new_shop().open()


@dataclass(frozen=True)
class Lived:
    """A shop before and after it lived for a day and a half, in two steps."""

    shop: Shop
    before: dict[str, dict[int, tuple[Any, ...]]]
    after: dict[str, dict[int, tuple[Any, ...]]]
    refunds_before: set[str]
    charges_before: set[str]
    csv_before: dict[str, list[str]]


@pytest.fixture(scope="module")
def lived(new_shop: Callable[[], Shop]) -> Lived:
    lively = new_shop().open()
    before, charges, refunds = (
        lively.tables(),
        set(lively.objects("charges")),
        set(lively.objects("refunds")),
    )
    files = {file.name: file.read_text().splitlines() for file in lively.inbox.iterdir()}
    lively.live(UNTIL, UNTIL + timedelta(days=1))
    lively.live(UNTIL + timedelta(days=1), NOON)
    return Lived(lively, before, lively.tables(), refunds, charges, files)


def test_sizes_are_as_announced(shop: Shop) -> None:
    (counts,) = shop.counts
    assert counts.orders == shop.one("select count(*) from orders") == 5_000
    assert counts.customers == shop.one("select count(*) from customers") == 2_500
    assert counts.products == shop.one("select count(*) from products") == 50
    assert counts.order_items == shop.one("select count(*) from order_items")
    assert 12_000 < counts.order_items < 13_000
    assert counts.charges == len(shop.objects("charges"))
    by_the_shop = {"requested_by_customer", "duplicate"}  # what is not captured Stripe gives back
    refunds = [r for r in shop.objects("refunds").values() if r["reason"] in by_the_shop]
    assert counts.refunds == len(refunds)
    assert counts.disputes == len(shop.objects("disputes"))


def test_a_total_is_the_sum_of_its_lines_to_the_cent(shop: Shop) -> None:
    sums: dict[int, Decimal] = defaultdict(Decimal)
    for order, quantity, price, discount, line in shop.query(
        "select order_id, quantity, unit_price, discount_pct, line_total from order_items"
    ):
        exact = quantity * price * (100 - (discount or 0)) / 100
        assert line == exact.quantize(Decimal("0.01"), ROUND_HALF_UP)
        sums[order] += line
    assert dict(shop.query("select order_id, total_amount from orders")) == sums


def test_no_moment_is_out_of_order_or_after_the_end(shop: Shop) -> None:
    for table in ("customers", "products", "orders"):
        assert (
            shop.one(
                f"select count(*) from {table} where updated_at < created_at or updated_at > "
                f"'{UNTIL}'"
            )
            == 0
        )
    assert (
        shop.one(
            "select count(*) from orders o join customers c using (customer_id) where o.created_at "
            "< c.created_at"
        )
        == 0
    )
    assert (
        shop.one(
            "select count(*) from orders o join order_items i using (order_id) where o.created_at "
            "<> i.created_at"
        )
        == 0
    )
    assert (
        shop.one(
            "select count(*) from order_items i join products p using (product_id) where "
            "i.created_at < p.created_at"
        )
        == 0
    )
    assert (
        shop.one(
            "select count(*) from orders where created_at - order_date not between '0 s' and '1 s'"
        )
        == 0
    )
    year = UNTIL - timedelta(days=365)
    assert shop.one(f"select count(*) from orders where created_at <= '{year}'") == 0
    for kind in ("charges", "refunds", "disputes"):
        assert (
            max(item["created"] for item in shop.objects(kind).values())
            <= UNTIL.replace(tzinfo=UTC).timestamp()
        )


def test_the_same_arguments_give_the_same_shop_and_another_seed_another(
    new_shop: Callable[[], Shop],
) -> None:
    def books(shop: Shop) -> tuple[Any, ...]:
        files = {file.name: file.read_bytes() for file in shop.inbox.iterdir()}
        return (
            shop.tables(),
            shop.objects("charges"),
            shop.objects("refunds"),
            shop.objects("disputes"),
            files,
            shop.counts,
        )

    one, same, other = (new_shop().open(seed=seed, scale=0.01) for seed in (7, 7, 8))
    assert books(one) == books(same)
    assert books(one)[0]["orders"] != books(other)[0]["orders"]
    one.live(UNTIL, NOON, seed=7)
    same.live(UNTIL, NOON, seed=7)
    assert books(one) == books(same)


def test_the_data_is_as_messy_as_real_data(shop: Shop) -> None:
    assert 0.28 < shop.one("select avg((phone is null)::int) from customers") < 0.39
    states = {state for (state,) in shop.query("select distinct state from customers")}
    assert {"CA", "California", "ca", " CA ", None} <= states
    assert shop.one("select count(*) - count(distinct lower(email)) from customers") > 3
    assert shop.one("select count(*) from products where cost < 0") >= 1
    assert (
        shop.one(
            "select count(*) from products where category is null or category <> "
            "initcap(trim(category))"
        )
        >= 1
    )
    assert (
        shop.one(
            "select count(*) from customers where city <> trim(city) or last_name <> "
            "trim(last_name)"
        )
        > 0
    )
    statuses = {status for (status,) in shop.query("select distinct status from orders")}
    assert {"pending_review", "cancelled", "Completed", "refunded"} <= statuses


def test_few_buy_much_and_many_buy_once(shop: Shop) -> None:
    spent = [
        float(row[0])
        for row in shop.query(
            "select sum(total_amount) from orders group by customer_id order by 1 desc"
        )
    ]
    orders = Counter(
        count for (count,) in shop.query("select count(*) from orders group by customer_id")
    )
    assert orders[1] > orders[2] > orders[3] > orders[4]
    assert sum(spent[: len(spent) // 10]) > 0.3 * sum(spent)
    assert max(orders) >= 15


def test_the_year_has_growth_weekdays_and_a_holiday_season(shop: Shop) -> None:
    per_day = dict(shop.query("select created_at::date, count(*) from orders group by 1"))
    assert black_friday(2026) == date(2026, 11, 27)
    assert black_friday(2025) == date(2025, 11, 28)
    friday = per_day[black_friday(2025)]
    ordinary = (
        sum(per_day.get(date(2026, 1, 5) + timedelta(days=number), 0) for number in range(28)) / 28
    )
    assert friday > 2.5 * ordinary
    first, last = shop.query(
        "select count(*) filter (where created_at < '2026-04-01'), count(*) filter (where "
        "created_at >= '2026-09-01') "
        "from orders where extract(month from created_at) in (2, 3, 9, 10)"
    )[0]
    assert last > 1.5 * first
    assert day_factor(date(2026, 12, 25)) < 0.5 * day_factor(date(2026, 12, 15))
    assert day_factor(date(2026, 5, 11)) > day_factor(date(2026, 5, 15))  # Monday, Friday


def is_released(charge: dict[str, Any]) -> bool:
    """An authorisation that was voided or has expired."""
    return not charge["captured"] and bool(charge["refunded"])


def test_every_paid_order_has_its_charge_of_that_amount(shop: Shop) -> None:
    succeeded: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for charge in shop.objects("charges").values():
        if charge["status"] == "succeeded":
            succeeded[charge["metadata"].get("order_id", "")].append(charge)
    paid = (
        "processing",
        "shipped",
        "delivered",
        "completed",
        "returned",
        "refunded",
        "pending_review",
    )
    orders = {
        str(number): (total, created, customer)
        for number, total, created, customer, status in shop.query(
            "select order_id, total_amount, created_at, customer_id, status from orders"
        )
        if status.lower() in paid
    }
    outcome: Counter[str] = Counter()
    for number, (total, created, _) in orders.items():
        charges = [charge for charge in succeeded[number] if not is_released(charge)]
        if [charge["currency"] for charge in charges] == ["chf"]:
            outcome["francs"] += 1
            continue
        amount = sum(
            charge["amount_captured"] if charge["captured"] else charge["amount"]
            for charge in charges
        )
        assert all(charge["currency"] == "usd" for charge in charges)
        assert all(
            charge["created"] >= int(created.replace(tzinfo=UTC).timestamp()) for charge in charges
        )
        outcome["unpaid" if not charges else "exact" if amount == total * 100 else "overpaid"] += 1
        assert not charges or amount >= total * 100
    assert outcome["unpaid"] > 0
    assert outcome["overpaid"] > 0
    assert outcome["francs"] > 0
    assert outcome["exact"] > 0.99 * len(orders)
    known = {str(number) for (number,) in shop.query("select order_id from orders")}
    orphans = [charge for number in set(succeeded) - known for charge in succeeded[number]]
    assert 0 < len(orphans) < 0.01 * len(orders)
    assert {charge["currency"] for charge in orphans} - {"usd"}


def test_pending_orders_are_unpaid_and_declined_cards_are_tried_again(shop: Shop) -> None:
    charges = shop.objects("charges").values()
    succeeded = {
        charge["metadata"].get("order_id") for charge in charges if charge["status"] == "succeeded"
    }
    pending = {
        str(number)
        for (number,) in shop.query("select order_id from orders where lower(status) = 'pending'")
    }
    assert not pending & succeeded
    failed = [charge for charge in charges if charge["status"] == "failed"]
    assert {charge["failure_code"] for charge in failed} == {"card_declined", "insufficient_funds"}
    assert sum(charge["metadata"]["order_id"] in succeeded for charge in failed) > len(failed) / 2


def test_refunds_never_exceed_their_charge_and_follow_the_orders(shop: Shop) -> None:
    charges, refunds = shop.objects("charges"), shop.objects("refunds")
    per_charge: Counter[str] = Counter()
    for refund in refunds.values():
        per_charge[refund["charge"]] += refund["amount"]
        assert refund["created"] >= charges[refund["charge"]]["created"]
    for identifier, charge in charges.items():
        assert charge["amount_refunded"] == per_charge[identifier] <= charge["amount"]
    orders_refunded = {charges[identifier]["metadata"]["order_id"] for identifier in per_charge}
    sent_back = {
        str(number)
        for (number,) in shop.query("select order_id from orders where lower(status) = 'refunded'")
    }
    assert sent_back <= orders_refunded
    cancelled = {
        str(number): total
        for number, total in shop.query(
            "select order_id, total_amount from orders where lower(status) in ('cancelled', "
            "'canceled')"
        )
    }
    for charge in charges.values():
        if charge["metadata"].get("order_id") in cancelled and charge["status"] == "succeeded":
            assert charge["refunded"]
    assert any(charge["amount_refunded"] and not charge["refunded"] for charge in charges.values())
    weeks_later = [
        r for r in refunds.values() if r["created"] - charges[r["charge"]]["created"] > 21 * 86400
    ]
    assert len(weeks_later) > 10


def test_some_charges_are_captured_only_when_the_order_is_shipped(shop: Shop) -> None:
    statuses = {
        str(number): status.lower()
        for number, status in shop.query("select order_id, status from orders")
    }
    uncaptured = [
        c
        for c in shop.objects("charges").values()
        if c["status"] == "succeeded" and not c["captured"] and not is_released(c)
    ]
    assert {statuses[charge["metadata"]["order_id"]] for charge in uncaptured} <= {"processing"}
    assert shop.events("charge.captured")


def test_authorisations_are_voided_captured_in_part_and_expire(shop: Shop) -> None:
    charges, refunds = shop.objects("charges"), shop.objects("refunds").values()
    of_nothing = [refund for refund in refunds if refund["balance_transaction"] is None]
    by_kind = Counter(
        "part" if charges[refund["charge"]]["captured"] else refund["reason"]
        for refund in of_nothing
    )
    assert set(by_kind) == {"part", "requested_by_customer", "expired_uncaptured_charge"}
    for refund in of_nothing:
        charge = charges[refund["charge"]]
        assert refund["amount"] == charge["amount"] - charge["amount_captured"]


def test_disputes_are_opened_and_closed(shop: Shop) -> None:
    charges, disputes = shop.objects("charges"), shop.objects("disputes")
    assert {dispute["status"] for dispute in disputes.values()} == {"needs_response", "won", "lost"}
    for dispute in disputes.values():
        assert charges[dispute["charge"]]["disputed"]
        assert dispute["amount"] == charges[dispute["charge"]]["amount"]


def is_good(row: list[str], numbers: slice) -> bool:
    try:
        date.fromisoformat(row[0])
        return len(row) == 6 and all(Decimal(value) >= 0 for value in row[numbers])
    except (ArithmeticError, ValueError):
        return False


@pytest.mark.parametrize(
    ("name", "key", "numbers"),
    [
        ("marketing_spend.csv", slice(0, 3), slice(3, 6)),
        ("campaign_performance.csv", slice(0, 2), slice(4, 6)),
    ],
)
def test_the_exports_cover_every_day_with_few_malformed_rows(
    shop: Shop, name: str, key: slice, numbers: slice
) -> None:
    rows = shop.csv_rows(name)
    good = [row for row in rows if is_good(row, numbers)]
    assert 0 < len(rows) - len(good) < 0.01 * len(rows)
    assert len({tuple(row[key]) for row in good}) == len(good)
    days = {row[0] for row in good}
    assert days == {(UNTIL.date() - timedelta(days=number)).isoformat() for number in range(1, 366)}


def test_marketing_follows_revenue(shop: Shop) -> None:
    spent: dict[str, float] = defaultdict(float)
    for row in shop.csv_rows("marketing_spend.csv"):
        if is_good(row, slice(3, 6)):
            spent[row[0]] += float(row[3])
    sold = {
        str(day): float(total)
        for day, total in shop.query(
            "select created_at::date, sum(total_amount) from orders group by 1"
        )
    }
    days = sorted(set(spent) & set(sold))
    mean = [sum(values[day] for day in days) / len(days) for values in (spent, sold)]
    pairs = [(spent[day] - mean[0], sold[day] - mean[1]) for day in days]
    covariance = sum(a * b for a, b in pairs)
    correlation = covariance / (sum(a * a for a, _ in pairs) * sum(b * b for _, b in pairs)) ** 0.5
    assert correlation > 0.8
    assert 0.05 < sum(spent.values()) / sum(sold.values()) < 0.4


def test_life_stays_in_its_interval(lived: Lived) -> None:
    for table in TABLES:
        before, after = lived.before[table], lived.after[table]
        assert set(before) <= set(after)
        for number, row in after.items():
            created, changed = (row[-1], row[-1]) if table == "order_items" else row[-2:]
            if number not in before:
                assert UNTIL < created <= changed <= NOON
            elif row != before[number]:
                assert UNTIL < changed <= NOON
                assert created == before[number][-2]
    for kind, known in (("charges", lived.charges_before), ("refunds", lived.refunds_before)):
        news = [
            item for identifier, item in lived.shop.objects(kind).items() if identifier not in known
        ]
        assert news
        for item in news:
            assert UNTIL < datetime.fromtimestamp(item["created"], UTC).replace(tzinfo=None) <= NOON


def test_a_payment_right_after_the_start_counts_into_the_interval() -> None:
    # Stripe knows whole seconds only, and this second began before the interval.
    start = micros(UNTIL)
    orders = Paid(*(np.array([value]) for value in (10, 1, start - 20_000_000, 5_000)))
    paid = Transitions(*(np.array([value]) for value in (0, PENDING, PROCESSING, start + 1)))
    ledger = Ledger(start, start + 60_000_000)
    ledger.follow(orders, paid)
    assert [charge["created"] for charge in ledger.charges] == [start // 1_000_000 + 1]


def test_life_brings_new_rows_and_changes_of_every_kind(lived: Lived) -> None:
    counts = lived.shop.counts[1:]
    for name, table in (
        ("orders", "orders"),
        ("customers", "customers"),
        ("order_items", "order_items"),
    ):
        new = len(lived.after[table]) - len(lived.before[table])
        assert new == sum(getattr(count, name) for count in counts) > 0
    changed = {
        table: [
            number
            for number, row in lived.before[table].items()
            if lived.after[table][number] != row
        ]
        for table in TABLES
    }
    assert len(changed["orders"]) > 50
    assert len(changed["customers"]) > 0
    assert changed["order_items"] == []
    totals_before = {number: row[4] for number, row in lived.before["orders"].items()}
    assert all(lived.after["orders"][number][4] == total for number, total in totals_before.items())


def test_life_keeps_the_books_right(lived: Lived) -> None:
    test_a_total_is_the_sum_of_its_lines_to_the_cent(lived.shop)
    test_every_paid_order_has_its_charge_of_that_amount(lived.shop)
    test_pending_orders_are_unpaid_and_declined_cards_are_tried_again(lived.shop)
    test_refunds_never_exceed_their_charge_and_follow_the_orders(lived.shop)


def test_life_refunds_charges_of_before(lived: Lived) -> None:
    news = [
        item
        for identifier, item in lived.shop.objects("refunds").items()
        if identifier not in lived.refunds_before
    ]
    assert any(refund["charge"] in lived.charges_before for refund in news)


def test_life_adds_the_days_that_ended_and_revises_the_last_ones(lived: Lived) -> None:
    for name in ("marketing_spend.csv", "campaign_performance.csv"):
        before, after = lived.csv_before[name], (lived.shop.inbox / name).read_text().splitlines()
        revised = (UNTIL.date() - timedelta(days=3)).isoformat()
        kept = [row for row in before if row[:10] < revised or row.startswith("date")]
        assert after[: len(kept)] == kept
        assert len(after) == len(before) + 10
        assert {row[:10] for row in after[len(before) :]} == {UNTIL.date().isoformat()}
    assert [
        file.name for file in lived.shop.inbox.iterdir() if file.name not in lived.csv_before
    ] == []


def test_serials_go_on_where_the_shop_stopped(new_shop: Callable[[], Shop]) -> None:
    small = new_shop().open(scale=0.01)
    small.live(UNTIL, NOON)
    for table, key in TABLES.items():
        assert (
            small.one(
                f"select nextval(pg_get_serial_sequence('{table}', '{key}')) - max({key}) from "
                f"{table}"
            )
            == 1
        )


def test_the_pace_follows_the_season(new_shop: Callable[[], Shop]) -> None:
    week = new_shop().open()
    days = [datetime(2026, 11, 22) + timedelta(days=number) for number in range(9)]
    counts = {
        start.date(): week.live(max(start, UNTIL), start + timedelta(days=1)).orders
        for start in days
    }
    assert counts[black_friday(2026)] > 1.3 * counts[date(2026, 11, 23)]


def test_without_stripe_nothing_is_written(new_shop: Callable[[], Shop], tmp_path: Path) -> None:
    empty = new_shop()
    with pytest.raises(ShopError, match="does not answer"):
        open_shop(empty.dsn, "http://127.0.0.1:9", tmp_path, scale=0.001, until=UNTIL)
    assert empty.one("select to_regclass('orders') is null")
    assert list(tmp_path.iterdir()) == []


def test_an_open_shop_is_not_opened_again(shop: Shop) -> None:
    with pytest.raises(ShopError, match="open already"):
        shop.open()


def test_a_shop_that_is_not_open_or_an_empty_interval_is_explained(
    new_shop: Callable[[], Shop],
) -> None:
    empty = new_shop()
    with pytest.raises(ShopError, match="not open yet"):
        empty.live(UNTIL, NOON)
    with pytest.raises(ShopError, match="not after"):
        empty.live(NOON, NOON)


def test_tables_without_a_single_row_can_be_filled_and_live(new_shop: Callable[[], Shop]) -> None:
    empty = new_shop()
    with (
        closing(psycopg2.connect(empty.dsn)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(SCHEMA)
    assert empty.live(UNTIL, NOON).orders == 0
    assert empty.open(scale=0.001).counts[-1].orders == 100
