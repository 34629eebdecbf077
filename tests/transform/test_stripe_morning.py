"""Mornings of real shops: what Stripe sends on two ordinary days, up to the published marts.

The first has what is there at once, the second what comes later to charges of the day before.
"""

from __future__ import annotations

import uuid
from calendar import timegm
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from ingestion.postgres.settings import PostgresSettings
from sandbox.shop import SCHEMA
from sandbox.stripe_emulator import StripeEmulator
from tests.builders.morning import Morning
from tests.builders.source_database import SourceDatabase
from tests.builders.stripe_state import become, forget
from warehouse.duckdb.warehouse import DuckDBWarehouse
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from sandbox.postgres import EmbeddedPostgres
    from transform.results import TestResult

pytestmark = pytest.mark.slow

DAY = date(2026, 3, 10)
NEXT_DAY = DAY + timedelta(days=1)
SIX = timegm(DAY.timetuple()) + 6 * 3600
HOUR, A_DAY = 3_600, 86_400
ORDINARY = 40
TOTALS = dict.fromkeys([*range(1, ORDINARY + 1), *range(101, 128)], "100.00")
TOTALS[110] = "113.00"


def charge(order: int, name: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "object": "charge",
        "id": f"ch_{order}{name}",
        "created": SIX - 5 * HOUR,
        "amount": 10_000,
        "currency": "usd",
        "metadata": {"order_id": str(order)},
        **fields,
    }


def refund(order: int, amount: int, name: str = "", **fields: Any) -> dict[str, Any]:
    of = {"object": "refund", "charge": f"ch_{order}", "amount": amount}
    return {**of, "id": f"re_{order}{name}", "created": SIX - 2 * HOUR, **fields}


def dispute(order: int, name: str = "", **fields: Any) -> dict[str, Any]:
    of = {"object": "dispute", "charge": f"ch_{order}", "id": f"dp_{order}{name}"}
    return {**of, "created": SIX - 2 * HOUR, **fields}


def first_day() -> Iterator[dict[str, Any]]:
    for order in range(1, ORDINARY + 1):
        yield charge(order)
    # a refund is money that moved
    yield charge(101, "v", captured=False)
    yield refund(101, 10_000, charge="ch_101v", reason="expired_uncaptured_charge")
    yield charge(101)
    yield charge(102, amount=15_000, captured=False)
    yield charge(103, amount=15_000, captured=False)
    yield charge(104, "x", captured=False, created=SIX - 8 * A_DAY)  # expires by itself
    yield charge(104)
    yield charge(105, amount=15_000, captured=False)
    for order in (102, 103, 105):
        yield {"object": "charge", "id": f"ch_{order}", "captured": True, "amount_captured": 10_000}
    yield refund(103, 3_000)
    # no more lost than taken
    for order in range(106, 110):
        yield charge(order)
    yield dispute(106, "a", status="lost")
    yield dispute(106, "b", status="lost")
    yield dispute(107, currency="eur", amount=5_000, status="lost")
    yield dispute(108, status="won")
    yield dispute(109, status="lost", amount=4_000)
    yield dispute(109, "b", status="under_review", amount=6_000)
    # currencies
    yield charge(110, currency="chf")
    yield charge(111, currency="jpy", amount=15_000)
    yield charge(112, currency="kwd", amount=31_000)
    yield charge(113, currency="jpy", amount=15_152)
    yield refund(113, 15_152)
    # refunds that came to nothing
    yield charge(114)
    yield refund(114, 10_000, status="failed")
    yield charge(115)
    yield refund(115, 10_000, status="canceled")
    yield {**refund(0, 500, "loose"), "charge": None, "currency": "usd"}
    # how shops write an order's number
    spellings = ({"orderId": "116"}, {"order_id": "#117"}, {"order_id": "118.0"})
    more = ({"order_id": " 119 "}, {"order_id": "ORDER-120"}, {"Order Number": "No. 121"})
    for order, metadata in enumerate((*spellings, *more), start=116):
        yield charge(order, metadata=metadata)
    yield charge(127, amount=15_000, amount_captured=10_000)  # told without how it came about
    yield refund(127, 5_000, "rest")
    yield charge(122, description="\ud83d cut")
    yield charge(123, currency="jpy", amount=1, metadata={"order_id": "123"})
    yield charge(124)
    yield charge(125, captured=False)
    yield charge(126)


