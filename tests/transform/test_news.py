"""A warning is told when it is new, by name, and not again."""

from __future__ import annotations

import logging
from datetime import date, datetime
from typing import TYPE_CHECKING, get_args

import pytest

import transform
from transform.results import Layer

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
    transform.publish_marts(DAY, **shop.settings())

    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="transform"):
        quiet = checked(shop)
    assert (quiet.warned, quiet.new_warnings) == (1, {})
    assert TEST not in "".join(
        record.getMessage() for record in caplog.records if record.name.startswith("transform.l")
    )
    transform.publish_marts(DAY, **shop.settings())

    load(shop, 5, 8)
    load(shop, 6, 9)
    assert checked(shop).new_warnings == {TEST: 2}


def test_what_was_not_published_is_told_again(shop: Shop) -> None:
    load(shop, 4, 7)
    assert checked(shop).new_warnings == {TEST: 1}
    load(shop, 5, 8)
    assert checked(shop).new_warnings == {TEST: 2}
    transform.publish_marts(DAY, **shop.settings())
    assert checked(shop).new_warnings == {}


def test_rows_that_are_mended_are_no_news(shop: Shop) -> None:
    load(shop, 4, 7)
    load(shop, 5, 8)
    checked(shop)
    transform.publish_marts(DAY, **shop.settings())
    shop.raw("delete from postgres.raw_orders where order_id = 4")
    assert checked(shop).new_warnings == {}
