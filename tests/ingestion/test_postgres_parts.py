"""A large table read in parts by several tasks: one load, all or nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ingestion.postgres.parts import Part
from pipeline.errors import PermanentError
from tests.builders.postgres_shop import DAY, NEXT_DAY, Shop

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from warehouse.duckdb.warehouse import DuckDBWarehouse

ROWS = 5_000


@pytest.fixture
def shop(source_db: SourceDatabase, warehouse: DuckDBWarehouse) -> Shop:
    shop = Shop(source_db, warehouse)
    shop.source.execute(
        "insert into orders (order_id, order_date, status, total_amount, created_at, updated_at) "
        "select i * 3, '2026-03-01', 'pending', i, '2026-03-01', '2026-03-01' from "
        "generate_series(1, %s) i",
        (ROWS,),
    )
    shop.source.execute("analyze orders")
    return shop


def test_a_table_below_the_setting_is_one_part(shop: Shop) -> None:
    parts = shop.extractor().plan_parts("orders", DAY)
    assert [(part.low, part.high) for part in parts] == [(None, None)]


def test_a_table_above_the_setting_is_split_and_loaded_as_one(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    parts = extractor.plan_parts("orders", DAY)
    assert len(parts) == 4
    rows = [extractor.extract_part(part) for part in parts]
    assert sum(rows) == ROWS and all(rows)
    assert shop.warehouse.load_records(DAY) == ()
    record = extractor.commit_parts(parts)
    assert record.rows_extracted == ROWS
    assert len(shop.warehouse.load_records(DAY)) == 1
    shop.assert_equal()


def test_there_are_never_more_parts_than_the_setting_allows(shop: Shop) -> None:
    assert len(shop.extractor(split_rows=10, max_parts=7).plan_parts("orders", DAY)) == 7


def test_a_small_day_of_a_large_table_is_one_part(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    extractor.extract_table("orders", DAY)
    shop.change(3, "paid", "2026-03-11 01:00:00")
    assert len(extractor.plan_parts("orders", NEXT_DAY)) == 1


def test_parts_travel_between_tasks_as_json(shop: Shop) -> None:
    for part in shop.extractor(split_rows=1_500).plan_parts("orders", DAY):
        assert Part.from_dict(json.loads(json.dumps(part.as_dict()))) == part


def test_a_part_read_twice_counts_once(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    parts = extractor.plan_parts("orders", DAY)
    for part in [*parts, parts[1], parts[0]]:
        extractor.extract_part(part)
    assert extractor.commit_parts(parts).rows_extracted == ROWS
    shop.assert_equal()


def test_a_missing_part_commits_nothing(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    parts = extractor.plan_parts("orders", DAY)
    for part in parts[:-1]:
        extractor.extract_part(part)
    with pytest.raises(PermanentError, match=parts[-1].name):
        extractor.commit_parts(parts)
    assert shop.warehouse.load_records(DAY) == ()
    extractor.extract_part(parts[-1])
    extractor.commit_parts(parts)
    shop.assert_equal()


def test_a_commit_done_twice_gives_the_same_record(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    parts = extractor.plan_parts("orders", DAY)
    for part in parts:
        extractor.extract_part(part)
    assert extractor.commit_parts(parts) == extractor.commit_parts(parts)


def test_rows_born_and_changed_between_plan_and_parts_are_not_lost(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    parts = extractor.plan_parts("orders", DAY)
    extractor.extract_part(parts[0])
    shop.order(ROWS * 3 + 100, "2026-03-10 05:30:00")
    shop.order(1, "2026-03-10 05:30:00")  # in the range of the part that was read already
    for part in parts[1:]:
        extractor.extract_part(part)
    extractor.commit_parts(parts)
    assert ROWS * 3 + 100 in shop.statuses()
    extractor.extract_table("orders", NEXT_DAY)
    shop.assert_equal()


def test_a_full_refresh_in_parts_replaces_the_table(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    extractor.extract_table("orders", DAY)
    shop.source.execute("delete from orders where order_id %% 2 = 0", ())
    shop.source.execute("analyze orders")
    parts = extractor.plan_parts("orders", DAY, full_refresh=True)
    assert len(parts) == 2
    for part in parts:
        extractor.extract_part(part)
    extractor.commit_parts(parts)
    assert len(shop.raw("order_id", where="_deleted_at is null")) == ROWS // 2
    shop.assert_equal()


def test_undeclared_columns_that_come_and_go_between_parts_stop_nothing(shop: Shop) -> None:
    shop.source.execute("alter table orders add column old text default 'old'")
    extractor = shop.extractor(split_rows=1_500)
    parts = extractor.plan_parts("orders", DAY)
    extractor.extract_part(parts[0])
    shop.source.execute("alter table orders drop column old, add column new text default 'new'")
    for part in parts[1:]:
        extractor.extract_part(part)
    extractor.commit_parts(parts)
    assert shop.raw("old", where="order_id in (3, 15000)") == [("old",), (None,)]
    shop.load(NEXT_DAY)
    assert shop.raw("distinct new") == [("new",)]
    shop.assert_equal()


def test_parts_of_two_plans_are_not_committed_together(shop: Shop) -> None:
    extractor = shop.extractor(split_rows=1_500)
    one, other = extractor.plan_parts("orders", DAY), extractor.plan_parts("orders", DAY)
    with pytest.raises(PermanentError, match="one plan"):
        extractor.commit_parts([one[0], *other[1:]])
