"""Loads from the emulator into a real DuckDB: nothing lost or doubled, whatever happens."""

from __future__ import annotations

import json
import logging
import time
from calendar import timegm
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from ingestion.stripe_api.load import StripeConnector, plan
from ingestion.stripe_api.order_number import OrderNumber
from ingestion.stripe_api.settings import StripeSettings
from pipeline.errors import (
    CredentialsError,
    PassingError,
    PermanentError,
    RateLimitedError,
    SourceUnavailableError,
    TooManyRejectsError,
)
from pipeline.records import LoadRecord
from pipeline.sources import source
from sandbox.stripe_emulator import Fault, StripeEmulator
from tests.builders.stripe_state import become, forget
from warehouse.duckdb.warehouse import DuckDBWarehouse

if TYPE_CHECKING:
    from warehouse import Warehouse
    from warehouse.snowflake.warehouse import SnowflakeWarehouse

KEY = "sk_test_very_secret_51Hq9Zx"
DAY = date(2026, 11, 20)  # a Friday
HOUR = 3_600


def at(day: date, hour: float = 6) -> int:
    """Seconds since 1970 of an hour of a day, UTC; 6 is the day's upper bound."""
    return timegm(day.timetuple()) + int(hour * HOUR)


def days(count: int) -> timedelta:
    return timedelta(days=count)


class Account:
    """An emulated account whose clock the test sets, and a connector that loads it."""

    def __init__(self, emulator: StripeEmulator, warehouse: Warehouse) -> None:
        self.emulator = emulator
        self.warehouse = warehouse

    def settings(self, **changed: Any) -> StripeSettings:
        values = {
            "api_key": KEY,
            "api_base": self.emulator.url,
            "max_requests_per_second": 10_000,
            "relist_weekday": "never",
            **changed,
        }
        return StripeSettings(_env_file=None, **values)

    def load(self, day: date = DAY, *, full_refresh: bool = False, **changed: Any) -> LoadRecord:
        return StripeConnector(self.settings(**changed), self.warehouse).load_charges(
            day, full_refresh=full_refresh
        )

    def has(self, *items: dict[str, Any]) -> None:
        self.emulator.import_objects(list(items))

    def rows(self, table: str, columns: str) -> list[tuple[Any, ...]]:
        return self.warehouse.query(
            f"select {columns} from ecommerce_raw.stripe.raw_{table} order by all"
        )

    def everything(self) -> list[Any]:
        """All rows of the three tables, but for when and by which load they came."""
        kept = "* exclude (_fetched_at, _load_id, _loaded_at, _day)"
        return [self.rows(table, kept) for table in ("charges", "refunds", "disputes")]

    def in_stripe(self, kind: str) -> dict[str, Any]:
        items = (json.loads(body) for body in self.emulator.account.store[kind]._bodies.values())
        return {item["id"]: item for item in items}


@pytest.fixture
def account(warehouse: DuckDBWarehouse) -> Iterator[Account]:
    with StripeEmulator(now=lambda: at(DAY, 6 + 48)) as emulator:  # two days after the day
        yield Account(emulator, warehouse)


def charge(number: int, created: int, **fields: Any) -> dict[str, Any]:
    return {
        "object": "charge",
        "id": f"ch_{number:05}",
        "created": created,
        "amount": 1000,
        "currency": "usd",
        **fields,
    }


def counts(record: LoadRecord, table: str) -> tuple[int, int]:
    found = next(found for found in record.tables if found.table == table)
    return found.inserted, found.updated


# What arrives


def test_a_first_load_brings_everything_up_to_the_bound_and_nothing_after_it(
    account: Account,
) -> None:
    account.has(charge(1, at(DAY - days(400))), charge(2, at(DAY)), charge(3, at(DAY) + 1))
    account.has(
        {
            "object": "refund",
            "id": "re_1",
            "charge": "ch_00002",
            "created": at(DAY) - 5,
            "amount": 100,
        }
    )

    record = account.load()

    assert account.rows("charges", "charge_id, amount_refunded") == [
        ("ch_00001", Decimal("0.000")),
        ("ch_00002", Decimal("1.000")),
    ]
    assert account.rows("refunds", "refund_id, charge_id, amount") == [
        ("re_1", "ch_00002", Decimal("1.000"))
    ]
    assert record.window.start is None
    assert record.watermark == datetime(2026, 11, 20, 6)
    assert account.warehouse.watermark(source("charges")) == record.watermark


def test_a_row_holds_the_declared_columns_and_the_whole_object(account: Account) -> None:
    given = charge(
        1, at(DAY, 5), amount=1999, customer="cus_7", payment_intent="pi_7",
        metadata={"order_id": "31"}, status="failed",
        captured=False, failure_code="card_declined",
    )  # fmt: skip
    account.has(given)

    account.load()

    columns = (
        "charge_id, order_id, customer_id, payment_intent_id, status, currency, amount_minor, "
        "amount, amount_captured, "
        "is_paid, is_captured, is_refunded, is_disputed, failure_code, created_at, _day"
    )
    assert account.rows("charges", columns) == [
        ("ch_00001", "31", "cus_7", "pi_7", "failed", "usd", 1999, Decimal("19.990"),
         Decimal("0.000"),
         False, False, False, False, "card_declined", datetime(2026, 11, 20, 5), DAY),
    ]  # fmt: skip
    [(payload,)] = account.rows("charges", "payload")
    assert json.loads(payload) == account.in_stripe("charge")["ch_00001"]


