"""The contract of a warehouse.

Every implementation of ``Warehouse`` passes the same tests (parametrise ``warehouse``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from pipeline.contracts import INTEGER, TEXT, Column
from pipeline.errors import ContractError, PermanentError
from pipeline.records import LoadRecord, TableCounts
from pipeline.rejects import Reject
from pipeline.sources import (
    CHARGES,
    DISPUTES,
    MARKETING_SPEND,
    ORDER_ITEMS,
    PRODUCTS,
    REFUNDS,
    source,
)
from tests.builders.loads import (
    DAY,
    END,
    SHOP,
    T0,
    WINDOW,
    Row,
    batch,
    counts,
    load,
    names,
    product,
    products,
)
from warehouse import Load, Warehouse


@pytest.fixture(params=["duckdb", pytest.param("snowflake", marks=pytest.mark.slow)])
def warehouse(request: pytest.FixtureRequest) -> Warehouse:
    """Each test runs on both: DuckDB, and Snowflake's connector on a fake account."""
    found: Warehouse = request.getfixturevalue(
        "warehouse" if request.param == "duckdb" else "snowflake_warehouse"
    )
    return found


# --- what a load brings


def test_a_load_brings_its_rows_exactly_and_stamps_them(warehouse: Warehouse) -> None:
    row = product(
        1,
        price="12345678.90",
        cost=Decimal("-0.01"),
        weight_kg=None,
        is_active=True,
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678901),
    )
    record = load(warehouse, row)
    (stored,) = products(warehouse, "*")
    assert stored[: len(PRODUCTS.columns)] == tuple(row.values())
    load_id, loaded_at, day, deleted_at = stored[len(PRODUCTS.columns) :]
    assert (load_id, day, deleted_at) == (record.load_id, DAY, None)
    assert record.started_at <= loaded_at <= record.committed_at


def test_money_and_json_keep_their_types(warehouse: Warehouse) -> None:
    charge = dict.fromkeys(CHARGES.column_names) | {
        "charge_id": "ch_1",
        "status": "succeeded",
        "currency": "jpy",
        "amount_minor": 2**40,
        "amount": Decimal("999999999999999.999"),
        "created_at": T0,
        "payload": json.dumps({"id": "ch_1", "amount": 1.10, "text": 'quote " and ünicode'}),
        "_fetched_at": T0,
    }
    with warehouse.begin_load(source("charges"), DAY, WINDOW) as open_load:
        open_load.stage(CHARGES, [batch([charge], CHARGES)])
        record = open_load.commit(END)
    assert [table.table for table in record.tables] == ["charges", "refunds", "disputes"]
    ((amount, payload),) = warehouse.query(
        "select amount, payload from ecommerce_raw.stripe.raw_charges"
    )
    assert amount == Decimal("999999999999999.999")
    assert json.loads(str(payload)) == json.loads(charge["payload"])
    types = dict(
        warehouse.query(
            "select lower(column_name), upper(data_type) from information_schema.columns where "
            "lower(table_name) = 'raw_charges'"
        )
    )
    assert types["amount"] in ("DECIMAL(18,3)", "NUMBER")
    assert types["payload"] in ("JSON", "VARIANT")
    assert set(warehouse.raw_columns(REFUNDS)) >= set(REFUNDS.column_names)
    assert warehouse.query("select count(*) from ecommerce_raw.stripe.raw_disputes") == [(0,)]
    assert set(warehouse.raw_columns(DISPUTES)) >= {"_load_id", "_loaded_at", "_day", "_deleted_at"}


def test_a_day_without_rows_is_a_load_too(warehouse: Warehouse) -> None:
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        record = open_load.commit(END)
    assert record.rows_extracted == 0
    assert [loaded.load_id for loaded in warehouse.load_records(DAY)] == [record.load_id]
    assert products(warehouse) == []


# --- upsert


def test_the_same_load_twice_changes_nothing(warehouse: Warehouse) -> None:
    assert counts(load(warehouse, product(1), product(2))) == (2, 0, 0)
    before = products(warehouse, "*")
    assert counts(load(warehouse, product(2), product(1))) == (0, 0, 2)
    assert products(warehouse, "*") == before


