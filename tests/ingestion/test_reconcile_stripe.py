"""Reconciliation of Stripe: what no cursor and no event told of is found by day, and repaired."""

from __future__ import annotations

import json
from calendar import timegm
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from ingestion.reconcile import NeverLoadedError, Report
from ingestion.stripe_api.load import StripeConnector
from ingestion.stripe_api.reconcile import reconcile_charges
from ingestion.stripe_api.settings import StripeSettings
from pipeline.errors import PermanentError
from pipeline.sources import CHARGES, source
from sandbox.stripe_emulator import StripeEmulator
from tests.builders.stripe_state import forget
from warehouse.duckdb.warehouse import DuckDBWarehouse

DAY = date(2026, 11, 20)
SIX = timegm(DAY.timetuple()) + 6 * 3600
AN_HOUR, A_DAY = 3_600, 86_400
STRIPE = source("charges")
NOW = datetime(2026, 11, 20, 18)  # by Stripe's clock
CARD = {"type": "card", "card": {"brand": "visa"}}


class Account:
    """An emulated account that was loaded for ``DAY``, and its reconciliation."""

    def __init__(self, emulator: StripeEmulator, warehouse: DuckDBWarehouse) -> None:
        self.emulator = emulator
        self.warehouse = warehouse

    def settings(self, **changed: Any) -> StripeSettings:
        values = {
            "api_key": "sk_test_x",
            "api_base": self.emulator.url,
            "max_requests_per_second": 10_000,
            **changed,
        }
        return StripeSettings(_env_file=None, relist_weekday="never", **values)

    def load(self, day: date = DAY) -> None:
        StripeConnector(self.settings(), self.warehouse).load_charges(day)

    def reconcile(self, *, repair: bool = False, **changed: Any) -> Report:
        return reconcile_charges(STRIPE, self.settings(**changed), self.warehouse, repair=repair)

    def change_without_event(self, kind: str, identifier: str, **fields: Any) -> None:
        """Stripe's state changes, and no event tells of it."""
        store = self.emulator.account.store
        store.put({**store[kind].get(identifier), **fields})  # type: ignore[dict-item]

    def spoil(self, statement: str) -> None:
        """Change the warehouse by hand."""
        with self.warehouse.session("change rows", writes=True) as connection:
            connection.execute(statement)

    def repaired(self) -> Report:
        report = self.reconcile(repair=True)
        assert report.repaired and report.is_equal, str(report)
        assert self.reconcile().is_equal
        self.assert_equal()
        return report

    def assert_equal(self) -> None:
        """Unmarked rows of the warehouse are what Stripe held up to the day's bound."""
        for table in STRIPE.tables:
            raw = f"ecommerce_raw.stripe.raw_{table.name}"
            rows = self.warehouse.query(
                f"select {table.key[0]}, status, amount_minor, payload from {raw} where "
                "_deleted_at is null"
            )
            kept = [
                json.loads(body)
                for body in self.emulator.account.store[table.name[:-1]]._bodies.values()
            ]
            expected = [(o["id"], o["status"], o["amount"], o) for o in kept if o["created"] <= SIX]
            actual = [(*row[:3], json.loads(str(row[3]))) for row in rows]
            assert sorted(actual, key=lambda row: str(row[0])) == sorted(
                expected, key=lambda row: row[0]
            )


def charge(number: int, created: int, **fields: Any) -> dict[str, Any]:
    given = {"amount": 1000, "currency": "usd", "payment_method_details": CARD, **fields}
    return {"object": "charge", "id": f"ch_{number}", "created": created, **given}


@pytest.fixture
def account(warehouse: DuckDBWarehouse) -> Iterator[Account]:
    """Five charges on three days, a refund and a dispute, loaded."""
    with StripeEmulator(now=lambda: NOW.replace(tzinfo=UTC).timestamp()) as emulator:
        emulator.import_objects(
            [
                charge(1, SIX - 90 * A_DAY, metadata={"order_id": "17"}),
                charge(2, SIX - 90 * A_DAY + 5, currency="jpy"),
                charge(3, SIX - 40 * A_DAY),
                charge(4, SIX - AN_HOUR),
                charge(
                    5,
                    SIX - AN_HOUR,
                    status="failed",
                    paid=False,
                    captured=False,
                    failure_code="card_declined",
                ),
                {
                    "object": "refund",
                    "id": "re_1",
                    "charge": "ch_3",
                    "amount": 400,
                    "created": SIX - 39 * A_DAY,
                },
                {
                    "object": "dispute",
                    "id": "dp_1",
                    "charge": "ch_1",
                    "amount": 1000,
                    "created": SIX - 80 * A_DAY,
                },
            ]
        )
        account = Account(emulator, warehouse)
        account.load()
        yield account


