"""Says which field of Stripe's objects each raw column is read from, and makes Arrow batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson
import pyarrow as pa

from ingestion.stripe_api.client import Item
from ingestion.stripe_api.listing import Page
from ingestion.stripe_api.money import major_units, thousandths
from pipeline.contracts import RawTable
from pipeline.errors import ContractError
from pipeline.sources import CHARGES, DISPUTES, REFUNDS
from warehouse.arrow import schema_of

ROWS_PER_BATCH = 1_000

Read = Callable[[Item], Any]


def _reference(name: str) -> Read:
    """The id that a field refers to, whether Stripe sent the id or the whole object."""

    def read(item: Item) -> str | None:
        value = item.get(name)
        return value["id"] if isinstance(value, dict) else value

    return read


def _optional(name: str) -> Read:
    return lambda item: item.get(name)


def _order_id(item: Item) -> str | None:
    return (item.get("metadata") or {}).get("order_id")


# What each column is read from. Fields read by [] are those that Stripe never leaves out.
_CHARGE: Mapping[str, Read] = {
    "charge_id": lambda item: item["id"],
    "order_id": _order_id,
    "customer_id": _reference("customer"),
    "payment_intent_id": _reference("payment_intent"),
    "status": lambda item: item["status"],
    "currency": lambda item: item["currency"],
    "amount_minor": lambda item: item["amount"],
    "amount_captured": _optional("amount_captured"),
    "amount_refunded": _optional("amount_refunded"),
    "is_paid": _optional("paid"),
    "is_captured": _optional("captured"),
    "is_refunded": _optional("refunded"),
    "is_disputed": _optional("disputed"),
    "failure_code": _optional("failure_code"),
    "created_at": lambda item: item["created"],
}
_REFUND: Mapping[str, Read] = {
    "refund_id": lambda item: item["id"],
    "charge_id": _reference("charge"),
    "status": _optional("status"),
    "reason": _optional("reason"),
    "currency": lambda item: item["currency"],
    "amount_minor": lambda item: item["amount"],
    "created_at": lambda item: item["created"],
}
_DISPUTE: Mapping[str, Read] = {
    "dispute_id": lambda item: item["id"],
    "charge_id": _reference("charge"),
    "status": lambda item: item["status"],
    "reason": _optional("reason"),
    "currency": lambda item: item["currency"],
    "amount_minor": lambda item: item["amount"],
    "created_at": lambda item: item["created"],
}
_READS: Mapping[str, Mapping[str, Read]] = {
    CHARGES.name: _CHARGE,
    REFUNDS.name: _REFUND,
    DISPUTES.name: _DISPUTE,
}
_MONEY = ("amount_captured", "amount_refunded")


def batches(table: RawTable, pages: Iterable[Page]) -> Iterator[pa.RecordBatch]:
    """Batches of about a thousand rows in the table's schema; the pages are let go as they are
    read.

    ``ContractError`` names the table and the field where Stripe sends what nobody expects.
    """
    reads = _READS[table.name]
    columns: dict[str, list[Any]] = {name: [] for name in (*reads, "payload", "_fetched_at")}
    for page in pages:
        items = page.items
        try:
            for name, read in reads.items():
                columns[name].extend(map(read, items))
        except KeyError as missing:
            raise ContractError(
                f"An object for {table.name} from Stripe lacks the field {missing}. Nothing was "
                "loaded."
            ) from None
        columns["payload"].extend([orjson.dumps(item).decode() for item in items])
        columns["_fetched_at"].extend([page.fetched_at] * len(items))
        if len(columns["payload"]) >= ROWS_PER_BATCH:
            yield _batch(table, columns)
            for values in columns.values():
                values.clear()
    if columns["payload"]:
        yield _batch(table, columns)


def _batch(table: RawTable, columns: Mapping[str, list[Any]]) -> pa.RecordBatch:
    schema = schema_of(table)
    worth = thousandths(columns["currency"])
    arrays = []
    for field in schema:
        try:
            if field.name == "amount":
                arrays.append(major_units(pa.array(columns["amount_minor"], pa.int64()), worth))
            elif field.name in _MONEY:
                arrays.append(major_units(pa.array(columns[field.name], pa.int64()), worth))
            elif field.name == "created_at":
                arrays.append(pa.array(columns["created_at"], pa.timestamp("s")).cast(field.type))
            else:
                arrays.append(pa.array(columns[field.name], field.type))
        except (pa.ArrowException, TypeError, OverflowError) as problem:
            raise ContractError(
                f"Stripe sent a value for {table.name}.{field.name} that is not a {field.type}: "
                f"{problem}. Nothing was loaded."
            ) from None
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