def test_a_newer_version_replaces_an_older_one_and_never_the_other_way_round(
    warehouse: Warehouse,
) -> None:
    load(warehouse, product(1, "first"), product(2, "other"))
    assert counts(
        load(warehouse, product(1, "second", updated_at=T0 + timedelta(microseconds=1)))
    ) == (0, 1, 0)
    assert counts(load(warehouse, product(1, "first"), product(3, "new"))) == (1, 0, 1)
    assert names(warehouse) == {1: "second", 2: "other", 3: "new"}


def test_the_same_version_with_other_content_replaces(warehouse: Warehouse) -> None:
    load(warehouse, product(1, cost=None))
    assert counts(load(warehouse, product(1, cost=Decimal("0.00")))) == (0, 1, 0)
    assert products(warehouse, "cost") == [(Decimal("0.00"),)]
    assert counts(load(warehouse, product(1, cost=None))) == (0, 1, 0)
    assert products(warehouse, "cost") == [(None,)]


def test_a_version_from_the_future_is_replaced_by_any_sane_one(warehouse: Warehouse) -> None:
    load(warehouse, product(1, "wrong", updated_at=datetime(2099, 1, 1)))
    load(warehouse, product(1, "wrong later", updated_at=datetime(2099, 1, 2)))
    load(warehouse, product(1, "wrong", updated_at=datetime(2099, 1, 1)))
    assert names(warehouse) == {1: "wrong later"}
    load(warehouse, product(1, "right", updated_at=T0))
    load(warehouse, product(1, "older", updated_at=T0 - timedelta(days=1)))
    assert names(warehouse) == {1: "right"}


def test_a_row_without_version_is_loaded_and_is_older_than_any_with_one(
    warehouse: Warehouse,
) -> None:
    assert counts(load(warehouse, product(1, "unversioned", updated_at=None))) == (1, 0, 0)
    assert counts(load(warehouse, product(1, "still unversioned", updated_at=None))) == (0, 1, 0)
    assert counts(load(warehouse, product(1, "versioned"))) == (0, 1, 0)
    assert counts(load(warehouse, product(1, "unversioned", updated_at=None))) == (0, 0, 1)
    assert names(warehouse) == {1: "versioned"}


def test_of_several_staged_rows_with_one_key_the_newest_counts(warehouse: Warehouse) -> None:
    late = T0 + timedelta(hours=1)
    for round_trip in range(2):
        with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
            open_load.stage(
                PRODUCTS,
                [batch([product(1, "new", updated_at=late), product(2, "b"), product(2, "a")])],
            )
            open_load.stage(
                PRODUCTS,
                [
                    batch(
                        [product(1, "old"), product(2, "c"), product(1, "oldest", updated_at=None)]
                    )
                ],
            )
            assert counts(open_load.commit(END)) == ((2, 0, 4) if round_trip == 0 else (0, 0, 6))
        assert names(warehouse) == {1: "new", 2: "c"}


def test_a_key_of_several_columns_identifies_a_row(warehouse: Warehouse) -> None:
    def spend(channel: str, amount: str, modified_at: datetime = T0) -> Row:
        row = {
            "date": DAY,
            "channel": channel,
            "campaign_name": 'Winter\'s "sale"',
            "spend": Decimal(amount),
        }
        return row | {"_file_name": "spend.csv", "_file_modified_at": modified_at}

    for rows, expected in (
        (
            [spend("search", "1.00"), spend("social", "2.00")],
            TableCounts("marketing_spend", 2, 2, 0, 0),
        ),
        (
            [spend("search", "1.50", T0 + timedelta(days=1)), spend("mail", "3.00")],
            TableCounts("marketing_spend", 2, 1, 1, 0),
        ),
    ):
        with warehouse.begin_load(source("marketing"), DAY, WINDOW) as open_load:
            open_load.stage(MARKETING_SPEND, [batch(rows, MARKETING_SPEND)])
            assert open_load.commit(None).tables[0] == expected
    found = warehouse.query(
        "select channel, spend from ecommerce_raw.csv_uploads.raw_marketing_spend order by channel"
    )
    assert found == [
        ("mail", Decimal("3.00")),
        ("search", Decimal("1.50")),
        ("social", Decimal("2.00")),
    ]