def test_a_refund_and_a_dispute_of_a_charge_from_three_months_ago_arrive(account: Account) -> None:
    old = at(DAY - days(92))
    account.has(charge(1, old), charge(2, old), charge(3, old))
    account.load(DAY - days(1))

    account.has(
        {
            "object": "refund",
            "id": "re_1",
            "charge": "ch_00001",
            "created": at(DAY, 3),
            "amount": 250,
        },
        {
            "object": "dispute",
            "id": "du_1",
            "charge": "ch_00002",
            "created": at(DAY, 4),
            "reason": "fraudulent",
        },
    )
    record = account.load()

    assert account.rows("charges", "charge_id, amount_refunded, is_disputed") == [
        ("ch_00001", Decimal("2.500"), False),
        ("ch_00002", Decimal("0.000"), True),
        ("ch_00003", Decimal("0.000"), False),
    ]
    assert account.rows("refunds", "refund_id, amount") == [("re_1", Decimal("2.500"))]
    assert account.rows("disputes", "dispute_id, charge_id, status, reason, amount") == [
        ("du_1", "ch_00002", "needs_response", "fraudulent", Decimal("10.000"))
    ]
    assert [counts(record, table) for table in ("charges", "refunds", "disputes")] == [
        (0, 2),
        (1, 0),
        (1, 0),
    ]


def test_a_late_capture_arrives(account: Account) -> None:
    account.has(charge(1, at(DAY - days(3)), captured=False))
    account.load(DAY - days(1))
    assert account.rows("charges", "is_captured, amount_captured") == [(False, Decimal("0.000"))]

    account.has(
        {
            "object": "charge",
            "id": "ch_00001",
            "captured": True,
            "amount_captured": 800,
            "_at": at(DAY, 2),
        }
    )
    account.load()

    assert account.rows("charges", "is_captured, amount_captured") == [(True, Decimal("8.000"))]


def test_an_old_refund_that_fails_and_an_old_dispute_that_is_won_arrive(account: Account) -> None:
    account.has(charge(1, at(DAY - days(60))), charge(2, at(DAY - days(60))))
    account.has(
        {"object": "refund", "id": "re_1", "charge": "ch_00001", "created": at(DAY - days(20))}
    )
    account.has(
        {"object": "dispute", "id": "du_1", "charge": "ch_00002", "created": at(DAY - days(20))}
    )
    account.load(DAY - days(1))

    account.has({"object": "refund", "id": "re_1", "status": "failed", "_at": at(DAY, 1)})
    account.has({"object": "dispute", "id": "du_1", "status": "won", "_at": at(DAY, 2)})
    account.load()

    assert account.rows("refunds", "refund_id, status") == [("re_1", "failed")]
    assert account.rows("disputes", "dispute_id, status") == [("du_1", "won")]
    assert account.rows("charges", "charge_id, amount_refunded")[0] == (
        "ch_00001",
        Decimal("0.000"),
    )


def test_a_cursor_older_than_the_events_lists_again_what_may_have_changed(account: Account) -> None:
    account.has(charge(1, at(DAY - days(150))), charge(2, at(DAY - days(45))))
    account.load(DAY - days(50))
    account.has(
        {"object": "refund", "id": "re_1", "charge": "ch_00001", "created": at(DAY - days(40))}
    )  # its event is gone

    account.load()

    assert account.rows("charges", "charge_id, is_refunded") == [
        ("ch_00001", True),
        ("ch_00002", False),
    ]
    assert account.rows("refunds", "refund_id") == [("re_1",)]


def test_the_weekly_relist_finds_what_no_event_told(account: Account) -> None:
    account.has(charge(1, at(DAY - days(100))))
    account.load(DAY - days(1))
    silently = account.emulator.account.get("charge", "ch_00001") | {
        "description": "changed without an event"
    }
    account.emulator.account.store.put(silently)

    account.load(relist_weekday="thursday")
    assert "changed without" not in account.rows("charges", "payload")[0][0]
    account.load(relist_weekday="friday")
    assert "changed without" in account.rows("charges", "payload")[0][0]


