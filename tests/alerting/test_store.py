"""The store of sent alerts keeps what was raised, for whoever looks at a day later."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from alerting.context import alert_of
from alerting.store import claim, newest_errors
from pipeline.settings import settings
from tests.builders.alert_context import ContextOf
from warehouse.settings import WarehouseSettings

ORDERS = ("2026-11-22", "extract_postgres_orders", "extract_postgres_orders")


def ago(hours: int) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=hours)


def test_the_newest_error_of_a_task_is_kept_in_one_masked_line(context_of: ContextOf) -> None:
    first, second = (
        ValueError("the first one"),
        ValueError("no route to postgresql://shop:hunter2@db/shop\nand more"),
    )
    assert claim(alert_of(context_of(first, try_number=1), "retry"))
    assert claim(alert_of(context_of(second, try_number=2), "retry"))
    (said,) = newest_errors(ago(1)).values()
    text = said.text
    assert list(newest_errors(ago(1))) == [ORDERS]
    assert "no route to" in text and "and more" not in text and "hunter2" not in text
    assert newest_errors(ago(-1)) == {}


def test_a_store_of_an_earlier_version_gets_the_column_for_it(context_of: ContextOf) -> None:
    file = Path(settings(WarehouseSettings).duckdb_dir) / "alerts.sqlite"
    file.parent.mkdir(parents=True)
    with sqlite3.connect(file) as connection:
        connection.execute(
            """create table sent_alerts (key varchar primary key, status varchar, day varchar,
               dag_id varchar, run varchar, task_id varchar, try_number integer,
               claimed_at datetime, delivered_at datetime)"""
        )
    assert claim(alert_of(context_of(ValueError("of today")), "retry"))
    assert "of today" in newest_errors(ago(1))[ORDERS].text
