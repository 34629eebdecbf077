"""A small shop in raw tables: it lives from day to day and leaves what the loaders would.

The tables are those of ``pipeline/sources.py``. A day of changes is random, seeded and meant to be
nasty: late lines, charges that move to another order, refunds of old charges, rows deleted in the
source and back again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from pipeline.contracts import METADATA_COLUMNS, Column, ColumnType, RawTable
from pipeline.sources import SOURCES
from warehouse.arrow import arrow_type

Row = dict[str, Any]

TABLES: dict[str, RawTable] = {table.name: table for source in SOURCES for table in source.tables}
LOAD_OF: dict[str, str] = {table.name: source.name for source in SOURCES for table in source.tables}

_DUCKDB = {
    "integer": "integer",
    "bigint": "bigint",
    "string": "varchar",
    "json": "json",
    "boolean": "boolean",
}
_DUCKDB |= {"timestamp": "timestamp", "date": "date"}
_LOAD_RECORDS = """
    load_id varchar, source varchar, day date, window_start timestamp, window_end timestamp,
    watermark timestamp, started_at timestamp, extracted_at timestamp, committed_at timestamp,
    rows_extracted bigint, rows_inserted bigint, rows_updated bigint, rows_unchanged bigint,
    rows_rejected bigint, tables json, checksum varchar"""
_REJECTED_ROWS = """
    load_id varchar, source varchar, table_name varchar, day date, file varchar, line bigint,
    key varchar, column_name varchar, reason varchar, text varchar, rejected_at timestamp,
    healed_at timestamp, reject_id varchar"""

STATES = ["CA", "California", "ny", "New York", "TX", "texas ", "WA", None, "Ontario"]
STATUSES = [
    "pending",
    "processing",
    "shipped",
    "delivered",
    "completed",
    "pending_review",
    "Cancelled",
]


def _duckdb_type(type_: ColumnType) -> str:
    return (
        f"decimal({type_.precision},{type_.scale})"
        if type_.name == "decimal"
        else _DUCKDB[type_.name]
    )


def _columns(table: RawTable) -> tuple[Column, ...]:
    return (*table.columns, *METADATA_COLUMNS)


def create_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Empty raw tables, load records and rejected rows, as a loader creates them."""
    for table in TABLES.values():
        columns = ", ".join(
            f"{column.name} {_duckdb_type(column.type)}" for column in _columns(table)
        )
        connection.execute(f"create schema if not exists {table.schema.lower()}")
        connection.execute(
            f"create or replace table {table.schema.lower()}.{table.raw_name.lower()} ({columns})"
        )
    connection.execute("create schema if not exists loads")
    connection.execute(f"create or replace table loads.load_records ({_LOAD_RECORDS})")
    connection.execute(f"create or replace table loads.rejected_rows ({_REJECTED_ROWS})")