def test_content_seen_again_later_is_unchanged_but_nothing_older_replaces_it_any_more(
    warehouse: Warehouse,
) -> None:
    def deliver(spend: str, hour: int) -> TableCounts:
        row = {
            "date": DAY,
            "channel": "search",
            "campaign_name": "Winter",
            "spend": Decimal(spend),
            "_file_name": f"{hour}.csv",
        }
        with warehouse.begin_load(source("marketing"), DAY, WINDOW) as open_load:
            modified_at = {"_file_modified_at": T0 + timedelta(hours=hour)}
            open_load.stage(MARKETING_SPEND, [batch([row | modified_at], MARKETING_SPEND)])
            return open_load.commit(None).tables[0]

    stored = "select spend, _file_name, _load_id from ecommerce_raw.csv_uploads.raw_marketing_spend"
    deliver("1.00", hour=1)
    ((_, _, load_id),) = warehouse.query(stored)
    assert deliver("1.00", hour=3).unchanged == 1
    assert deliver("2.00", hour=2).unchanged == 1
    assert warehouse.query(stored) == [(Decimal("1.00"), "3.csv", load_id)]


def test_days_loaded_in_reverse_give_the_same_table(warehouse: Warehouse) -> None:
    load(warehouse, product(1, "today", updated_at=T0 + timedelta(days=1)), product(3), day=DAY)
    load(warehouse, product(1, "yesterday"), product(2), day=DAY - timedelta(days=1))
    assert names(warehouse) == {1: "today", 2: "Mug", 3: "Mug"}


# --- whole or not at all


def test_leaving_without_commit_leaves_nothing(warehouse: Warehouse) -> None:
    load(warehouse, product(1))
    with warehouse.begin_load(SHOP, DAY + timedelta(days=1), WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch([product(1, "changed", updated_at=END), product(2)])])
    with (
        pytest.raises(RuntimeError),
        warehouse.begin_load(SHOP, DAY + timedelta(days=1), WINDOW) as open_load,
    ):
        open_load.stage(PRODUCTS, [batch([product(3)])])
        raise RuntimeError("the source broke off")
    assert names(warehouse) == {1: "Mug"}
    assert warehouse.load_records(DAY + timedelta(days=1)) == ()


def test_a_source_that_breaks_off_while_rows_stream_leaves_nothing(warehouse: Warehouse) -> None:
    def stream() -> Iterator[pa.RecordBatch]:
        yield batch([product(1)])
        raise ConnectionError("server closed the connection")

    with pytest.raises(ConnectionError), warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, stream())
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        assert open_load.commit(None).rows_extracted == 0


def test_nothing_is_visible_before_the_commit(warehouse: Warehouse) -> None:
    load(warehouse, product(1, "old"))
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch([product(1, "new", updated_at=END)])])
        assert names(warehouse) == {1: "old"}
        open_load.commit(END)
        assert names(warehouse) == {1: "new"}


def test_two_loads_of_one_source_at_once_lose_nothing(warehouse: Warehouse) -> None:
    with (
        warehouse.begin_load(SHOP, DAY, WINDOW) as first,
        warehouse.begin_load(SHOP, DAY, WINDOW) as second,
    ):
        first.stage(PRODUCTS, [batch([product(1, "old"), product(2, "first")])])
        second.stage(PRODUCTS, [batch([product(1, "new", updated_at=END), product(3, "second")])])
        second.commit(END)
        first.commit(END - timedelta(hours=1))
    assert names(warehouse) == {1: "new", 2: "first", 3: "second"}
    assert warehouse.watermark(SHOP) == END


# --- load records, watermark, rejects


def test_the_record_says_what_was_loaded(warehouse: Warehouse) -> None:
    assert warehouse.load_records(DAY) == ()
    record = load(warehouse, product(1), product(2))
    assert (record.source, record.day, record.window, record.watermark) == (
        "products",
        DAY,
        WINDOW,
        END,
    )
    assert record.tables == (TableCounts("products", extracted=2, inserted=2),)
    assert record.started_at <= record.extracted_at <= record.committed_at
    assert record.checksum
    assert warehouse.load_records(DAY) == (record,)
    assert warehouse.load_records(DAY - timedelta(days=1)) == ()


