"""Reconciliation finds and repairs what no window can: rows altered, deleted or doubled."""

from __future__ import annotations

from contextlib import closing
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from ingestion.reconcile import Report, reconcile
from ingestion.reconcile.comparison import BUCKET_KEYS
from pipeline.errors import MissingInputError
from pipeline.sources import CUSTOMERS, ORDER_ITEMS, PRODUCTS, source
from tests.builders.postgres_shop import DAY, NEXT_DAY, Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

FIRST, SECOND, FAR = 1, 2, BUCKET_KEYS * 5 + 3


class ReconciledShop(Shop):
    def spoil(self, statement: str) -> None:
        """Change the warehouse by hand."""
        with self.warehouse.session("change rows", writes=True) as connection:
            connection.execute(statement)

    def repaired(self) -> Report:
        """Repair, and check that source and warehouse agree after it."""
        report = self.reconcile(repair=True)
        assert report.repaired and report.is_equal
        assert self.reconcile().is_equal
        self.assert_equal()
        return report


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> ReconciledShop:
    shop = ReconciledShop(source_db, warehouse)
    for order_id in (FIRST, SECOND, FAR):
        shop.order(order_id, shipping_city="Zürich", shipping_state=None, shipping_zip="")
    shop.load()
    return shop


def keys(report: Report, kind: str) -> list[int]:
    return [key for difference in report.differences for key in getattr(difference, kind)]


def test_equal_sides_have_no_difference(shop: ReconciledShop) -> None:
    report = shop.reconcile()
    assert report.is_equal and (report.rows, report.buckets) == (3, 2)
    assert "are equal" in str(report)


def test_every_type_and_null_compare_equal(shop: ReconciledShop) -> None:
    shop.source.execute(
        "insert into customers values (1, 'a@b.c', null, '', 'x', 'ü', null, 'CA', 'US', '0', "
        "'2026-03-01', '2026-03-02 01:02:03.4')"
    )
    shop.source.execute(
        "insert into products values (1, 'Lamp', null, '', 19.90, -3.50, 0.75, false, "
        "'0001-01-01', "
        "'2026-03-02 00:00:00.000001'), "
        "(2, 'Bed', null, '', 0.00, null, null, null, null, null), (-20001, 'Odd', '', '', 1, 1, "
        "1, true, '2026-03-01', null)"
    )
    shop.source.execute(
        "insert into order_items values (1, 1, 1, 2, 3.50, null, 7.00, '2026-03-01')"
    )
    shop.source.execute(
        "alter table products add extra jsonb default '{\"a\": 1.50}', add odd char(3) default "
        "'x', add f float8 default 0.1"
    )
    for table in (CUSTOMERS, PRODUCTS, ORDER_ITEMS):
        shop.load(DAY, table)
        report = shop.reconcile(name=table.name)
        assert report.is_equal, str(report)
        assert report.rows > 0


def test_a_row_changed_behind_the_watermark_is_found_and_repaired(shop: ReconciledShop) -> None:
    shop.load(NEXT_DAY)
    shop.change(FIRST, "sneaked", "2026-03-01 00:00:00")
    shop.load(NEXT_DAY)
    assert shop.statuses()[FIRST] == "pending"
    assert keys(shop.reconcile(), "changed") == [FIRST]
    assert shop.repaired().rows_reloaded == 2  # the bucket of FIRST and SECOND, not FAR
    assert shop.statuses()[FIRST] == "sneaked"


def test_a_row_changed_without_a_new_version_is_found_and_repaired(shop: ReconciledShop) -> None:
    shop.source.execute("update orders set total_amount = 10.01 where order_id = %s", (FAR,))
    assert keys(shop.reconcile(), "changed") == [FAR]
    shop.repaired()


def test_a_row_that_commits_far_behind_the_watermark_is_found_and_repaired(
    shop: ReconciledShop,
) -> None:
    shop.load(NEXT_DAY)
    shop.order(7, "2026-01-01 00:00:00")
    assert keys(shop.reconcile(), "missing") == [7]
    shop.repaired()


def test_a_row_deleted_in_the_source_is_marked_and_stays_marked(shop: ReconciledShop) -> None:
    shop.source.execute("delete from orders where order_id = %s", (SECOND,))
    found = shop.reconcile()
    assert keys(found, "deleted") == [SECOND] and not found.is_equal
    assert "deleted in the source (2)" in str(found)
    assert shop.repaired().rows_marked == 1
    assert shop.raw("order_id, _deleted_at is not null") == [
        (FIRST, False),
        (SECOND, True),
        (FAR, False),
    ]
    shop.load(NEXT_DAY)
    assert shop.reconcile().is_equal


def test_a_row_that_comes_back_is_no_longer_marked(shop: ReconciledShop) -> None:
    shop.source.execute(
        "create table kept as select * from orders where order_id = 2; delete from orders where "
        "order_id = 2"
    )
    shop.repaired()
    shop.source.execute("insert into orders select * from kept")
    assert keys(shop.reconcile(), "missing") == [SECOND]
    shop.repaired()


def test_a_whole_bucket_deleted_in_the_source_is_found(shop: ReconciledShop) -> None:
    shop.source.execute("delete from orders where order_id = %s", (FAR,))
    assert keys(shop.reconcile(), "deleted") == [FAR]
    shop.repaired()