def keys(report: Report, kind: str) -> list[str]:
    return [key for difference in report.differences for key in getattr(difference, kind)]


def test_equal_sides_have_no_difference(account: Account) -> None:
    report = account.reconcile()
    assert report.is_equal, str(report)
    assert (report.rows, report.watermark) == (7, datetime(2026, 11, 20, 6))


def test_a_charge_changed_behind_the_cursor_is_found_and_repaired(account: Account) -> None:
    account.change_without_event("charge", "ch_3", amount_refunded=600, refunded=False)
    found = account.reconcile()
    assert (keys(found, "changed"), len(found.differences)) == (["ch_3"], 1)
    assert "charges, day 2026-10-11: 1 changed (ch_3)" in str(found)
    assert account.repaired().rows_reloaded == 1  # that day of charges only
    assert account.warehouse.query(
        "select amount_refunded::int from stripe.raw_charges where charge_id = 'ch_3'"
    ) == [(6,)]


@pytest.mark.parametrize(
    ("kind", "identifier", "fields"),
    [
        ("charge", "ch_1", {"disputed": False}),
        ("charge", "ch_1", {"metadata": {"order_id": "18"}}),
        ("charge", "ch_4", {"payment_method_details": {"type": "card", "card": {"brand": "amex"}}}),
        ("refund", "re_1", {"status": "failed"}),
        ("dispute", "dp_1", {"status": "won"}),
    ],
)
def test_any_state_that_no_event_told_of_is_found_and_repaired(
    account: Account, kind: str, identifier: str, fields: dict[str, Any]
) -> None:
    account.change_without_event(kind, identifier, **fields)
    assert keys(account.reconcile(), "changed") == [identifier]
    account.repaired()


def test_an_object_that_appeared_behind_the_cursor_is_found_and_repaired(account: Account) -> None:
    account.emulator.account.store.put(
        {
            **account.emulator.account.store["charge"].get("ch_1"),
            "id": "ch_late",
            "created": SIX - 60 * A_DAY,
        }  # type: ignore[dict-item]
    )
    assert keys(account.reconcile(), "missing") == ["ch_late"]
    account.repaired()


def test_an_object_gone_from_stripe_is_marked_and_one_that_comes_back_is_not(
    account: Account,
) -> None:
    kept = account.emulator.account.store["charge"].get("ch_2")
    forget(account.emulator, "charge", "ch_2")
    found = account.reconcile()
    assert keys(found, "deleted") == ["ch_2"] and not found.is_equal
    assert account.repaired().rows_marked == 1
    marked = account.warehouse.query(
        "select charge_id from stripe.raw_charges where _deleted_at is not null"
    )
    assert marked == [("ch_2",)]
    account.emulator.account.store.put(kept)  # type: ignore[arg-type]
    assert keys(account.reconcile(), "missing") == ["ch_2"]
    account.repaired()


@pytest.mark.parametrize(
    "spoiled",
    [
        "update stripe.raw_charges set amount = 0 where charge_id = 'ch_1'",
        "update stripe.raw_charges set order_id = null where charge_id = 'ch_1'",
        "update stripe.raw_charges set is_disputed = false where charge_id = 'ch_1'",
        "update stripe.raw_charges set payload = '{}' where charge_id = 'ch_1'",
        "update stripe.raw_charges set amount_refunded = 9, _fetched_at = '2099-01-01' where "
        "charge_id = 'ch_1'",
        "update stripe.raw_charges set created_at = created_at + interval 3 day where charge_id = "
        "'ch_1'",
        "update stripe.raw_charges set created_at = '2030-01-01' where charge_id = 'ch_1'",
        "update stripe.raw_charges set created_at = null where charge_id = 'ch_1'",
        "update stripe.raw_charges set _deleted_at = '2026-01-01' where charge_id = 'ch_1'",
        "delete from stripe.raw_charges where charge_id = 'ch_1'",
    ],
)
def test_a_row_altered_in_the_warehouse_is_found_and_repaired(
    account: Account, spoiled: str
) -> None:
    account.spoil(spoiled)
    found = account.reconcile()
    assert "ch_1" in keys(found, "changed") + keys(found, "missing")
    assert set(keys(found, "changed") + keys(found, "missing") + keys(found, "deleted")) == {"ch_1"}
    account.repaired()