@pytest.mark.parametrize(
    ("currency", "minor", "amount"),
    [
        ("usd", 1999, "19.990"),
        ("jpy", 1999, "1999.000"),
        ("krw", 7, "7.000"),
        ("kwd", 1990, "1.990"),
        ("tnd", 12345670, "12345.670"),
        ("isk", 500, "5.000"),  # no decimals any more, but Stripe goes on counting hundredths
        ("ugx", 500, "5.000"),
        ("huf", 1045, "10.450"),  # zero-decimal for payouts only
        ("usd", 99_999_999, "999999.990"),
    ],
)
def test_money_is_exact_in_every_currency(
    account: Account, currency: str, minor: int, amount: str
) -> None:
    account.has(charge(1, at(DAY, 1), currency=currency, amount=minor))
    account.has({"object": "refund", "charge": "ch_00001", "created": at(DAY, 2)})

    account.load()

    assert account.rows("charges", "amount_minor, amount, amount_captured, amount_refunded") == [
        (minor, Decimal(amount), Decimal(amount), Decimal(amount))
    ]
    assert account.rows("refunds", "amount") == [(Decimal(amount),)]


# The same again, in any order


def test_the_same_day_five_times_gives_the_same_table_and_changes_no_row(account: Account) -> None:
    account.has(*(charge(n, at(DAY, 6) - n * HOUR) for n in range(60)))
    account.has({"object": "refund", "charge": "ch_00030", "created": at(DAY, 1)})
    account.load(DAY - days(1))
    account.load()

    def rows() -> list[Any]:
        return [
            account.rows(table, "* exclude (_fetched_at)")
            for table in ("charges", "refunds", "disputes")
        ]

    first = rows()
    records = [account.load() for _ in range(4)]

    assert rows() == first  # by which load and when a row came, included
    assert {
        counts(record, table) for record in records for table in ("charges", "refunds", "disputes")
    } == {(0, 0)}
    assert all(record.rows_extracted for record in records)


def test_days_in_reverse_give_what_days_in_order_give(account: Account, tmp_path: Any) -> None:
    for back in range(6):
        day = DAY - days(back)
        account.has(*(charge(back * 10 + n, at(day, n)) for n in range(6)))
    for back in range(1, 6):
        account.has(
            {
                "object": "refund",
                "id": f"re_{back}",
                "charge": f"ch_{back * 10:05}",
                "created": at(DAY - days(back), 9),
            }
        )
    span = [DAY - days(back) for back in range(6)]
    for day in reversed(span):
        account.load(day)
    in_order = account.everything()

    other = Account(
        account.emulator,
        DuckDBWarehouse(
            account.warehouse.settings.model_copy(update={"duckdb_dir": tmp_path / "b"})
        ),
    )
    for day in span:
        other.load(day)

    assert other.everything() == in_order
    assert len(in_order[0]) == 36
    assert other.warehouse.watermark(source("charges")) == account.warehouse.watermark(
        source("charges")
    )


def test_an_old_day_is_read_again_and_moves_no_cursor_back(account: Account) -> None:
    account.has(charge(1, at(DAY - days(3), 1)))
    for back in (3, 2, 1, 0):
        account.load(DAY - days(back))
    account.has(charge(2, at(DAY - days(3), 2)))  # turns up late, behind the cursor

    record = account.load(DAY - days(3))

    assert account.rows("charges", "charge_id") == [("ch_00001",), ("ch_00002",)]
    assert record.watermark == datetime(2026, 11, 20, 6)
    assert account.warehouse.watermark(source("charges")) == datetime(2026, 11, 20, 6)


def test_a_full_refresh_swaps_in_the_account_and_loses_no_later_day(account: Account) -> None:
    account.has(charge(1, at(DAY - days(3), 1)), charge(2, at(DAY, 1)))
    account.load()
    account.emulator.account.store.put(
        account.emulator.account.get("charge", "ch_00001") | {"amount": 77}
    )

    account.load(DAY - days(2), full_refresh=True)

    assert account.rows("charges", "charge_id, amount") == [
        ("ch_00001", Decimal("0.770")),
        ("ch_00002", Decimal("10.000")),
    ]