@pytest.mark.parametrize(
    "spoiled",
    [
        f"update postgres.raw_orders set total_amount = 0 where order_id = {FIRST}",
        f"update postgres.raw_orders set shipping_zip = null where order_id = {FIRST}",
        f"update postgres.raw_orders set shipping_state = '' where order_id = {FIRST}",
        "update postgres.raw_orders set shipping_city = shipping_zip, shipping_zip = "
        f"shipping_city where order_id = {FIRST}",
        "update postgres.raw_orders set updated_at = '2030-01-01', status = 'x' where order_id = "
        f"{FIRST}",
        f"update postgres.raw_orders set updated_at = '2020-01-01' where order_id = {FIRST}",
        f"update postgres.raw_orders set updated_at = null where order_id = {FIRST}",
        f"update postgres.raw_orders set _deleted_at = now()::timestamp where order_id = {FIRST}",
        f"delete from postgres.raw_orders where order_id = {FIRST}",
    ],
)
def test_a_row_altered_in_the_warehouse_is_found_and_repaired(
    shop: ReconciledShop, spoiled: str
) -> None:
    shop.spoil(spoiled)
    found = shop.reconcile()
    assert keys(found, "changed") + keys(found, "missing") == [FIRST]
    shop.repaired()


def test_two_amounts_exchanged_between_rows_are_found(shop: ReconciledShop) -> None:
    """Count, key sum, newest version and total are the same: only the content tells."""
    shop.source.execute("update orders set total_amount = 25.00 where order_id = 2")
    shop.repaired()
    shop.spoil(
        "update postgres.raw_orders set total_amount = 35.00 - total_amount where order_id in (1, "
        "2)"
    )
    assert sum(row[0] for row in shop.raw("total_amount")) == Decimal("45.00")
    assert keys(shop.reconcile(), "changed") == [FIRST, SECOND]
    shop.repaired()


def test_a_doubled_row_in_the_warehouse_is_found_and_repaired(shop: ReconciledShop) -> None:
    shop.spoil(
        "insert into postgres.raw_orders select * from postgres.raw_orders where order_id = 2"
    )
    assert keys(shop.reconcile(), "changed") == [SECOND]
    shop.repaired()
    assert shop.raw("order_id", where="order_id = 2") == [(2,)]


def test_changes_after_the_watermark_are_not_due_and_no_difference(shop: ReconciledShop) -> None:
    shop.change(FIRST, "paid", "2026-03-10 08:00:00")
    shop.order(9, "2026-03-10 09:00:00")
    assert shop.reconcile().is_equal
    assert shop.statuses()[FIRST] == "pending"


def test_a_repair_leaves_other_rows_and_the_watermark_alone(shop: ReconciledShop) -> None:
    shop.load(NEXT_DAY)
    before = {row[0]: row[1:] for row in shop.raw("order_id, _load_id, _loaded_at, _day")}
    watermark = shop.warehouse.watermark(source("orders"))
    shop.spoil(f"update postgres.raw_orders set total_amount = 0 where order_id = {FIRST}")
    shop.repaired()
    after = {row[0]: row[1:] for row in shop.raw("order_id, _load_id, _loaded_at, _day")}
    assert {key for key in before if before[key] != after[key]} == {FIRST}
    assert shop.warehouse.watermark(source("orders")) == watermark
    assert shop.load(NEXT_DAY).window.start == shop.load(NEXT_DAY).window.start


def test_a_transaction_still_open_in_the_source_is_no_deletion(shop: ReconciledShop) -> None:
    with closing(shop.source.connect()) as deleting, deleting.cursor() as cursor:
        cursor.execute("delete from orders where order_id = 1")
        assert shop.reconcile(repair=True).is_equal
        deleting.commit()
    assert keys(shop.reconcile(), "deleted") == [FIRST]


def test_many_buckets_are_compared_in_portions(shop: ReconciledShop) -> None:
    shop.source.execute(
        "insert into orders (order_id, order_date, status, total_amount, created_at, updated_at) "
        "select 100000 + i * 2000, '2026-03-01', 'pending', i, '2026-03-01', '2026-03-01' from "
        "generate_series(1, 400) i"
    )
    found = shop.reconcile()
    assert len(keys(found, "missing")) == 400 and len(found.differences) > 60
    assert f"and {len(found.differences) - 50} more buckets." in str(found)
    assert shop.repaired().rows_reloaded == 400


def test_a_source_that_was_never_loaded_is_told(shop: ReconciledShop) -> None:
    with pytest.raises(MissingInputError, match="customers was never loaded"):
        shop.reconcile(name="customers")


def test_an_unknown_source_is_told() -> None:
    with pytest.raises(MissingInputError, match="no source called 'carts'"):
        reconcile("carts")


def test_the_shell_says_what_differs_and_repairs_it(
    shop: ReconciledShop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ingestion.__main__ import main
    from pipeline.settings import settings

    given = shop.source.settings
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(shop.warehouse.settings.duckdb_dir))
    monkeypatch.setenv("POSTGRES_PASSWORD", given.password.get_secret_value())
    for name, value in (
        ("HOST", given.host),
        ("PORT", given.port),
        ("DB", given.db),
        ("USER", given.user),
    ):
        monkeypatch.setenv(f"POSTGRES_{name}", str(value))
    settings.cache_clear()
    try:
        assert main(["reconcile", "orders"]) == 0
        shop.source.execute(
            "update orders set total_amount = 11 where order_id = 1; delete from orders where "
            "order_id = 2"
        )
        assert main(["reconcile", "orders"]) == 1
        assert (
            "orders, keys 0 to 9999: 1 changed (1); 1 deleted in the source (2)"
            in capsys.readouterr().out
        )
        assert main(["reconcile", "orders", "--repair"]) == 0
        assert "Repaired: 1 rows read again, 1 marked as deleted." in capsys.readouterr().out
        assert main(["reconcile"]) == 1  # the others were never loaded
    finally:
        settings.cache_clear()
    shop.assert_equal()