def test_two_amounts_exchanged_between_charges_of_a_day_are_found(account: Account) -> None:
    """Count, keys and total are the same: only the content tells."""
    account.spoil(
        "update stripe.raw_charges set status = if(status = 'failed', 'succeeded', 'failed') where "
        "charge_id in ('ch_4', 'ch_5')"
    )
    assert keys(account.reconcile(), "changed") == ["ch_4", "ch_5"]
    account.repaired()


def test_what_events_touched_after_the_cursor_is_not_due_and_no_difference(
    account: Account,
) -> None:
    account.emulator.import_objects(
        [
            {
                "object": "refund",
                "id": "re_2",
                "charge": "ch_4",
                "amount": 1000,
                "created": SIX + AN_HOUR,
            },
            {"object": "dispute", "id": "dp_1", "status": "lost", "_at": SIX + AN_HOUR},
            charge(9, SIX + AN_HOUR),
        ]
    )
    assert account.reconcile().is_equal, str(account.reconcile())


def test_a_repair_leaves_other_rows_and_the_cursor_alone(account: Account) -> None:
    stamps = "select charge_id, _load_id, _loaded_at from stripe.raw_charges"
    before = {row[0]: row[1:] for row in account.warehouse.query(stamps)}
    account.spoil("update stripe.raw_charges set amount = 0 where charge_id = 'ch_1'")
    report = account.repaired()
    after = {row[0]: row[1:] for row in account.warehouse.query(stamps)}
    assert {key for key in before if before[key] != after[key]} == {"ch_1"}
    assert account.warehouse.watermark(STRIPE) == datetime(2026, 11, 20, 6)
    assert report.repaired_day == DAY and account.warehouse.load_records(DAY)[0].source == "charges"


def test_an_object_set_aside_is_no_difference(account: Account) -> None:
    """The source has it, so it is not gone; its row stays as it was until it is right again."""
    account.change_without_event("charge", "ch_1", amount=None)
    report = account.reconcile(repair=True)
    assert report.is_equal, str(report)
    deleted = "select count(*) from stripe.raw_charges where _deleted_at is not null"
    assert account.warehouse.query(deleted) == [(0,)]


def test_another_account_is_not_compared(account: Account) -> None:
    """Else a repair would mark every charge as deleted."""
    with (
        StripeEmulator(now=lambda: NOW.replace(tzinfo=UTC).timestamp()) as other,
        pytest.raises(PermanentError, match="another account"),
    ):
        account.reconcile(repair=True, api_base=other.url)


def test_only_so_many_days_back_are_compared(account: Account) -> None:
    account.spoil("update stripe.raw_charges set amount = 0 where charge_id in ('ch_1', 'ch_3')")
    assert keys(account.reconcile(reconcile_days=60), "changed") == ["ch_3"]
    assert keys(account.reconcile(reconcile_days=0), "changed") == ["ch_1", "ch_3"]


def test_an_account_loaded_before_the_oldest_event_cannot_be_compared(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = (NOW + timedelta(days=30)).replace(tzinfo=UTC).timestamp()
    monkeypatch.setattr(account.emulator.account, "now", lambda: later)
    with pytest.raises(PermanentError, match="Load a day first, then reconcile"):
        account.reconcile()


def test_an_account_never_loaded_is_told(warehouse: DuckDBWarehouse) -> None:
    with pytest.raises(NeverLoadedError, match="charges was never loaded"):
        reconcile_charges(STRIPE, StripeSettings(_env_file=None, api_key="sk_test_x"), warehouse)  # type: ignore[arg-type]


def test_days_that_differ_in_a_row_are_listed_as_one_span(account: Account) -> None:
    more = [charge(100 + number, SIX - 30 * A_DAY + number * A_DAY // 4) for number in range(40)]
    for item in more:
        account.emulator.account.store.put(
            {**account.emulator.account.store["charge"].get("ch_1"), **item}
        )  # type: ignore[dict-item]
    account.emulator.requests.clear()
    report = account.reconcile(repair=True)
    assert report.is_equal and report.rows_reloaded == 40 and len(report.differences) > 9
    assert CHARGES.name == report.differences[0].table
    account.assert_equal()
