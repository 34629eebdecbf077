"""The ledger of changes: why a figure of a settled day is another one than before."""

from __future__ import annotations

from collections import defaultdict
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.builders.chance import examples
from transform.restatements import as_of, of_day, of_publication, sentences, write
from warehouse.duckdb.session import DuckDBSession
from warehouse.publication import Publication

FIRST = date(2026, 11, 20)
SETTLED = FIRST + timedelta(days=4)  # the publication before is complete up to here
MARTS = {
    "fct_orders": "order_id integer, order_date date, is_cancelled boolean, "
    "is_first_order boolean, unit_count integer, gross_revenue decimal(18, 2), "
    "_loaded_at timestamp",
    "fct_payments": "charge_id integer, charge_date date, captured_amount decimal(18, 2), "
    "_loaded_at timestamp",
    "fct_marketing_performance": "marketing_performance_key varchar, date_day date, "
    "spend decimal(18, 2)",
    "fct_daily_revenue": "order_date date, orders bigint, units_sold bigint, new_customers bigint, "
    "gross_revenue decimal(18, 2), refunds decimal(18, 2), revenue_refunds decimal(18, 2), "
    "refund_count bigint, payments decimal(18, 2), net_revenue decimal(18, 2)",
}
Row = dict[str, Any]


@dataclass
class Marts:
    """The rows of one publication, by their keys. Amounts are whole cents."""

    orders: dict[int, Row] = field(default_factory=dict)
    payments: dict[int, Row] = field(default_factory=dict)
    refunds: dict[int, Row] = field(default_factory=dict)
    campaigns: dict[tuple[int, str], int] = field(default_factory=dict)

    def daily(self) -> list[tuple[Any, ...]]:
        """The daily mart, counted independently."""
        days: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for order in self.orders.values():
            day = days[order["day"]]
            day["new_customers"] += order["first"]
            if not order["cancelled"]:
                day["orders"] += 1
                day["units_sold"] += order["units"]
                day["gross"] += order["cents"]
        for payment in self.payments.values():
            days[payment["day"]]["payments"] += payment["cents"]
        for refund in self.refunds.values():
            days[refund["day"]]["refunds"] += refund["cents"]
            days[refund["day"]]["cuts"] += refund["cut"]
            days[refund["day"]]["refund_count"] += 1
        return [
            (
                *(at(day), of["orders"], of["units_sold"], of["new_customers"], money(of["gross"])),
                *(money(of["refunds"]), money(of["cuts"]), of["refund_count"]),
                *(money(of["payments"]), money(of["gross"] - of["cuts"])),
            )
            for day, of in days.items()
        ]

    def write(self, connection: duckdb.DuckDBPyConnection, schema: str) -> None:
        connection.execute(f"create schema {schema}")
        rows: dict[str, list[tuple[Any, ...]]] = {
            "fct_orders": [
                (
                    *(key, at(o["day"]), o["cancelled"], bool(o["first"]), o["units"]),
                    *(money(0 if o["cancelled"] else o["cents"]), loaded(o["loaded"])),
                )
                for key, o in self.orders.items()
            ],
            "fct_payments": [
                (key, at(p["day"]), money(p["cents"]), loaded(p["loaded"]))
                for key, p in self.payments.items()
            ],
            "fct_marketing_performance": [
                (f"{day} {name}", at(day), money(cents))
                for (day, name), cents in self.campaigns.items()
            ],
            "fct_daily_revenue": self.daily(),
        }
        for mart, columns in MARTS.items():
            connection.execute(f"create table {schema}.{mart} ({columns})")
            for row in rows[mart]:
                connection.execute(
                    f"insert into {schema}.{mart} values ({', '.join('?' * len(row))})", row
                )


def at(day: int) -> date:
    return FIRST + timedelta(days=day)


def loaded(time: int) -> datetime:
    return datetime(2026, 11, 24, 6) + timedelta(minutes=time)


def money(cents: int) -> Decimal:
    return Decimal(cents).scaleb(-2)