@dataclass
class Published:
    morning: Morning
    tested: list[TestResult]
    emulator: StripeEmulator

    def payment(self, charge_id: str, columns: str) -> tuple[Any, ...]:
        [found] = self.morning.published(
            f"select {columns} from published.fct_payments where charge_id = '{charge_id}'"
        )
        return found

    def order(self, order_id: int, columns: str) -> tuple[Any, ...]:
        [found] = self.morning.published(
            f"select {columns} from published.fct_orders where order_id = {order_id}"
        )
        return found

    def warned(self, day: int) -> set[str]:
        return {test.name for test in self.tested[day].tests if test.status == "warn"}


@pytest.fixture(scope="module")
def shop(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("morning")
    name = f"morning_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    source = SourceDatabase(
        PostgresSettings(_env_file=None, **postgres.settings(name)), postgres.dsn(name)
    )
    source.execute(SCHEMA)
    now = [SIX + HOUR]
    with StripeEmulator(now=lambda: now[0]) as emulator:
        warehouse = DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=folder / "duckdb"))
        morning = Morning(source, emulator.url, warehouse, folder / "inbox", folder / "target")
        morning.sell(TOTALS, DAY)
        emulator.import_objects(list(first_day()))
        bad = emulator.account.get("charge", "ch_126")
        become(emulator, bad | {"amount": "ten"})
        morning.load(DAY)
        tested = [morning.publish(DAY)]
        now[0] += A_DAY
        at = SIX + 2 * HOUR
        emulator.import_objects(
            [
                refund(102, 2_500, "late", created=at),
                refund(105, 10_000, "late", created=at),
                {"object": "refund", "id": "re_103", "status": "failed", "_at": at},
                dispute(124, status="lost", created=at),
                {"object": "dispute", "id": "dp_109b", "status": "lost", "_at": at},
                refund(125, 10_000, "void", created=at),
                charge(1, "gone", created=at - 3 * A_DAY),
                refund(1, 100, "gone", charge="ch_1gone", created=at),
            ]
        )
        forget(emulator, "charge", "ch_1gone")
        become(emulator, bad)
        morning.load(NEXT_DAY)
        tested.append(morning.publish(NEXT_DAY))
        yield Published(morning, tested, emulator)
    postgres.drop_database(name)


MONEY = "captured_amount, refunded_amount, lost_amount, kept_amount, match_status"
OF_ORDER = "captured_amount, refunded_amount, net_revenue, payment_status, refund_count"


def money(*amounts: Any) -> tuple[Any, ...]:
    return tuple(Decimal(one) if isinstance(one, int) else one for one in amounts)


def test_ordinary_orders_are_paid_in_full(shop: Published) -> None:
    assert shop.morning.published(
        f"select count(*), sum(captured_amount), sum(kept_amount) from published.fct_payments "
        f"where order_id <= {ORDINARY} and match_status = 'matched'"
    ) == [(ORDINARY, 4_000, 4_000)]


@pytest.mark.parametrize(
    ("order", "captured", "refunded", "net", "refunds"),
    [
        (101, 100, 0, 100, 0),  # one authorisation voided, one charge captured
        (102, 100, 25, 75, 1),  # captured in part, and refunded in part a day later
        (103, 100, 0, 100, 1),  # captured in part, and its refund failed a day later
        (104, 100, 0, 100, 0),  # one authorisation expired
        (105, 100, 100, 0, 1),  # captured in part, and refunded whole a day later
        (114, 100, 0, 100, 1),  # the refund failed
        (127, 100, 0, 100, 0),  # captured in part, long ago
        (115, 100, 0, 100, 1),  # the refund was canceled
    ],
)
def test_a_refund_is_money_that_moved(
    shop: Published, order: int, captured: int, refunded: int, net: int, refunds: int
) -> None:
    assert shop.order(order, OF_ORDER) == (*money(captured, refunded, net), "matched", refunds)