def test_the_latest_load_of_a_day_counts_and_sources_come_in_order(warehouse: Warehouse) -> None:
    load(warehouse, product(1))
    with warehouse.begin_load(source("orders"), DAY, WINDOW) as open_load:
        open_load.commit(END)
    again = load(warehouse, product(1))
    assert [record.source for record in warehouse.load_records(DAY)] == ["orders", "products"]
    assert warehouse.load_records(DAY)[1] == again
    assert warehouse.begin_build("run-1", DAY) == warehouse.load_records(DAY)
    assert warehouse.query("select count(*) from ecommerce_raw.loads.load_records") == [(3,)]


def test_rows_of_several_days_are_those_of_their_latest_loads(warehouse: Warehouse) -> None:
    day_before, week_before = DAY - timedelta(days=1), DAY - timedelta(weeks=1)
    for day, rows in ((week_before, 1), (DAY, 2), (DAY, 3)):
        with warehouse.begin_load(SHOP, day, WINDOW) as open_load:
            open_load.stage(PRODUCTS, [batch([product(number) for number in range(rows)])])
            open_load.commit(END)
    with warehouse.begin_load(source("orders"), DAY, WINDOW) as open_load:
        open_load.commit(END)
    assert warehouse.rows_loaded([DAY, day_before, week_before]) == {
        "products": {DAY: 3, week_before: 1},
        "orders": {DAY: 0},
    }
    assert warehouse.rows_loaded([day_before]) == {}


def test_the_watermark_never_moves_backward(warehouse: Warehouse) -> None:
    assert warehouse.watermark(SHOP) is None
    assert load(warehouse, watermark=None).watermark is None
    assert load(warehouse, watermark=END).watermark == END
    assert load(warehouse, watermark=END - timedelta(days=3)).watermark == END
    assert load(warehouse, watermark=None).watermark == END
    assert warehouse.watermark(SHOP) == END
    assert warehouse.watermark(source("orders")) is None


def test_the_checksum_identifies_the_rows(warehouse: Warehouse) -> None:
    first, again, other = (
        load(warehouse, product(1)),
        load(warehouse, product(1)),
        load(warehouse, product(1, price="9.91")),
    )
    assert first.checksum == again.checksum != other.checksum


def test_rejected_rows_are_kept_with_the_load(warehouse: Warehouse) -> None:
    rejects = [
        Reject("price", "not a number", f'{line};"n/a";é', file="products.csv", line=line)
        for line in range(2, 9)
    ]
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch([product(1)])])
        open_load.reject(PRODUCTS, rejects)
    assert warehouse.query("select count(*) from ecommerce_raw.loads.rejected_rows") == [(0,)]
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch([product(1)])])
        open_load.reject(PRODUCTS, rejects[:4])
        open_load.reject(PRODUCTS, rejects[4:])
        record = open_load.commit(END)
    assert record.rows_rejected == 7
    assert record.rejects == tuple(rejects[:5])
    assert warehouse.load_records(DAY) == (record,)
    stored = warehouse.query(
        "select load_id, source, table_name, day, file, line, column_name, reason, text "
        "from ecommerce_raw.loads.rejected_rows order by line"
    )
    assert stored == [
        (
            record.load_id,
            "products",
            "raw_products",
            DAY,
            r.file,
            r.line,
            r.column,
            r.reason,
            r.text,
        )
        for r in rejects
    ]


# --- a changed source


def test_a_reject_is_said_once_and_heals(warehouse: Warehouse) -> None:
    bad_line = Reject("price", "not a number", "2;n/a", file="products.csv", line=2)
    moved = replace(bad_line, line=3)
    other_file = replace(bad_line, file="more.csv")
    bad_key = Reject("price", "does not fit", "1e9", key="7")
    with_comma = Reject("name", "is null", "", key="8")

    def load_rejecting(
        *rejects: Reject, rows: tuple[int, ...] = (1,), **read: list[str]
    ) -> LoadRecord:
        with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
            open_load.stage(PRODUCTS, [batch([product(key) for key in rows])])
            open_load.reject(PRODUCTS, rejects)
            open_load.reread(PRODUCTS, **read)
            return open_load.commit(END)

    def standing() -> set[tuple[object, ...]]:
        return set(
            warehouse.query(
                "select file, key, reason from ecommerce_raw.loads.rejected_rows "
                "where healed_at is null"
            )
        )

    first = load_rejecting(bad_line, other_file, bad_key, with_comma, bad_key)
    assert (first.rows_rejected, first.rows_newly_rejected) == (5, 4)
    again = load_rejecting(moved, bad_key, files=["products.csv"])
    assert (again.rows_rejected, again.rows_newly_rejected, again.rejects) == (2, 0, ())
    assert len(standing()) == 4
    other_fault = replace(bad_key, reason="is negative")
    changed = load_rejecting(other_fault, rows=(8,), files=["products.csv"], keys=["7"])
    assert changed.rejects == (other_fault,)
    assert standing() == {("more.csv", None, "not a number"), (None, "7", "is negative")}
    load_rejecting(rows=(7,))
    assert standing() == {("more.csv", None, "not a number")}
    back = load_rejecting(bad_key)
    assert back.rows_newly_rejected == 1
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch([product(1)])])
        open_load.commit(END, replace=True)
    assert standing() == set()