def publication(name: str, day: date) -> Publication:
    moment = datetime.combine(day, datetime.min.time())
    models, loads = dict.fromkeys(MARTS, 1), {"orders": "load-1", "charges": "load-2"}
    return Publication(name, day, day, moment, moment, 1, 0, models, loads, {})


class Ledger:
    """Publications of one warehouse, one after the other."""

    def __init__(self) -> None:
        self.connection, self.last = duckdb.connect(), ""

    def publish(self, marts: Marts, day: date = SETTLED) -> str:
        schema = f"p{int(self.last[1:] or 0) + 1}"
        before = publication(self.last, day) if self.last else None
        marts.write(self.connection, schema)
        write(
            DuckDBSession(self.connection),
            schema,
            self.last or None,
            before,
            publication(schema, day),
        )
        self.last = schema
        return schema

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self.connection.execute(sql.replace("published.", f"{self.last}.")).fetchall()

    def changes(self) -> set[tuple[date, str, str, Decimal, int]]:
        return {
            (one.day, one.measure, one.cause, one.change, one.rows)
            for one in of_publication(self.query, self.last)
        }


def a_shop() -> Marts:
    """Two orders of 100.00 and their payments on each of five days, a refund and two campaigns."""
    marts = Marts()
    for key in range(10):
        day = key // 2
        marts.orders[key] = {
            "day": day,
            "cancelled": False,
            "first": key % 2,
            "units": 3,
            "cents": 100_00,
            "loaded": 0,
        }
        marts.payments[key] = {"day": day, "cents": 100_00, "loaded": 0}
    marts.refunds[0] = {"day": 1, "cents": 10_00, "cut": 10_00}
    marts.campaigns = {(day, name): 5_00 for day in range(5) for name in ("brand", "search")}
    return marts


def change(marts: Marts, what: str) -> None:
    """One thing that happens to the first day."""
    order, payment = marts.orders[0], marts.payments[0]
    match what:
        case "late order":
            marts.orders[99] = {**order, "cents": 31_20, "loaded": 5}
        case "deletion":
            del marts.orders[0]
        case "cancellation":
            order |= {"cancelled": True, "loaded": 5}
        case "correction":
            order |= {"cents": 90_00, "loaded": 5}
        case "changed rule":
            order |= {"cents": 90_00}
        case "moved to another day":
            order |= {"day": 1, "loaded": 5}
        case "late payment":
            marts.payments[99] = {**payment, "loaded": 5}
        case "refund":
            marts.refunds[1] = {"day": 0, "cents": 14_88, "cut": 14_88}
        case "marketing files":
            marts.campaigns[0, "brand"] = 7_00


EXPECTED = {
    "late order": {
        *(("orders", 1), ("units_sold", 3), ("gross_revenue", 31.20), ("net_revenue", 31.20)),
    },
    "deletion": {
        *(("orders", -1), ("units_sold", -3), ("gross_revenue", -100), ("net_revenue", -100)),
    },
    "cancellation": {
        *(("orders", -1), ("units_sold", -3), ("gross_revenue", -100), ("net_revenue", -100)),
    },
    "correction": {("gross_revenue", -10), ("net_revenue", -10)},
    "changed rule": {("gross_revenue", -10), ("net_revenue", -10)},
    "moved to another day": {
        *(("orders", -1), ("units_sold", -3), ("gross_revenue", -100), ("net_revenue", -100)),
    },
    "late payment": {("payments", 100)},
    "refund": {("refunds", 14.88), ("net_revenue", -14.88)},
    "marketing files": {("spend", 2)},
}


@pytest.mark.parametrize("what", EXPECTED)
def test_what_happened_is_the_cause_that_is_named(what: str) -> None:
    ledger, marts = Ledger(), a_shop()
    ledger.publish(marts)
    change(marts, what)
    ledger.publish(marts)
    found = {
        (measure, cause, change, rows)
        for day, measure, cause, change, rows in ledger.changes()
        if day == FIRST
    }
    assert found == {(measure, what, Decimal(str(amount)), 1) for measure, amount in EXPECTED[what]}