class RawShop:
    """Raw rows by table and key.

    Every change marks its row with the load of the day on which it is loaded.
    """

    def __init__(self, seed: int, first_day: date) -> None:
        self.random = random.Random(seed)
        self.day = first_day
        self.tables: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in TABLES}
        self.loads: list[Row] = []
        self._late: list[
            Callable[[], None]
        ] = []  # rows that the source had before, and whose load comes a day late
        self._last_load_time = datetime(2000, 1, 1)
        self.start_load()

    # --- time and loads ---

    def start_load(self) -> None:
        self.loaded_at = datetime.combine(self.day, datetime.min.time()) + timedelta(
            hours=6, minutes=1
        )
        for number, source in enumerate(SOURCES):
            committed_at = self.loaded_at + timedelta(seconds=number)
            self.loads.append(
                {
                    "load_id": f"{source.name}-{self.day}",
                    "source": source.name,
                    "day": self.day,
                    "committed_at": committed_at,
                }
            )

    def _next_load_time(self) -> datetime:
        """Load times only grow, over all tables."""
        self._last_load_time = max(self.loaded_at, self._last_load_time + timedelta(milliseconds=1))
        return self._last_load_time

    def moment(self) -> datetime:
        """Some time in the 24 hours before the day's upper bound."""
        return self.loaded_at - timedelta(seconds=self.random.randint(60, 86_400))

    def put(self, table: str, **values: Any) -> Row:
        """Insert a row, or change the one with its key, as the day's load."""
        key = tuple(values[name] for name in TABLES[table].key)
        row = self.tables[table].get(key) or dict.fromkeys(
            column.name for column in _columns(TABLES[table])
        )
        row |= values
        row |= {
            "_load_id": f"{LOAD_OF[table]}-{self.day}",
            "_loaded_at": self._next_load_time(),
            "_day": self.day,
            "_deleted_at": None,
        }
        self.tables[table][key] = row
        return row

    def delete(self, row: Row) -> None:
        """Mark a row as gone from the source, as reconciliation does."""
        row["_deleted_at"] = row["_loaded_at"] = self._next_load_time()

    def alive(self, table: str) -> list[Row]:
        return [row for row in self.tables[table].values() if row["_deleted_at"] is None]

    def some(self, table: str, most: int) -> list[Row]:
        rows = self.alive(table)
        return self.random.sample(rows, min(len(rows), self.random.randint(0, most)))

    # --- the shop ---

    def open(self, customers: int = 30, products: int = 8, orders: int = 60) -> None:
        """The first day: history without any refund or dispute."""
        for _ in range(customers):
            self.new_customer()
        for _ in range(products):
            self.new_product()
        for _ in range(orders):
            self.new_order(
                self.loaded_at
                - timedelta(
                    days=self.random.randint(0, 60), seconds=self.random.randint(60, 80_000)
                )
            )
        self.new_marketing()

    def next_day(self) -> None:
        """Another day of random changes."""
        self.day += timedelta(days=1)
        self.start_load()
        late, self._late = self._late, []
        for arrive in late:
            arrive()
        for _ in range(self.random.randint(0, 3)):
            self.new_customer()
        for _ in range(self.random.randint(0, 8)):
            self.new_order(self.moment())
        for customer in self.some("customers", 3):
            self.put(
                "customers",
                customer_id=customer["customer_id"],
                address=f"{self.random.randint(1, 999)} New Street",
                state=self.random.choice(STATES),
                updated_at=self.moment(),
            )
        for order in self.some("orders", 6):
            self.put(
                "orders",
                order_id=order["order_id"],
                status=self.random.choice(STATUSES),
                updated_at=self.moment(),
            )
        for product in self.some("products", 2):
            cost = self.random.choice(
                [None, Decimal("-1.00"), Decimal(self.random.randint(100, 2000)) / 100]
            )
            self.put(
                "products", product_id=product["product_id"], cost=cost, updated_at=self.moment()
            )
        for charge in self.alive("charges"):
            held = charge["status"] == "succeeded" and not charge["is_captured"]
            if held and not charge["is_refunded"] and self.random.random() < 0.5:
                self.settle(charge)
        if self.random.random() < 0.5:
            self.authorise()
        for charge in self.some("charges", 4):
            self.refund(charge)
        for charge in self.some("charges", 2):
            self.dispute(charge)
        for dispute in self.some("disputes", 2):
            self.put(
                "disputes",
                dispute_id=dispute["dispute_id"],
                status=self.random.choice(["won", "lost"]),
            )
        for charge in self.some("charges", 1):
            order = self.random.choice(self.alive("orders"))
            self.put("charges", charge_id=charge["charge_id"], order_id=str(order["order_id"]))
        self.new_marketing()
        self.deletions()

    def deletions(self) -> None:
        for table in ("orders", "order_items", "customers", "charges"):
            if self.random.random() < 0.3:
                self.delete(self.random.choice(self.alive(table)))
        gone = [
            (table, row)
            for table in ("orders", "order_items")
            for row in self.tables[table].values()
            if row["_deleted_at"]
        ]
        if gone and self.random.random() < 0.3:
            table, row = self.random.choice(gone)
            self.put(table, **{name: row[name] for name in TABLES[table].column_names})

    def new_customer(self) -> None:
        number = len(self.tables["customers"]) + 1
        email = f"person{number}@example.com" if number % 10 else f"PERSON{number - 1}@Example.com"
        created_at = self.moment() - timedelta(days=self.random.randint(0, 90))
        self.put(
            "customers",
            customer_id=number,
            email=email,
            first_name=f" First{number} ",
            last_name=f"Last{number}",
            phone=self.random.choice([None, "", "555-0100"]),
            address=f"{number} Main Street",
            city="Springfield",
            state=self.random.choice(STATES),
            country=self.random.choice(["US", "USA", "United States", "Canada", None]),
            zip_code="12345",
            created_at=created_at,
            updated_at=self.random.choice([created_at, None]),
        )

    def new_product(self) -> None:
        number = len(self.tables["products"]) + 1
        price = Decimal(self.random.randint(500, 30_000)) / 100
        self.put(
            "products",
            product_id=number,
            name=f"Product {number}",
            category=self.random.choice(["Electronics", " electronics", "Books", "Gadgets", None]),
            price=price,
            cost=self.random.choice([round(price / 2, 2), None, Decimal("-5.00")]),
            is_active=True,
            created_at=self.moment(),
            updated_at=self.moment(),
        )

    def new_order(self, at: datetime) -> None:
        number = len(self.tables["orders"]) + 1
        customer = self.random.choice([*self.alive("customers"), {"customer_id": None}])
        total = Decimal(0)
        for _ in range(self.random.randint(1, 3)):
            total += self.new_item(number, at)
        if self.random.random() < 0.05:
            total += 1  # the source does not always add up
        self.put(
            "orders",
            order_id=number,
            customer_id=customer["customer_id"],
            order_date=at,
            status=self.random.choice(STATUSES),
            total_amount=total,
            shipping_city="Springfield",
            shipping_state=self.random.choice(STATES),
            shipping_country="US",
            created_at=at,
            updated_at=self.random.choice([at, None]),
        )
        for _ in range(self.random.choices([1, 0, 2], [90, 6, 4])[0]):
            self.new_charge(
                str(number)
                if self.random.random() < 0.95
                else self.random.choice(["n/a", "999999", None]),
                total,
                at,
            )

    def new_item(self, order_id: int, at: datetime) -> Decimal:
        product = self.random.choice(self.alive("products"))
        quantity, discount = (
            self.random.randint(1, 4),
            self.random.choice([Decimal(0), Decimal("10.00"), Decimal("12.50")]),
        )
        line_total = round(quantity * product["price"] * (100 - discount) / 100, 2)
        item: Row = {
            "order_item_id": len(self.tables["order_items"]) + len(self._late) + 1,
            "order_id": order_id,
            "product_id": product["product_id"],
            "quantity": quantity,
            "unit_price": product["price"],
            "discount_pct": discount,
            "line_total": line_total,
            "created_at": at,
        }
        if self.random.random() < 0.05:
            self._late.append(lambda: self.put("order_items", **item) and None)
        else:
            self.put("order_items", **item)
        return line_total

    def new_charge(self, order_id: str | None, amount: Decimal, at: datetime) -> None:
        currency, rate = self.random.choices(
            [("usd", Decimal(1)), ("eur", Decimal("1.16"))], [95, 5]
        )[0]
        status = self.random.choices(["succeeded", "failed", "pending"], [94, 4, 2])[0]
        amount = round(amount / rate, 2)
        collected = amount if status == "succeeded" else Decimal(0)
        self.put(
            "charges",
            charge_id=f"ch_{len(self.tables['charges']) + 1}",
            order_id=order_id,
            status=status,
            currency=currency,
            amount_minor=int(amount * 100),
            amount=amount,
            amount_captured=collected,
            amount_refunded=Decimal(0),
            is_paid=status == "succeeded",
            is_captured=status == "succeeded",
            is_refunded=False,
            is_disputed=False,
            created_at=at + timedelta(seconds=30),
            payload=json.dumps(
                {"payment_method_details": {"type": "card", "card": {"brand": "visa"}}}
            ),
            _fetched_at=self.loaded_at,
        )

    def refund(self, charge: Row) -> None:
        if charge["status"] != "succeeded" or not charge["is_captured"]:
            return
        left = charge["amount"] - charge["amount_refunded"]
        if left <= 0:
            return
        amount = self.random.choice([left, round(left / 2, 2)])
        status = self.random.choices(["succeeded", "pending", "failed"], [8, 1, 1])[0]
        self.new_refund(charge, amount, status, moves_money=True)

    def new_refund(self, charge: Row, amount: Decimal, status: str, *, moves_money: bool) -> None:
        self.put(
            "refunds",
            refund_id=f"re_{len(self.tables['refunds']) + 1}",
            charge_id=charge["charge_id"],
            status=status,
            reason=None,
            currency=charge["currency"],
            amount_minor=int(amount * 100),
            amount=amount,
            created_at=self.moment(),
            payload=json.dumps({"balance_transaction": "txn_1" if moves_money else None}),
            _fetched_at=self.loaded_at,
        )
        if status == "succeeded":
            refunded = charge["amount_refunded"] + amount
            self.put(
                "charges",
                charge_id=charge["charge_id"],
                amount_refunded=refunded,
                is_refunded=refunded == charge["amount"],
            )

    def authorise(self) -> None:
        """A charge that is only authorised, perhaps in a currency without a rate."""
        order = self.random.choice(self.alive("orders"))
        amount = order["total_amount"] + 10
        self.new_charge(str(order["order_id"]), amount, self.moment())
        charge = list(self.tables["charges"].values())[-1]
        nothing = {"amount_captured": Decimal(0), "is_captured": False}
        currency = self.random.choice([charge["currency"], "chf"])
        self.put("charges", charge_id=charge["charge_id"], currency=currency, **nothing)

    def settle(self, charge: Row) -> None:
        """What becomes of an authorisation: voided, or captured in part or whole."""
        share = self.random.choice([0, 0, Decimal("0.6"), 1])
        taken = round(charge["amount"] * share, 2)
        if taken:
            self.put(
                "charges", charge_id=charge["charge_id"], amount_captured=taken, is_captured=True
            )
        if taken < charge["amount"]:
            self.new_refund(charge, charge["amount"] - taken, "succeeded", moves_money=False)

    def dispute(self, charge: Row) -> None:
        if charge["status"] != "succeeded" or not charge["is_captured"]:
            return
        self.put(
            "disputes",
            dispute_id=f"dp_{len(self.tables['disputes']) + 1}",
            charge_id=charge["charge_id"],
            status="needs_response",
            reason="fraudulent",
            currency=self.random.choice([charge["currency"], "eur", "chf"]),
            amount_minor=charge["amount_minor"],
            amount=charge["amount"],
            created_at=self.moment(),
            payload="{}",
            _fetched_at=self.loaded_at,
        )
        self.put("charges", charge_id=charge["charge_id"], is_disputed=True)

    def new_marketing(self) -> None:
        for number, channel in enumerate(["Google Ads", "facebook"], start=1):
            file: Row = {"_file_name": f"{self.day}.csv", "_file_modified_at": self.loaded_at}
            self.put(
                "marketing_spend",
                date=self.day - timedelta(days=self.random.randint(1, 3)),
                channel=self.random.choice([channel, channel.lower(), f"{channel} "]),
                campaign_name=f"Campaign {number}",
                spend=Decimal(self.random.randint(0, 50_000)) / 100,
                impressions=self.random.randint(0, 10_000),
                clicks=self.random.randint(0, 500),
                **file,
            )
            self.put(
                "campaign_performance",
                date=self.day - timedelta(days=self.random.randint(1, 3)),
                campaign_id=f"cmp-{number}",
                campaign_name=f"Campaign {number}",
                channel=channel,
                conversions=self.random.randint(0, 40),
                revenue_attributed=Decimal(self.random.randint(0, 200_000)) / 100,
                **file,
            )

    # --- DuckDB ---

    def write(self, folder: Path) -> None:
        """Write everything as it stands to ``ecommerce_raw.duckdb`` in the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        with duckdb.connect(str(folder / "ecommerce_raw.duckdb")) as connection:
            create_raw_tables(connection)
            for name, table in TABLES.items():
                insert(connection, table, self.tables[name].values())
            connection.executemany(
                "insert into loads.load_records (load_id, source, day, committed_at) values (?, ?, "
                "?, ?)",
                [
                    [load["load_id"], load["source"], load["day"], load["committed_at"]]
                    for load in self.loads
                ],
            )


def insert(connection: duckdb.DuckDBPyConnection, table: RawTable, rows: Iterable[Row]) -> None:
    """Append rows, given by column name, to a raw table."""
    schema = pa.schema(
        [pa.field(column.name, arrow_type(column.type)) for column in _columns(table)]
    )
    batch = pa.Table.from_pylist(list(rows), schema=schema)  # noqa: F841 - DuckDB finds it by name
    connection.execute(
        f"insert into {table.schema.lower()}.{table.raw_name.lower()} by name select * from batch"
    )