def test_tables_of_an_earlier_release_gain_what_they_lack(warehouse: Warehouse) -> None:
    load(warehouse, product(1))
    with warehouse.session("make it old", writes=True) as session:
        for statement in (
            "alter table LOADS.REJECTED_ROWS drop column reject_id",
            "alter table LOADS.REJECTED_ROWS drop column key",
            "alter table LOADS.REJECTED_ROWS alter column file set not null",
        ):
            session.execute(statement)
    upgraded: Warehouse = type(warehouse)(warehouse.settings)  # type: ignore[attr-defined,call-arg]
    with upgraded.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch([product(1)])])
        open_load.reject(PRODUCTS, [Reject("price", "does not fit", "1e9", key="7")])
        assert open_load.commit(END).rows_newly_rejected == 1


def test_a_new_column_is_added_and_older_rows_have_no_value_in_it(warehouse: Warehouse) -> None:
    column = Column('colour "x"', TEXT)
    extra = (pa.field(column.name, pa.string()),)
    load(warehouse, product(1), product(2))
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.add_column(PRODUCTS, column)
        open_load.stage(
            PRODUCTS,
            [
                batch(
                    [product(2) | {column.name: "red"}, product(3) | {column.name: "blue"}],
                    extra=extra,
                )
            ],
        )
        assert counts(open_load.commit(END)) == (1, 1, 0)
    assert column.name in warehouse.raw_columns(PRODUCTS)
    assert products(warehouse, 'product_id, "colour ""x"""') == [(1, None), (2, "red"), (3, "blue")]
    load(warehouse, product(3, "without the column", updated_at=END))
    assert products(warehouse, 'product_id, "colour ""x"""') == [(1, None), (2, "red"), (3, "blue")]


def test_a_column_that_was_announced_but_not_committed_is_not_added(warehouse: Warehouse) -> None:
    load(warehouse, product(1))
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.add_column(PRODUCTS, Column("colour", TEXT))
    assert "colour" not in warehouse.raw_columns(PRODUCTS)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda rows: rows.drop_columns(["cost"]), "products lack the column cost"),
        (
            lambda rows: rows.append_column("colour", pa.array(["red"])),
            "products have a column colour",
        ),
        (
            lambda rows: rows.set_column(0, "product_id", pa.array([1], pa.int16())),
            "Column product_id of table products is int16",
        ),
        (
            lambda rows: rows.set_column(4, "price", pa.array([9.9])),
            "Column price of table products is double",
        ),
        (
            lambda rows: rows.set_column(0, "product_id", pa.array([None], pa.int64())),
            "Column product_id of table products",
        ),
        (
            lambda rows: rows.set_column(1, "name", pa.array([None], pa.string())),
            "Column name of table products",
        ),
    ],
)
def test_rows_that_break_the_contract_stop_the_load_by_name(
    warehouse: Warehouse, broken: Any, says: str
) -> None:
    load(warehouse, product(7))
    with (
        pytest.raises(ContractError, match=says),
        warehouse.begin_load(SHOP, DAY, WINDOW) as open_load,
    ):
        open_load.stage(PRODUCTS, [batch([product(8)]), broken(batch([product(1)]))])
    assert names(warehouse) == {7: "Mug"}


def test_columns_may_come_in_any_order(warehouse: Warehouse) -> None:
    rows = batch([product(1)])
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [rows.select(rows.schema.names[::-1])])
        open_load.commit(END)
    assert names(warehouse) == {1: "Mug"}


