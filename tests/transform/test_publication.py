"""Consumers read published marts only: tested ones, all at once, and the previous ones can be
brought back.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, get_args

import duckdb
import pytest

import transform
from pipeline.errors import MissingInputError
from transform.publication import published_file
from transform.results import Layer

if TYPE_CHECKING:
    from tests.builders.tiny_project import Shop

DAY = date(2026, 11, 22)

READER = """
import duckdb, sys
file, seen = sys.argv[1], set()
print("ready", flush=True)
while True:
    with duckdb.connect(file, read_only=True) as connection:
        before = connection.execute("select orders from published.fct_totals").fetchone()[0]
        counted = connection.execute("select count(*) from published.fct_orders").fetchone()[0]
        sql = "select publication_id, models->>'fct_orders' from published.publication"
        identity = connection.execute(sql).fetchone()
    if not before == counted == int(identity[1]):
        sys.exit(f"a mix: {before} {counted} {identity}")
    if identity not in seen:
        seen.add(identity)
        print(counted, flush=True)
"""


def build_and_test(shop: Shop, day: date = DAY) -> None:
    for layer in get_args(Layer):
        transform.run_layer(layer, day, **shop.settings())
    transform.test_all(day, **shop.settings())


def published(shop: Shop, sql: str) -> list[tuple[object, ...]]:
    return transform.read_published(sql, shop.warehouse)


def test_the_marts_are_published_with_what_they_are_made_of(shop: Shop) -> None:
    build_and_test(shop)
    publication = transform.publish_marts(DAY, **shop.settings())
    assert publication.models == {"fct_orders": 3, "fct_totals": 1}, "helpers stay inside"
    assert publication.load_ids == {"orders": "L1"}
    assert publication.rows_loaded == {"orders": 3}
    assert (publication.tests_passed, publication.tests_warned) == (4, 0)
    assert transform.read_publication(warehouse=shop.warehouse) == publication
    assert published(
        shop, "select order_id, label, amount from published.fct_orders order by 1"
    ) == shop.query(
        "select order_id, label, amount from ecommerce_analytics.marts.fct_orders order by 1"
    )
    tables = published(
        shop,
        "select table_name from information_schema.tables where table_schema = 'published' order "
        "by 1",
    )
    assert tables == [("fct_orders",), ("fct_totals",), ("publication",), ("restatements",)]


def test_nothing_is_published_before_the_tests_have_passed(shop: Shop) -> None:
    for layer in get_args(Layer):
        transform.run_layer(layer, DAY, **shop.settings())
    with pytest.raises(transform.PublicationError, match="have not passed their tests"):
        transform.publish_marts(DAY, **shop.settings())
    transform.test_all(DAY, **shop.settings())
    transform.publish_marts(DAY, **shop.settings())
    shop.load("L2", DAY, "(4, 'paid', -1.00)", datetime(2026, 11, 22, 7, 0))
    for layer in get_args(Layer):
        transform.run_layer(layer, DAY, **shop.settings())
    with pytest.raises(transform.DataTestError):
        transform.test_all(DAY, **shop.settings())
    with pytest.raises(transform.PublicationError, match="have not passed their tests"):
        transform.publish_marts(DAY, **shop.settings())
    assert published(shop, "select orders from published.fct_totals") == [(3,)]


def test_tests_that_passed_before_the_marts_were_built_again_do_not_count(shop: Shop) -> None:
    build_and_test(shop)
    transform.run_layer("marts", DAY, **shop.settings())
    with pytest.raises(transform.PublicationError):
        transform.publish_marts(DAY, **shop.settings())


def test_marts_of_another_day_are_not_published(shop: Shop) -> None:
    build_and_test(shop)
    with pytest.raises(transform.PublicationError, match="are not those of 2026-11-23"):
        transform.publish_marts(DAY + timedelta(days=1), **shop.settings())


def test_the_day_does_not_go_back_when_an_older_one_is_built_again(shop: Shop) -> None:
    build_and_test(shop)
    transform.publish_marts(DAY, **shop.settings())
    older = DAY - timedelta(days=2)
    shop.load("L0", older, "(4, 'paid', 1.00)", datetime(2026, 11, 22, 8, 0))
    build_and_test(shop, older)
    publication = transform.publish_marts(older, **shop.settings())
    assert (publication.day, publication.built_for) == (DAY, older)
    assert published(shop, "select orders from published.fct_totals") == [(4,)]
    assert publication.load_ids == {"orders": "L0"}


def test_publishing_twice_changes_no_number(shop: Shop) -> None:
    build_and_test(shop)
    first = transform.publish_marts(DAY, **shop.settings())
    second = transform.publish_marts(DAY, **shop.settings())
    assert second.publication_id > first.publication_id
    assert second.models == first.models
    assert published(shop, "select orders, amount from published.fct_totals") == [(3, 20)]


def test_a_reader_sees_the_old_or_the_new_publication_never_a_mix(shop: Shop) -> None:
    build_and_test(shop)
    transform.publish_marts(DAY, **shop.settings())
    file = str(published_file(shop.warehouse))
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, file],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert reader.stdout is not None and reader.stderr is not None
    try:
        assert reader.stdout.readline() == "ready\n"
        assert reader.stdout.readline() == "3\n"
        for extra in range(1, 4):
            shop.load(
                f"L{extra + 1}",
                DAY,
                f"({extra + 10}, 'paid', 1.00)",
                datetime(2026, 11, 22, 6 + extra, 0),
            )
            build_and_test(shop)
            for _ in range(5):
                transform.publish_marts(DAY, **shop.settings())
            assert reader.poll() is None, reader.stderr.read()
            while reader.stdout.readline() != f"{3 + extra}\n":
                assert reader.poll() is None, reader.stderr.read()
    finally:
        reader.terminate()
        reader.communicate(timeout=10)


def test_publishing_does_not_wait_for_a_reader_who_keeps_the_file_open(shop: Shop) -> None:
    build_and_test(shop)
    transform.publish_marts(DAY, **shop.settings())
    program = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True); "
        "print('open', flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", program, str(published_file(shop.warehouse))]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None and reader.stdout.readline() == "open\n"
        transform.publish_marts(DAY, **shop.settings())
        reader.communicate(timeout=10)


def test_a_publish_that_was_killed_leaves_the_old_publication_and_the_next_one_clears_up(
    shop: Shop,
) -> None:
    build_and_test(shop)
    first = transform.publish_marts(DAY, **shop.settings())
    half = published_file(shop.warehouse).parent / "versions" / "20261122T060000.000000Z.unfinished"
    half.write_bytes(b"half a file")
    assert transform.read_publication(warehouse=shop.warehouse) == first
    transform.publish_marts(DAY, **shop.settings())
    assert not half.exists()


def test_the_previous_publication_comes_back_with_one_command(shop: Shop) -> None:
    build_and_test(shop)
    first = transform.publish_marts(DAY, **shop.settings())
    shop.load("L2", DAY, "(4, 'paid', 1.00)", datetime(2026, 11, 22, 7, 0))
    build_and_test(shop)
    second = transform.publish_marts(DAY, **shop.settings())
    command = [sys.executable, "-m", "transform", "rollback"]
    environment = os.environ | {"WAREHOUSE_DUCKDB_DIR": str(shop.warehouse.duckdb_dir)}
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    assert published(shop, "select orders from published.fct_totals") == [(3,)]
    assert transform.read_publication(warehouse=shop.warehouse) == first
    refused = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (
        1,
        "There is no earlier publication to go back to.\n",
    )
    assert transform.rollback(second.publication_id, warehouse=shop.warehouse) == second
    assert published(shop, "select orders from published.fct_totals") == [(4,)]


def test_only_the_newest_publications_are_kept(shop: Shop) -> None:
    build_and_test(shop)
    for _ in range(5):
        publication = transform.publish_marts(DAY, **shop.settings())
        time.sleep(0.001)
    kept = sorted((published_file(shop.warehouse).parent / "versions").iterdir())
    assert len(kept) == shop.dbt.keep_publications == 3
    assert kept[-1].stem == publication.publication_id


def test_a_publication_of_an_earlier_release_is_read_and_followed(shop: Shop) -> None:
    build_and_test(shop)
    first = transform.publish_marts(DAY, **shop.settings())
    with duckdb.connect(str(published_file(shop.warehouse))) as connection:
        connection.execute("alter table published.publication drop column warnings")
        connection.execute("alter table published.publication add column later integer")
    assert transform.read_publication(warehouse=shop.warehouse) == first
    transform.publish_marts(DAY, **shop.settings())
    assert transform.rollback(warehouse=shop.warehouse) == first


def test_reading_before_the_first_publication_says_so(shop: Shop) -> None:
    assert transform.read_publication(warehouse=shop.warehouse) is None
    with pytest.raises(MissingInputError, match="Nothing has been published yet"):
        published(shop, "select 1")


def test_a_published_file_needs_no_other_file(shop: Shop) -> None:
    build_and_test(shop)
    transform.publish_marts(DAY, **shop.settings())
    (shop.warehouse.duckdb_dir / "ecommerce_analytics.duckdb").unlink()
    with duckdb.connect(str(published_file(shop.warehouse)), read_only=True) as connection:
        assert connection.execute(
            "select count(*) from ecommerce_analytics.published.fct_orders"
        ).fetchone() == (3,)