def test_a_voided_authorisation_collects_and_gives_back_nothing(shop: Published) -> None:
    assert shop.payment("ch_101v", MONEY) == (*money(0, 0, 0, 0), "not_collected")
    assert shop.payment("ch_104x", MONEY) == (*money(0, 0, 0, 0), "not_collected")
    assert shop.payment("ch_125", MONEY) == (*money(0, 0, 0, 0), "not_collected")
    assert shop.order(125, "payment_status, net_revenue") == ("unpaid", 100)


def test_a_day_counts_refunds_that_moved_money(shop: Published) -> None:
    assert shop.morning.published(
        "select refund_count, refunds from published.fct_daily_revenue "
        f"where order_date between '{DAY}' and '{NEXT_DAY}' order by order_date"
    ) == [(5, Decimal("231.00")), (0, 0)]


@pytest.mark.parametrize(
    ("order", "lost", "kept"),
    [
        (106, "100.00", "0.00"),  # two disputes of the whole
        (107, "58.00", "42.00"),  # 50 euro at 1.16
        (108, "0.00", "100.00"),  # won
        (109, "100.00", "0.00"),  # two parts, the second lost a day later
        (124, "100.00", "0.00"),  # opened and lost a day later
    ],
)
def test_no_more_is_lost_than_was_taken(shop: Published, order: int, lost: str, kept: str) -> None:
    found = shop.payment(f"ch_{order}", "lost_amount, kept_amount")
    assert found == (Decimal(lost), Decimal(kept))


def test_a_currency_without_a_rate_makes_no_order_unpaid(shop: Published) -> None:
    assert shop.order(110, "payment_status, gross_revenue") == ("no_rate", 113)
    assert shop.payment("ch_110", MONEY) == (None, 0, 0, None, "no_rate")
    assert shop.payment("ch_112", "charge_amount, match_status") == (31, "no_rate")
    assert "payments_in_a_currency_without_a_rate" in shop.warned(0)


def test_a_currency_without_decimals_is_whole(shop: Published) -> None:
    assert shop.payment("ch_111", MONEY) == (*money(99, 0, 0, 99), "matched")
    assert shop.order(113, OF_ORDER)[1:4] == (Decimal("100.00"), 0, "matched")
    assert shop.payment("ch_123", "captured_amount, match_status") == (
        Decimal("0.01"),
        "underpaid",
    )


def test_a_refund_without_a_charge_is_an_orphan(shop: Published) -> None:
    assert "refunds_without_a_charge" in shop.warned(0)
    assert "refunds_without_a_charge" in shop.warned(1)


@pytest.mark.parametrize("order", range(116, 122))
def test_the_usual_spellings_of_an_order_match(shop: Published, order: int) -> None:
    assert shop.order(order, OF_ORDER) == (*money(100, 0, 100), "matched", 0)


def test_text_that_is_no_text_loads(shop: Published) -> None:
    assert shop.order(122, OF_ORDER) == (*money(100, 0, 100), "matched", 0)


def test_an_object_that_is_gone_leaves_the_others_be(shop: Published) -> None:
    assert shop.morning.published(
        "select count(*) from published.fct_payments where charge_id = 'ch_1gone'"
    ) == [(0,)]


def test_a_bad_object_was_set_aside_and_came_the_next_day(shop: Published) -> None:
    kept = shop.morning.warehouse.query(
        "select key, column_name, day, healed_at is not null from loads.rejected_rows"
    )
    assert kept == [("ch_126", "amount_minor", DAY, True)]
    assert shop.order(126, OF_ORDER) == (*money(100, 0, 100), "matched", 0)


def test_nothing_stops_the_day(shop: Published) -> None:
    for tested in shop.tested:
        assert {test.status for test in tested.tests} == {"pass", "warn"}


def test_what_was_warned_of_is_not_new_again(shop: Published) -> None:
    first, second = (
        {test.name: test.new_rows for test in tested.tests if test.status == "warn"}
        for tested in shop.tested
    )
    assert first["payments_in_a_currency_without_a_rate"] == 2
    assert second["payments_in_a_currency_without_a_rate"] == 0
