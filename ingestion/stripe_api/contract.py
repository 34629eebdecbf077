"""Says which field of Stripe's objects each raw column is read from, and makes Arrow batches.

Set aside is an object whose id, amount, currency, moment or another field that Stripe never leaves
out is missing, or whose field is not of the column's type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
import pyarrow as pa

from ingestion.stripe_api.client import Item
from ingestion.stripe_api.listing import Page
from ingestion.stripe_api.money import major_units, thousandths
from ingestion.stripe_api.order_number import OrderNumber
from pipeline.contracts import RawTable
from pipeline.rejects import TEXT_CHARACTERS, Reject, refuse_too_many
from pipeline.sources import CHARGES, DISPUTES, REFUNDS
from warehouse.arrow import schema_of

ROWS_PER_BATCH = 1_000

YEAR_10000 = 253_402_300_800  # no warehouse holds a time from here on; milliseconds look like it

# Which field each column is read from. One that Stripe never leaves out is not nullable in raw.
_CHARGE: Mapping[str, str] = {
    "charge_id": "id",
    "order_id": "metadata",
    "customer_id": "customer",
    "payment_intent_id": "payment_intent",
    "status": "status",
    "currency": "currency",
    "amount_minor": "amount",
    "amount_captured": "amount_captured",
    "amount_refunded": "amount_refunded",
    "is_paid": "paid",
    "is_captured": "captured",
    "is_refunded": "refunded",
    "is_disputed": "disputed",
    "failure_code": "failure_code",
    "created_at": "created",
}
_REFUND: Mapping[str, str] = {
    "refund_id": "id",
    "charge_id": "charge",
    "status": "status",
    "reason": "reason",
    "currency": "currency",
    "amount_minor": "amount",
    "created_at": "created",
}
_DISPUTE: Mapping[str, str] = {"dispute_id": "id"} | {
    column: name for column, name in _REFUND.items() if column != "refund_id"
}
TABLES = (CHARGES, REFUNDS, DISPUTES)
_FIELDS: Mapping[str, Mapping[str, str]] = {
    CHARGES.name: _CHARGE,
    REFUNDS.name: _REFUND,
    DISPUTES.name: _DISPUTE,
}
_REFERENCES = ("customer", "payment_intent", "charge")  # an id, or the whole object
_MONEY = ("amount_captured", "amount_refunded")


@dataclass
class SetAside:
    """Objects of one load that do not fit, and how many were read in all.

    ``known`` are keys that earlier loads have set aside, by name of the table.
    """

    known: Mapping[str, Collection[str]] = field(default_factory=dict)
    read: int = 0
    _rejects: dict[str, set[Reject]] = field(default_factory=lambda: defaultdict(set))

    def add(self, table: RawTable, reject: Reject) -> None:
        """The same object may be read twice in one load: because it is new, and by its event."""
        self._rejects[table.name].add(reject)

    def of(self, table: RawTable) -> list[Reject]:
        return sorted(self._rejects[table.name], key=lambda reject: reject.key or "")

    def check(self, ratio: float) -> None:
        """``TooManyRejectsError`` if they are more than ``ratio`` of what was read.

        Objects that were set aside before and are only read again do not count: a few old ones
        would stop each quiet day.
        """
        new = {
            table.name: [r for r in self.of(table) if r.key not in self.known.get(table.name, ())]
            for table in TABLES
        }
        every = [reject for rejects in new.values() for reject in rejects]
        names = " and ".join(name for name, rejects in new.items() if rejects)
        refuse_too_many(names, len(every), self.read, ratio, "STRIPE_MAX_REJECT_RATIO", every)


class _UnfitError(Exception):
    """Objects that make no row; ``column`` is the first that one of them cannot fill."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def batches(
    table: RawTable, pages: Iterable[Page], order_number: OrderNumber, aside: SetAside
) -> Iterator[pa.RecordBatch]:
    """Batches of about a thousand rows in the table's schema; pages are let go as they are read.

    An object that does not fit is set aside, the others of its batch are not.
    """
    held: list[tuple[Item, datetime]] = []
    for page in pages:
        held.extend((item, page.fetched_at) for item in page.items)
        if len(held) >= ROWS_PER_BATCH:
            yield from _batch_of_what_fits(table, held, order_number, aside)
            held = []
    if held:
        yield from _batch_of_what_fits(table, held, order_number, aside)


def _batch_of_what_fits(
    table: RawTable,
    held: Sequence[tuple[Item, datetime]],
    order_number: OrderNumber,
    aside: SetAside,
) -> Iterator[pa.RecordBatch]:
    aside.read += len(held)
    try:
        yield _batch(table, held, order_number)
        return
    except _UnfitError:
        pass
    good = []
    for one in held:
        try:
            _batch(table, [one], order_number)
            good.append(one)
        except _UnfitError as unfit:
            aside.add(table, _reject(table, one[0], unfit))
    if good:
        yield _batch(table, good, order_number)


def _batch(
    table: RawTable, held: Sequence[tuple[Item, datetime]], order_number: OrderNumber
) -> pa.RecordBatch:
    items = [item for item, _ in held]
    columns: dict[str, list[Any]] = {
        column: [
            _id_of(item.get(name)) if name in _REFERENCES else item.get(name) for item in items
        ]
        for column, name in _FIELDS[table.name].items()
    }
    if "order_id" in columns:
        columns["order_id"] = [order_number(metadata) for metadata in columns["order_id"]]
    columns["_fetched_at"] = [fetched_at for _, fetched_at in held]
    try:
        columns["payload"] = [orjson.dumps(item).decode() for item in items]
    except TypeError as problem:
        raise _UnfitError("payload", f"is no JSON: {problem}") from None
    if not all(isinstance(code, str) and len(code) == 3 for code in columns["currency"]):
        raise _UnfitError("currency", "is no code of three letters")
    if not all(isinstance(at, int) and 0 <= at < YEAR_10000 for at in columns["created_at"]):
        raise _UnfitError("created_at", "is no moment in seconds since 1970")
    worth = thousandths(columns["currency"])
    schema = schema_of(table)
    arrays = []
    for column in schema:
        name = column.name
        try:
            if name == "amount":
                arrays.append(major_units(pa.array(columns["amount_minor"], pa.int64()), worth))
            elif name in _MONEY:
                arrays.append(major_units(pa.array(columns[name], pa.int64()), worth))
            elif name == "created_at":
                arrays.append(pa.array(columns[name], pa.timestamp("s")).cast(column.type))
            else:
                arrays.append(pa.array(columns[name], column.type))
        except (pa.ArrowException, TypeError, OverflowError):
            raise _UnfitError(name, f"is not of type {table.column(name).type}") from None
        if arrays[-1].null_count and not column.nullable:
            raise _UnfitError(name, "is missing")
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _id_of(reference: Any) -> Any:
    return reference.get("id") if isinstance(reference, dict) else reference


def _reject(table: RawTable, item: Item, unfit: _UnfitError) -> Reject:
    name = _FIELDS[table.name].get(unfit.column, "amount")
    return Reject(
        column=unfit.column,
        reason=str(unfit),
        text="" if unfit.column == "payload" else str(item.get(name))[:TEXT_CHARACTERS],
        key=str(item["id"]) if item.get("id") else None,
    )
