"""A warning is told when it is new, by name, and not again."""

from __future__ import annotations

import json
import logging
from datetime import date, datetime
from typing import TYPE_CHECKING, get_args

import pytest

import transform
from transform.news import with_news
from transform.results import DataTest, Layer
from warehouse.runs import RawState, Run

if TYPE_CHECKING:
    from tests.builders.tiny_project import Shop

DAY = date(2026, 11, 22)
TEST = "not_null_fct_orders_label"  # of severity warn: orders with a status that nobody has named


def checked(shop: Shop) -> transform.TestResult:
    for layer in get_args(Layer):
        transform.run_layer(layer, DAY, **shop.settings())
    return transform.test_all(DAY, **shop.settings())


def load(shop: Shop, order_id: int, hour: int) -> None:
    rows = f"({order_id}, 'unheard of', 1.00)"
    shop.load(f"L{order_id}", DAY, rows, datetime(2026, 11, 22, hour))


def test_a_warning_is_news_once(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    load(shop, 4, 7)
    first = checked(shop)
    assert first.new_warnings == {TEST: 1}
    assert first.as_dict()["tests"][0]["new_rows"] == 1
    publication = transform.publish_marts(DAY, **shop.settings())
    assert publication.warnings == [
        {"test": TEST, "model": "fct_orders", "rows": 1, "new_rows": 1, "keys": [{"order_id": "4"}]}
    ]
    assert transform.read_publication(warehouse=shop.warehouse) == publication

    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="transform"):
        quiet = checked(shop)
    assert (quiet.warned, quiet.new_warnings) == (1, {})
    assert "new rows" not in caplog.text
    assert transform.publish_marts(DAY, **shop.settings()).warnings == []

    load(shop, 5, 8)
    load(shop, 6, 9)
    assert checked(shop).new_warnings == {TEST: 2}
    (warning,) = transform.publish_marts(DAY, **shop.settings()).warnings
    assert (warning["rows"], warning["new_rows"]) == (3, 2)
    assert sorted(key["order_id"] for key in warning["keys"]) == ["5", "6"]


def test_what_was_not_published_is_told_again(shop: Shop) -> None:
    load(shop, 4, 7)
    assert checked(shop).new_warnings == {TEST: 1}
    load(shop, 5, 8)
    assert checked(shop).new_warnings == {TEST: 2}
    transform.publish_marts(DAY, **shop.settings())
    assert checked(shop).new_warnings == {}


def test_rows_that_are_mended_hide_no_new_ones(shop: Shop) -> None:
    load(shop, 4, 7)
    load(shop, 5, 8)
    checked(shop)
    transform.publish_marts(DAY, **shop.settings())
    shop.raw("delete from postgres.raw_orders where order_id = 4")
    assert checked(shop).new_warnings == {}
    transform.publish_marts(DAY, **shop.settings())
    shop.raw("delete from postgres.raw_orders where order_id = 5")
    load(shop, 6, 9)
    assert checked(shop).new_warnings == {TEST: 1}


def warned(rows: int, keys: list[str], new_rows: int = 0) -> DataTest:
    named = tuple({"order_id": key} for key in keys)
    return DataTest("test", "model", "warn", "warn", rows, 0.1, keys=named, new_rows=new_rows)


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        (warned(2, ["1", "2"]), warned(2, ["2", "3"]), ["3"]),
        (warned(1, ["1"]), warned(2, ["1", "1"]), ["1"]),
        (warned(900, ["1", "2"]), warned(901, ["1", "2"]), [None]),
        (warned(900, ["1", "2"]), warned(899, ["1", "3"]), []),
    ],
    ids=["another row", "a second row of a key", "one of many more", "one of many fewer"],
)
def test_rows_are_told_apart_by_key_or_counted(
    before: DataTest, now: DataTest, new: list[str | None]
) -> None:
    at = datetime(2026, 11, 22, 6)
    raw = RawState("", {}, {})
    run = Run("test", DAY, at, at, True, "", raw, [json.loads(json.dumps(before.as_dict()))])
    (found,) = with_news([now], run, at)
    assert found.new_rows == len(new)
    if new != [None]:
        assert [key["order_id"] for key in found.keys][: len(new)] == new