def test_nothing_changed_is_no_row_and_the_first_publication_neither() -> None:
    ledger = Ledger()
    ledger.publish(a_shop())
    assert ledger.changes() == set()
    ledger.publish(a_shop())
    assert ledger.changes() == set()


def test_a_day_that_is_not_settled_yet_is_no_restatement() -> None:
    ledger, marts = Ledger(), a_shop()
    ledger.publish(marts)
    marts.orders[99] = {**marts.orders[9], "loaded": 5}  # of the last day, which goes on
    ledger.publish(marts)
    assert ledger.changes() == set()


def test_a_day_is_told_in_sentences_and_known_as_it_was() -> None:
    ledger, marts = Ledger(), a_shop()
    first = ledger.publish(marts)
    change(marts, "late order")
    second = ledger.publish(marts)
    change(marts, "refund")
    ledger.publish(marts)
    told = of_day(ledger.query, FIRST)
    assert (
        "gross_revenue of 2026-11-20: 231.20, was 200.00: late order +31.20 (1 row)"
        in sentences(told)
    )
    assert "net_revenue of 2026-11-20: 216.32, was 231.20: refund -14.88 (1 row)" in sentences(told)
    assert as_of(ledger.query, FIRST, first)["net_revenue"] == Decimal("200.00")
    assert as_of(ledger.query, FIRST, second)["net_revenue"] == Decimal("231.20")
    assert as_of(ledger.query, FIRST, ledger.last)["net_revenue"] == Decimal("216.32")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["order", "payment", "refund", "campaign"]),
        st.sampled_from(["add", "remove", "change", "move", "cancel", "recompute"]),
        st.integers(0, 9),
        st.integers(0, 4),
        st.integers(0, 20_000),
    ),
    max_size=12,
)


def take(marts: Marts, step: tuple[str, str, int, int, int]) -> None:
    of, what, key, day, cents = step
    if of == "campaign":
        if what == "remove":
            marts.campaigns.pop((day, "brand"), None)
        else:
            marts.campaigns[day, ("brand", "search", "new")[key % 3]] = cents
        return
    rows = {"order": marts.orders, "payment": marts.payments, "refund": marts.refunds}[of]
    if what == "add":
        new = {"day": day, "cents": cents, "cut": cents // 2, "units": key, "first": key % 2}
        rows[100 + key] = {**new, "cancelled": False, "loaded": 7}
    elif key in rows:
        row = rows[key]
        match what:
            case "remove":
                del rows[key]
            case "change":
                row |= {"cents": cents, "loaded": 7}
            case "move":
                row |= {"day": day, "loaded": 7}
            case "cancel":
                row |= {"cancelled": True, "loaded": 7}
            case "recompute":
                row |= {"cents": cents}


@settings(max_examples=examples(25, 1_000), deadline=None)
@given(publications=st.lists(STEPS, min_size=1, max_size=3))
def test_the_causes_of_a_day_add_up_to_its_difference(
    publications: list[list[tuple[str, str, int, int, int]]],
) -> None:
    ledger, marts = Ledger(), a_shop()
    ledger.publish(marts)
    for steps in publications:
        before = deepcopy(marts)
        for step in steps:
            take(marts, step)
        ledger.publish(marts)
        told: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
        for one in of_publication(ledger.query, ledger.last):
            assert one.cause != "unexplained"
            told[one.day, one.measure] += one.change
        assert told == differences(before, marts)


def differences(before: Marts, after: Marts) -> dict[tuple[date, str], Decimal]:
    """Measure by measure, of the days that were settled."""
    names = ("orders", "units_sold", "new_customers", "gross_revenue", "refunds", "_", "_")
    names = (*names, "payments", "net_revenue")
    found: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for marts, sign in ((before, -1), (after, 1)):
        for day, *values in marts.daily():
            for name, value in zip(names, values, strict=True):
                found[day, name] += sign * Decimal(value)
        for (day, _), cents in marts.campaigns.items():
            found[at(day), "spend"] += sign * money(cents)
    return {
        (day, name): value
        for (day, name), value in found.items()
        if value and name != "_" and day < SETTLED
    }