def test_a_changed_declaration_is_refused_until_a_full_refresh(warehouse: Warehouse) -> None:
    load(warehouse, product(1))
    as_text = replace(
        PRODUCTS,
        columns=tuple(replace(c, type=TEXT) if c.name == "price" else c for c in PRODUCTS.columns),
    )
    changed = replace(SHOP, tables=(as_text,))
    for refresh in (False, True):
        with warehouse.begin_load(changed, DAY, WINDOW) as open_load:
            open_load.stage(as_text, [batch([product(1) | {"price": "9.90 EUR"}], as_text)])
            if refresh:
                open_load.commit(END, replace=True)
            else:
                with pytest.raises(ContractError, match="Column price of the raw table"):
                    open_load.commit(END)
    assert products(warehouse, "price") == [("9.90 EUR",)]


def test_an_integer_that_is_declared_as_a_bigint_is_widened_by_the_next_load(
    warehouse: Warehouse,
) -> None:
    narrow = replace(
        PRODUCTS,
        columns=tuple(
            replace(c, type=INTEGER) if c.name == "product_id" else c for c in PRODUCTS.columns
        ),
    )
    with warehouse.begin_load(replace(SHOP, tables=(narrow,)), DAY, WINDOW) as open_load:
        open_load.stage(narrow, [batch([product(1)], narrow)])
        open_load.commit(END)
    load(warehouse, product(3_000_000_000))
    assert products(warehouse, "product_id") == [(1,), (3_000_000_000,)]


# --- rows that are gone from the source


def test_a_load_marks_rows_whose_keys_are_gone_and_not_those_that_came_since(
    warehouse: Warehouse,
) -> None:
    load(warehouse, product(1), product(2), product(3))
    began = warehouse.now()
    load(warehouse, product(4))
    with warehouse.begin_load(SHOP, DAY, WINDOW, started_at=began) as open_load:
        keys = pa.RecordBatch.from_pydict({"product_id": pa.array([1, 2, 4], pa.int64())})
        assert open_load.stage_gone(PRODUCTS, [keys]) == 3
        open_load.stage(PRODUCTS, [batch([product(2, "Back again", updated_at=T0)])])
        record = open_load.commit(END)
    assert record.tables[0].deleted == 2 and names(warehouse).keys() == {2, 3, 4}
    gone = "product_id, _load_id, _loaded_at, _deleted_at"
    (row,) = [row for row in products(warehouse, gone) if row[3] is not None]
    assert row[:2] == (1, record.load_id) and row[3] == began < row[2] <= record.committed_at


# --- full refresh


def test_a_full_refresh_makes_the_staged_rows_the_whole_table(warehouse: Warehouse) -> None:
    load(warehouse, product(1, "one", updated_at=END), product(2, "two"))
    record = load(
        warehouse,
        product(1, "one, restored"),
        product(3, "three"),
        product(3, "three"),
        replace=True,
    )
    assert names(warehouse) == {1: "one, restored", 3: "three"}
    assert counts(record) == (2, 0, 1)
    assert products(warehouse, "product_id, _load_id, _loaded_at = max(_loaded_at) over ()") == [
        (product_id, record.load_id, True) for product_id in (1, 2, 3)
    ]


def test_a_full_refresh_keeps_what_another_load_has_brought_meanwhile(warehouse: Warehouse) -> None:
    load(warehouse, product(1, "old"), product(2, "gone"), product(4, "old"))
    with warehouse.begin_load(SHOP, DAY, WINDOW) as refresh:
        refresh.stage(PRODUCTS, [batch([product(1, "old"), product(4, "newer", updated_at=END)])])
        load(
            warehouse,
            product(1, "new", updated_at=END),
            product(3, "born"),
            product(4, "new", updated_at=T0 + timedelta(hours=1)),
        )
        refresh.commit(END, replace=True)
    assert names(warehouse) == {1: "new", 3: "born", 4: "newer"}


def test_a_full_refresh_keeps_columns_the_source_has_gained(warehouse: Warehouse) -> None:
    extra = (pa.field("colour", pa.string()),)
    for refresh in (False, True):
        with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
            open_load.add_column(PRODUCTS, Column("colour", TEXT))
            open_load.stage(PRODUCTS, [batch([product(1) | {"colour": "red"}], extra=extra)])
            open_load.commit(END, replace=refresh)
    assert products(warehouse, "product_id, colour") == [(1, "red")]