def test_objects_created_while_listing_are_not_lost(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day is loaded at its very bound: charges and a refund appear between two pages."""
    monkeypatch.setattr(account.emulator.account, "now", lambda: at(DAY, 6))
    account.has(*(charge(n, at(DAY, 5) - 10 * n) for n in range(500)))
    appeared = 0
    answer = account.emulator.api.answer

    def answer_and_go_on(*arguments: Any) -> bytes:
        nonlocal appeared
        body = answer(*arguments)
        if arguments[1] == "/v1/charges" and appeared < 20:
            appeared += 1
            account.has(charge(1000 + appeared, at(DAY, 6) - 5))
            account.has(
                {
                    "object": "refund",
                    "id": f"re_{appeared}",
                    "charge": f"ch_{appeared:05}",
                    "created": at(DAY, 6) - 4,
                }
            )
        return body

    monkeypatch.setattr(account.emulator.api, "answer", answer_and_go_on)
    record = account.load()
    assert appeared >= 5
    assert record.watermark == datetime(2026, 11, 20, 6)

    monkeypatch.setattr(account.emulator.account, "now", lambda: at(DAY, 30))
    monkeypatch.setattr(account.emulator.api, "answer", answer)
    account.load(DAY + days(1))

    assert {row[0] for row in account.rows("charges", "charge_id")} == set(
        account.in_stripe("charge")
    )
    assert {row[0] for row in account.rows("refunds", "refund_id")} == set(
        account.in_stripe("refund")
    )
    assert len(account.rows("charges", "charge_id")) == 500 + appeared
    refunded = {row[0] for row in account.rows("charges", "charge_id, is_refunded") if row[1]}
    assert refunded == {item["charge"] for item in account.in_stripe("refund").values()}


@pytest.mark.slow
def test_more_than_the_warehouse_may_hold_in_memory_loads_and_loads_again(account: Account) -> None:
    """40,000 charges of 3.5 KB exceed DuckDB's memory; a refund brings one twice in a load."""
    for start in range(0, 40_000, 2_000):
        account.has(
            *(
                charge(n, at(DAY) - n * 360, description="x" * 1_300)
                for n in range(start, start + 2_000)
            )
        )
    account.load(DAY - days(1))
    account.has({"object": "refund", "charge": "ch_25000", "created": at(DAY, 1)})

    record = account.load(relist_weekday="friday")

    assert counts(record, "charges") == (240, 1)
    assert record.tables[0].extracted == 40_001
    assert account.rows(
        "charges", "count(*), count(distinct charge_id), count(*) filter (is_refunded)"
    ) == [(40_000, 40_000, 1)]


# When Stripe is not well


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without a Retry-After wait a hundredth of what they would."""
    from urllib3.util import Retry

    real = Retry.get_backoff_time
    monkeypatch.setattr(Retry, "get_backoff_time", lambda self: real(self) / 100)


def test_ten_thousand_charges_with_faults_every_few_pages_load_exactly_once(
    account: Account, quick: None
) -> None:
    account.has(
        *(charge(n, at(DAY) - n * 97, metadata={"order_id": str(n)}) for n in range(10_000))
    )
    account.emulator.add_fault(Fault("429", every=7, times=0, retry_after=0))
    account.emulator.add_fault(Fault("500", every=5, times=0))
    account.emulator.add_fault(Fault("cut", every=6, times=0))
    account.emulator.add_fault(Fault("timeout", every=45, times=0, seconds=0.05))

    record = account.load(max_retries=20)

    assert account.rows("charges", "count(*), count(distinct charge_id), sum(amount_minor)") == [
        (10_000, 10_000, 10_000_000)
    ]
    assert (record.tables[0].extracted, record.tables[0].inserted) == (10_000, 10_000)
    faults = [request["fault"] for request in account.emulator.requests]
    assert {
        kind: faults.count(kind) > 1 for kind in ("429", "500", "cut", "timeout")
    } == dict.fromkeys(("429", "500", "cut", "timeout"), True)


def test_a_429_waits_as_long_as_stripe_says_and_holds_back_every_thread(account: Account) -> None:
    account.has(*(charge(n, at(DAY) - n * 1000) for n in range(1000)))
    account.emulator.add_fault(Fault("429", retry_after=1, path="starting_after"))

    started = time.perf_counter()
    account.load()

    assert time.perf_counter() - started >= 1
    assert len(account.rows("charges", "charge_id")) == 1000
    requests = list(account.emulator.requests)
    limited = next(request for request in requests if request["status"] == 429)
    after = sorted(
        request["at"] - limited["at"] for request in requests if request["at"] > limited["at"] + 0.2
    )
    assert after[0] >= 0.9


def test_a_429_that_asks_for_too_long_says_when_to_come_back(account: Account) -> None:
    account.emulator.add_fault(Fault("429", retry_after=1800, times=100))

    started = time.perf_counter()
    with pytest.raises(RateLimitedError) as limited:
        account.load()

    assert time.perf_counter() - started < 5
    assert limited.value.retry_after == 1800
    assert isinstance(limited.value, PassingError)
    assert "STRIPE_MAX_REQUESTS_PER_SECOND" in str(limited.value)


def test_a_429_for_ever_ends_as_rate_limited(account: Account, quick: None) -> None:
    account.emulator.add_fault(Fault("429", times=100))
    with pytest.raises(RateLimitedError):
        account.load(max_retries=2, parallel_windows=1)
    assert len(account.emulator.requests) == 3


@pytest.mark.parametrize(
    ("key", "status", "says"),
    [("sk_live_" + "x" * 20, 401, "STRIPE_API_KEY"), ("rk_test_" + "x" * 20, 403, "/v1/charges")],
)
def test_a_refused_key_is_tried_once_and_never_shown(
    account: Account, caplog: pytest.LogCaptureFixture, key: str, status: int, says: str
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="stripe")
    with pytest.raises(CredentialsError, match=says) as refused:
        account.load(api_key=key)

    assert account.emulator.request_counts() == {("/v1/charges", status): 1}
    assert isinstance(refused.value, PermanentError)
    trace = refused.getrepr(style="long", showlocals=False, chain=True)
    shown = f"{trace}{caplog.text}{refused.value!r}"
    assert key not in shown
    assert key[8:] not in shown
    assert account.warehouse.load_records(DAY) == ()


@pytest.mark.parametrize(
    "fault",
    [Fault("500", times=1000), Fault("cut", times=1000), Fault("timeout", times=1000, seconds=0)],
)
def test_an_outage_is_a_passing_error_that_leaves_nothing_behind(
    account: Account, fault: Fault, quick: None
) -> None:
    account.has(charge(1, at(DAY, 1)))
    account.emulator.add_fault(fault)

    with pytest.raises(SourceUnavailableError) as failed:
        account.load(max_retries=2)

    assert KEY not in str(failed.value)
    assert account.warehouse.watermark(source("charges")) is None
    assert account.warehouse.load_records(DAY) == ()
    account.emulator.faults.clear()
    account.load()
    assert len(account.rows("charges", "charge_id")) == 1


def test_a_failure_in_the_middle_moves_no_cursor(account: Account, quick: None) -> None:
    account.has(*(charge(n, at(DAY - days(1)) - n * 60) for n in range(300)))
    account.load(DAY - days(1))
    before = account.everything()
    account.has(
        {"object": "refund", "id": "re_1", "charge": "ch_00299", "created": at(DAY, 1)},
        charge(900, at(DAY, 1)),
    )
    account.emulator.add_fault(Fault("500", times=1000, path="/v1/charges/ch_00299"))

    with pytest.raises(SourceUnavailableError):
        account.load(max_retries=1)

    assert account.everything() == before
    assert account.warehouse.watermark(source("charges")) == datetime(2026, 11, 19, 6)
    account.emulator.faults.clear()
    account.load()
    assert account.rows("refunds", "refund_id") == [("re_1",)]


def test_a_server_that_is_not_there_is_named(account: Account, quick: None) -> None:
    with pytest.raises(SourceUnavailableError, match=r"127\.0\.0\.1:9.*STRIPE_API_BASE"):
        account.load(api_base="http://127.0.0.1:9", max_retries=1)


# What Stripe sends, and should not


def answers(account: Account, monkeypatch: pytest.MonkeyPatch, changed: Any) -> None:
    """``changed(path, query, body)`` has the last word on each answer of the emulator."""
    answer = account.emulator.api.answer

    def changed_answer(method: str, path: str, query: str, *rest: Any) -> bytes:
        return changed(path, query, answer(method, path, query, *rest))  # type: ignore[no-any-return]

    monkeypatch.setattr(account.emulator.api, "answer", changed_answer)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.stripe_api.client.FIRST_WAIT", 0.001)
    monkeypatch.setattr("ingestion.stripe_api.client.LONGEST_WAIT", 0.001)


NOTHING_MORE = b'{"object":"list","data":[],"has_more":true}'
NO_END = b'{"object":"list","data":[{"id":"ch_00350","created":1}]}'


@pytest.mark.parametrize("broken", [NOTHING_MORE, NO_END, b'{"object":"list","has_more":false}'])
def test_a_page_that_promises_more_is_asked_for_again_and_ends_no_list(
    account: Account, monkeypatch: pytest.MonkeyPatch, impatient: None, broken: bytes
) -> None:
    account.has(*(charge(n, at(DAY) - n * 60) for n in range(350)))
    breaks, left = True, 2

    def later_pages(path: str, query: str, body: bytes) -> bytes:
        nonlocal left
        if path != "/v1/charges" or "starting_after" not in query or not (breaks or left):
            return body
        left -= 1
        return broken

    answers(account, monkeypatch, later_pages)
    with pytest.raises(SourceUnavailableError, match="/v1/charges"):
        account.load(max_retries=2, parallel_windows=1)
    assert account.warehouse.watermark(source("charges")) is None
    assert account.emulator.request_counts()["/v1/charges", 200] == 1 + 1 + 3  # the clock's first

    breaks, left = False, 2
    account.load(max_retries=2, parallel_windows=1)
    assert account.rows("charges", "count(*)") == [(350,)]


def test_a_list_that_goes_in_circles_ends_as_an_error(
    account: Account, monkeypatch: pytest.MonkeyPatch, impatient: None
) -> None:
    account.has(charge(1, at(DAY, 1)))
    answers(
        account,
        monkeypatch,
        lambda path, _, body: (
            body.replace(b'"has_more":false', b'"has_more":true') if path == "/v1/refunds" else body
        ),
    )
    account.has({"object": "refund", "charge": "ch_00001", "created": at(DAY, 2)})

    with pytest.raises(SourceUnavailableError, match="says that there is more"):
        account.load(max_retries=1)


def test_an_object_that_is_gone_is_left_out_and_counted(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    old = at(DAY - days(60))
    account.has(charge(1, old), charge(2, old), charge(3, at(DAY - days(2))))
    loose = {"object": "refund", "charge": None, "amount": 5, "currency": "usd"}
    account.load(DAY - days(1))
    account.has(
        {"object": "refund", "charge": "ch_00001", "created": at(DAY, 1)},
        {"object": "refund", "charge": "ch_00002", "created": at(DAY, 1)},
        {**loose, "id": "re_gone", "created": at(DAY - days(3))},
        {"object": "refund", "id": "re_gone", "status": "failed", "_at": at(DAY, 2)},
    )
    forget(account.emulator, "charge", "ch_00001")
    forget(account.emulator, "refund", "re_gone")

    account.load()

    assert account.rows("charges", "charge_id, is_refunded")[1] == ("ch_00002", True)
    assert "2 objects that were to be read again are gone from Stripe (404)" in caplog.text
    assert "ch_00001, re_gone" in caplog.text


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (rb'"\ud83d cut"', "\ufffd cut"),
        (rb'"nul \u0000"', "nul \0"),
        (rb'"cut \ud83d"', "cut \ufffd"),
        (rb'"\udc00\ud83d\ude00"', "\ufffd\U0001f600"),
        (b'"\xff raw"', "\ufffd raw"),
    ],
)
def test_text_that_is_no_text_loads_with_a_replacement(
    account: Account, monkeypatch: pytest.MonkeyPatch, sent: bytes, kept: str
) -> None:
    account.has(charge(1, at(DAY, 1), description="HERE", metadata={"order_id": "7"}))
    answers(account, monkeypatch, lambda _, __, body: body.replace(b'"HERE"', sent))

    account.load()

    [(payload, order_id)] = account.rows("charges", "payload, order_id")
    assert (json.loads(payload)["description"], order_id) == (kept, "7")


def test_a_body_that_is_no_json_is_still_refused(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for body in (b"<html>", b'{"data": [', b"[]", b"null"):
        answers(account, monkeypatch, lambda *_, body=body: body)
        with pytest.raises(SourceUnavailableError, match="does not speak Stripe's API"):
            account.load(max_retries=0)


# One bad object


BAD: dict[str, tuple[str, Any, str]] = {
    "ch_00001": ("currency", None, "currency"),
    "ch_00002": ("amount", "ten", "amount_minor"),
    "ch_00003": ("amount", 10**30, "amount_minor"),
    "ch_00004": ("created", None, "created_at"),
    "ch_00005": ("created", 1_790_000_000_000, "created_at"),  # milliseconds
    "ch_00006": ("status", None, "status"),
    "ch_00007": ("captured", "yes", "is_captured"),
    "ch_00008": ("failure_code", {"code": 1}, "failure_code"),
    "ch_00009": ("currency", "dollars", "currency"),
}


def test_one_bad_object_is_set_aside_and_comes_when_it_is_right(account: Account) -> None:
    account.has(*(charge(n, at(DAY) - n * 60) for n in range(120)))
    account.has({"object": "refund", "id": "re_1", "charge": "ch_00020", "created": at(DAY) - 5})
    store = account.emulator.account.store
    good = {name: account.emulator.account.get("charge", name) for name in BAD}
    refund = account.emulator.account.get("refund", "re_1")
    for name, (field, value, _) in BAD.items():
        become(account.emulator, good[name] | {field: value})
    become(account.emulator, refund | {"currency": 7})

    record = account.load()

    aside = account.rows("charges", "count(*)"), account.rows("refunds", "count(*)")
    assert aside == ([(120 - len(BAD),)], [(0,)])
    assert (record.rows_rejected, record.rows_newly_rejected) == (len(BAD) + 1,) * 2
    rejected = account.warehouse.query(
        "select table_name, key, column_name from loads.rejected_rows order by table_name, key"
    )
    assert rejected == [
        *(("raw_charges", name, column) for name, (*_, column) in BAD.items()),
        ("raw_refunds", "re_1", "currency"),
    ]

    again = account.load()
    assert (again.rows_rejected, again.rows_newly_rejected) == (len(BAD) + 1, 0)

    for item in (*good.values(), refund):
        store.put(item)
    account.load()
    assert account.rows("charges", "count(*)") == [(120,)]
    standing = "select count(*) from loads.rejected_rows where healed_at is null"
    assert account.warehouse.query(standing) == [(0,)]


def test_too_many_bad_objects_stop_the_load(account: Account) -> None:
    account.has(*(charge(n, at(DAY) - n * 60) for n in range(20)))
    for n in range(3):
        become(
            account.emulator,
            account.emulator.account.get("charge", f"ch_{n:05}") | {"amount": None},
        )

    with pytest.raises(TooManyRejectsError, match=r"3 of 20 .*STRIPE_MAX_REJECT_RATIO"):
        account.load()

    assert account.warehouse.watermark(source("charges")) is None
    assert account.load(max_reject_ratio=0.15).rows_rejected == 3


def test_what_was_set_aside_is_read_again_until_it_is_right(account: Account) -> None:
    """No event tells that it is right; and old faults do not stop a quiet day."""
    old = at(DAY - days(9))
    account.has(*(charge(n, old) for n in range(40)))
    account.has({"object": "refund", "id": "re_1", "charge": "ch_00020", "created": old + 9})
    account.has({"object": "dispute", "id": "du_1", "charge": "ch_00021", "created": old + 9})
    good = [
        account.emulator.account.get(kind, name)
        for kind, name in (("charge", "ch_00001"), ("refund", "re_1"), ("dispute", "du_1"))
    ]
    for item in good:
        become(account.emulator, item | {"amount": None})
    account.load(DAY - days(1))
    assert account.load().rows_rejected == 3

    for item in good:
        become(account.emulator, item)
    account.load()

    assert account.rows("charges", "count(*)") == [(40,)]
    assert account.rows("refunds", "refund_id") == [("re_1",)]
    assert account.rows("disputes", "dispute_id") == [("du_1",)]
    assert account.warehouse.keys_set_aside(source("charges"))["charges"] == set()


# Whose account, whose clock


def test_another_account_or_mode_is_refused_and_a_full_refresh_starts_afresh(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.has(*(charge(n, at(DAY - days(1), n)) for n in range(5)))
    account.load()
    live_key = "sk_live_" + "x" * 24
    with (
        StripeEmulator(now=lambda: at(DAY, 54)) as other_test,
        StripeEmulator(now=lambda: at(DAY, 54), livemode=True) as live,
    ):
        for emulator in (other_test, live):
            emulator.import_objects([charge(100 + n, at(DAY, 1)) for n in range(3)])
        for key, emulator in ((KEY, other_test), (live_key, live)):
            with pytest.raises(PermanentError, match="python -m ingestion charges --full-refresh"):
                account.load(DAY + days(1), api_key=key, api_base=emulator.url)
        assert account.warehouse.load_records(DAY + days(1)) == ()

        account.load(DAY + days(1), api_key=live_key, api_base=live.url, full_refresh=True)
        kept = "_deleted_at is null, json_extract(payload, '$.livemode')"
        assert set(account.rows("charges", kept)) == {(False, "false"), (True, "true")}

        account.load(DAY + days(2), api_key=live_key, api_base=live.url)
        with pytest.raises(PermanentError, match="STRIPE_API_KEY is a test key"):
            account.load(DAY + days(2))


def test_an_account_that_was_empty_so_far_is_read_from_its_beginning(account: Account) -> None:
    account.load(DAY - days(1))
    with StripeEmulator(now=lambda: at(DAY, 54), livemode=True) as live:
        live.import_objects([charge(1, at(DAY - days(400))), charge(2, at(DAY, 1))])

        account.load(api_key="sk_live_" + "x" * 24, api_base=live.url)

    assert account.rows("charges", "charge_id") == [("ch_00001",), ("ch_00002",)]
    assert account.warehouse.watermark(source("charges")) == datetime(2026, 11, 20, 6)


def test_an_account_whose_newest_charge_is_gone_is_still_the_same(account: Account) -> None:
    account.has(*(charge(n, at(DAY - days(1), n)) for n in range(5)))
    account.load(DAY - days(1))
    forget(account.emulator, "charge", "ch_00004")

    account.load()

    assert account.warehouse.watermark(source("charges")) == datetime(2026, 11, 20, 6)


def test_bounds_are_stripes_moments_whatever_the_workers_clock_says(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker believes that the day is over: by Stripe's clock it ends in 90 minutes."""
    monkeypatch.setattr(account.emulator.account, "now", lambda: at(DAY, 4.5))
    account.has(charge(1, at(DAY, 4)))

    with pytest.raises(SourceUnavailableError, match="clock stands at 2026-11-20 04:30:"):
        account.load()

    assert account.warehouse.load_records(DAY) == ()
    account.has(charge(2, at(DAY, 4.7)), charge(3, at(DAY, 5.9)))
    monkeypatch.setattr(account.emulator.account, "now", lambda: at(DAY, 6) + 30)
    account.load()
    assert account.rows("charges", "count(*)") == [(3,)]
    [(fetched_at,)] = set(account.rows("charges", "_fetched_at - timestamp '2026-11-20 06:00:30'"))
    assert abs(fetched_at) < timedelta(seconds=10)


def test_a_day_that_ends_in_a_moment_is_waited_for(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(account.emulator.account, "now", lambda: at(DAY, 6) - 1)

    started = time.monotonic()
    record = account.load()

    assert time.monotonic() - started > 0.9
    assert record.watermark == datetime(2026, 11, 20, 6)


# How shops write an order's number


@pytest.mark.parametrize(
    ("metadata", "number"),
    [
        ({"order_id": "129"}, "129"),
        ({"orderId": "130"}, "130"),
        ({"Order ID": "130"}, "130"),
        ({"order_number": "130"}, "130"),
        ({"Order #": "130"}, "130"),
        ({"order_id": "#131"}, "131"),
        ({"order_id": "133.0"}, "133"),
        ({"order_id": "133.00"}, "133"),
        ({"order_id": " 134 "}, "134"),
        ({"order_id": "\u00a0134\u200a"}, "134"),
        ({"order_id": "ORDER-135"}, "135"),
        ({"order_id": "Order No. 136"}, "136"),
        ({"order_id": "Order ID: 136"}, "136"),
        ({"order_id": "order_137"}, "137"),
        ({"order_id": "00138"}, "138"),
        ({"order_id": "\uff11\uff13\uff19"}, "139"),
        ({"order_id": 140}, "140"),
        ({"order_id": 141.0}, "141"),
        ({"order_id": "n/a", "orderNumber": "142"}, "142"),
        ({"order_id": "", "order": "143"}, "143"),
        ({"order_id": "13.5"}, "13.5"),
        ({"order_id": "1.000"}, "1.000"),
        ({"order_id": "-5"}, "-5"),
        ({"order_id": "GIFT-7"}, "GIFT-7"),
        ({"order_id": "1 2"}, "1 2"),
        ({"customer": "7"}, None),
        ({"order_id": None}, None),
        ({"order_id": {"id": 1}}, None),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)
def test_the_usual_spellings_of_an_order_number_match(metadata: Any, number: str | None) -> None:
    configured = StripeSettings(_env_file=None, api_key=KEY)
    assert OrderNumber(configured.order_keys, configured.order_pattern)(metadata) == number


def test_a_shop_says_by_settings_how_it_writes_an_order(account: Account) -> None:
    account.has(
        charge(1, at(DAY, 1), metadata={"basket": "SO-0131/2026"}),
        charge(2, at(DAY, 1), metadata={"order_id": "132"}),
    )

    account.load(order_keys="basket, reference", order_pattern=r"so-(\d+)/\d{4}")

    assert account.rows("charges", "order_id") == [("131",), (None,)]
    with pytest.raises(ValueError, match="needs a group"):
        account.settings(order_pattern=r"\d+")
    with pytest.raises(ValueError, match="no regular expression"):
        account.settings(order_pattern=r"(\d+")


def test_no_log_holds_the_key_or_a_customer(
    account: Account, caplog: pytest.LogCaptureFixture, quick: None
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="stripe")
    account.has(charge(1, at(DAY, 1), receipt_email="ada@example.com"))
    account.emulator.add_fault(Fault("500", times=2))

    account.load()

    assert "trying again" in caplog.text
    assert KEY not in caplog.text
    assert "ada@example.com" not in caplog.text


def test_a_request_that_went_well_is_not_worth_a_line(
    account: Account, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    account.has(*(charge(n, at(DAY) - n * 1000) for n in range(250)))

    account.load()

    assert "/v1/charges" not in caplog.text


def test_requests_keep_to_the_rate(account: Account) -> None:
    account.has(*(charge(n, at(DAY) - n * 1000) for n in range(1500)))

    account.load(max_requests_per_second=20)

    times = sorted(request["at"] for request in account.emulator.requests)
    assert len(times) > 15
    assert (len(times) - 1) / (times[-1] - times[0]) < 22


# What a load decides to read


def test_the_plan_of_a_load(account: Account) -> None:
    now = datetime(2026, 11, 20, 6, 5)
    settings = account.settings(overlap_minutes=60, relist_days=180)
    yesterday = datetime(2026, 11, 19, 6)

    first = plan(settings, DAY, None, now=now)
    usual = plan(settings, DAY, yesterday, now=now)
    early = plan(settings, DAY, yesterday - timedelta(hours=7), now=now)
    again = plan(settings, DAY - days(5), datetime(2026, 11, 20, 6), now=now)
    stale = plan(settings, DAY, yesterday - days(40), now=now)

    assert (first.window.start, first.list_from) == (None, None)
    assert usual.window.start == usual.list_from == datetime(2026, 11, 19, 5)
    assert early.window.start == datetime(2026, 11, 18, 22)
    assert (again.window.start, again.window.end) == (
        datetime(2026, 11, 14, 5),
        datetime(2026, 11, 15, 6),
    )
    assert stale.list_from == datetime(2026, 10, 10, 5) - days(180)


# On Snowflake


def test_two_days_on_snowflake_with_an_object_set_aside_and_another_account(
    snowflake_warehouse: SnowflakeWarehouse,
) -> None:
    with (
        StripeEmulator(now=lambda: at(DAY, 54)) as emulator,
        StripeEmulator(now=lambda: at(DAY, 54)) as other,
    ):
        account = Account(emulator, snowflake_warehouse)
        account.has(*(charge(n, at(DAY - days(1), 5) - n * 60) for n in range(20)))
        good = emulator.account.get("charge", "ch_00001")
        become(emulator, good | {"amount": None})
        account.load(DAY - days(1))
        become(emulator, good)

        record = account.load()

        assert counts(record, "charges") == (1, 0)
        assert snowflake_warehouse.keys_set_aside(source("charges"))["charges"] == set()
        with pytest.raises(PermanentError, match="another account"):
            account.load(DAY + days(1), api_base=other.url)