# --- deleted rows


def keys(*product_ids: int) -> list[pa.RecordBatch]:
    return [
        pa.RecordBatch.from_pydict({"product_id": pa.array([key], pa.int64())})
        for key in product_ids
    ]


def test_rows_gone_from_the_source_are_marked_once(warehouse: Warehouse) -> None:
    assert warehouse.mark_deleted(PRODUCTS, keys(1), END) == 0
    seen_at = load(warehouse, product(1), product(2), product(3)).committed_at
    assert warehouse.mark_deleted(PRODUCTS, keys(1, 3, 3, 99), seen_at) == 2
    assert warehouse.mark_deleted(PRODUCTS, keys(1), seen_at + timedelta(days=1)) == 0
    assert products(warehouse, "product_id, _deleted_at") == [(1, seen_at), (2, None), (3, seen_at)]


def test_a_row_loaded_after_the_source_was_asked_is_not_marked(warehouse: Warehouse) -> None:
    seen_at = load(warehouse, product(1)).committed_at
    load(warehouse, product(1, "touched since", updated_at=END))
    assert warehouse.mark_deleted(PRODUCTS, keys(1), seen_at) == 0


@pytest.mark.parametrize("updated_at", [T0 - timedelta(days=9), T0, END])
def test_a_deleted_row_that_comes_again_is_revived(
    warehouse: Warehouse, updated_at: datetime
) -> None:
    seen_at = load(warehouse, product(1, "first life")).committed_at
    warehouse.mark_deleted(PRODUCTS, keys(1), seen_at)
    assert names(warehouse) == {}
    assert counts(load(warehouse, product(1, "second life", updated_at=updated_at))) == (0, 1, 0)
    assert names(warehouse) == {1: "second life"}


def test_a_row_read_before_it_was_deleted_stays_deleted(warehouse: Warehouse) -> None:
    load(warehouse, product(1))
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        open_load.stage(PRODUCTS, [batch([product(1, "read before", updated_at=END)])])
        seen_at = load(warehouse).committed_at
        assert warehouse.mark_deleted(PRODUCTS, keys(1), seen_at) == 1
        open_load.commit(END)
    assert names(warehouse) == {}


# --- shared loads


def stage_part(warehouse: Warehouse, part: str, *rows: Row, load_id: str = "run-1") -> None:
    with warehouse.begin_load(source("order_items"), DAY, WINDOW, load_id=load_id) as open_load:
        open_load.stage(ORDER_ITEMS, [batch(rows, ORDER_ITEMS)], part=part)


def item(order_item_id: int, quantity: int = 1) -> Row:
    row: Row = dict.fromkeys(ORDER_ITEMS.column_names)
    amount = Decimal("1.00")
    return row | {
        "order_item_id": order_item_id,
        "quantity": quantity,
        "unit_price": amount,
        "line_total": amount,
        "created_at": T0,
    }


def commit_parts(
    warehouse: Warehouse, *parts: str, load_id: str = "run-1", replace: bool = False
) -> LoadRecord:
    with warehouse.begin_load(source("order_items"), DAY, WINDOW, load_id=load_id) as open_load:
        return open_load.commit(END, parts=parts, replace=replace)


def items(warehouse: Warehouse) -> dict[int, int]:
    return dict(
        warehouse.query(
            "select order_item_id, quantity from ecommerce_raw.postgres.raw_order_items"
        )
    )  # type: ignore[arg-type]


def test_parts_of_several_processes_become_one_load(warehouse: Warehouse) -> None:
    stage_part(warehouse, "b", item(3), item(4))
    stage_part(warehouse, "a", item(1), item(2))
    record = commit_parts(warehouse, "a", "b")
    assert items(warehouse) == {1: 1, 2: 1, 3: 1, 4: 1}
    assert (record.load_id, counts(record)) == ("run-1", (4, 0, 0))
    assert warehouse.load_records(DAY) == (record,)


def test_a_retried_part_replaces_its_earlier_one(warehouse: Warehouse) -> None:
    stage_part(warehouse, "a", item(1, quantity=5), item(9))
    stage_part(warehouse, "a", item(1, quantity=6))
    assert counts(commit_parts(warehouse, "a")) == (1, 0, 0)
    assert items(warehouse) == {1: 6}


def test_a_missing_part_stops_the_shared_load(warehouse: Warehouse) -> None:
    stage_part(warehouse, "a", item(1))
    with pytest.raises(PermanentError, match="Parts b of order_items are not staged"):
        commit_parts(warehouse, "a", "b")
    assert warehouse.load_records(DAY) == ()
    stage_part(warehouse, "b", item(2))
    commit_parts(warehouse, "a", "b")
    assert items(warehouse) == {1: 1, 2: 1}


def test_parts_nobody_asked_for_are_not_loaded(warehouse: Warehouse) -> None:
    stage_part(warehouse, "of an earlier plan", item(1))
    stage_part(warehouse, "a", item(2))
    commit_parts(warehouse, "a")
    assert items(warehouse) == {2: 1}


def test_committing_a_shared_load_again_returns_its_record(warehouse: Warehouse) -> None:
    stage_part(warehouse, "a", item(1))
    record = commit_parts(warehouse, "a", replace=True)
    assert commit_parts(warehouse, "a", replace=True) == record
    assert items(warehouse) == {1: 1}
    assert warehouse.query("select count(*) from ecommerce_raw.loads.load_records") == [(1,)]


def test_a_shared_load_belongs_to_one_source_and_day(warehouse: Warehouse) -> None:
    stage_part(warehouse, "a", item(1))
    with (
        pytest.raises(PermanentError, match="run-1 is one of order_items"),
        warehouse.begin_load(SHOP, DAY, WINDOW, load_id="run-1"),
    ):
        pass


def test_a_shared_load_must_name_its_parts(warehouse: Warehouse) -> None:
    with warehouse.begin_load(SHOP, DAY, WINDOW, load_id="run-2") as open_load:
        with pytest.raises(PermanentError, match="say which part"):
            open_load.stage(PRODUCTS, [batch([product(1)])])
        check: Load = open_load
        assert check.load_id == "run-2"


# --- load times


def load_times(warehouse: Warehouse) -> dict[int, datetime]:
    return dict(products(warehouse, "product_id, _loaded_at"))


def test_load_times_only_grow_across_commits_whatever_they_write(warehouse: Warehouse) -> None:
    load(warehouse, product(1), product(2), product(3))
    seen = [load_times(warehouse)]
    written = [{1, 2, 3}]

    def notice(*keys_written: int) -> None:
        seen.append(load_times(warehouse))
        written.append(set(keys_written))

    assert warehouse.mark_deleted(PRODUCTS, keys(1), max(seen[-1].values())) == 1
    notice(1)
    load(warehouse, product(2, "changed", updated_at=END))
    notice(2)
    assert warehouse.mark_deleted(PRODUCTS, keys(2, 3), max(seen[-1].values())) == 2
    notice(2, 3)
    load(warehouse, product(1), product(4), replace=True)
    notice(1, 4)
    for before, after, changed in zip(seen, seen[1:], written[1:], strict=False):
        newest = max(before.values())
        assert {key for key in after if after[key] != before.get(key)} == changed
        assert all(after[key] > newest for key in changed)


def test_a_full_refresh_marks_what_it_does_not_bring_and_deletes_nothing(
    warehouse: Warehouse,
) -> None:
    load(warehouse, product(1), product(2))
    before = load_times(warehouse)
    record = load(warehouse, product(1), replace=True)
    after = load_times(warehouse)
    assert all(after[key] > before[key] for key in (1, 2))
    gone = products(warehouse, "product_id, _load_id, _day, _deleted_at", "_deleted_at is not null")
    assert gone == [(2, record.load_id, DAY, record.started_at)]
    again = load(warehouse, product(1), product(2), replace=True)
    assert names(warehouse) == {1: "Mug", 2: "Mug"}
    assert counts(again) == (2, 0, 0)


def test_a_refresh_leaves_alone_what_was_marked_since_it_began(warehouse: Warehouse) -> None:
    load(warehouse, product(1))
    with warehouse.begin_load(SHOP, DAY, WINDOW) as refresh:
        refresh.stage(PRODUCTS, [batch([product(1)])])
        seen_at = load(warehouse).committed_at
        assert warehouse.mark_deleted(PRODUCTS, keys(1), seen_at) == 1
        refresh.commit(END, replace=True)
    assert names(warehouse) == {}
