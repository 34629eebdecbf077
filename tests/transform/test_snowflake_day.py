"""A whole first day on Snowflake by settings alone: six loads, dbt's layers, publication."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
import snowflake.connector

import transform
from alerting.sla import Breach, _record
from infrastructure.snowflake.statements import FOLDER, Account, read
from ingestion.load import load
from ingestion.reconcile import reconcile
from pipeline.days import current_day, upper_bound
from pipeline.gate import IncompleteDayError, check_complete
from pipeline.settings import PROJECT, settings
from pipeline.sources import SOURCES
from sandbox.layout import Layout
from sandbox.shop import open_shop
from sandbox.stack import Stack
from tests.snowflake_double.rules import findings
from warehouse import open_warehouse

if TYPE_CHECKING:
    from tests.snowflake_double.server import FakeAccount

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shop(fake_snowflake: FakeAccount, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A small shop in real stand-ins, and settings that name the Snowflake account."""
    before = dict(os.environ)
    folder = tmp_path_factory.mktemp("snowflake")
    extra = {
        **fake_snowflake.variables,
        "SNOWFLAKE_STAGING_DIR": str(folder / "staged"),
        "DBT_THREADS": "1",
    }
    extra |= {"DBT_TARGET_PATH": str(folder / "target"), "DBT_LOG_PATH": str(folder / "logs")}
    stack = Stack(Layout(folder / "sandbox"), extra_env=extra)
    fake_snowflake.reset()
    made = [
        statement
        for statement in read(FOLDER / "02_databases.sql", Account())
        if statement.startswith("create ")
    ]
    connection = snowflake.connector.connect(
        account="fakesnow",
        user="x",
        password="x",
        host="127.0.0.1",
        port=fake_snowflake.port,
        protocol="http",
    )
    for statement in made:
        connection.cursor().execute(statement)
    connection.close()
    try:
        stack.start_stand_ins(lambda text: None)
        os.environ.update(stack.pipeline_settings())
        settings.cache_clear()
        open_shop(*stack.shop_address, scale=0.0005, until=upper_bound(current_day()))
        yield stack
    finally:
        stack.stop(lambda text: None)
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


def test_a_day_goes_from_its_sources_to_what_is_published(
    shop: Stack, fake_snowflake: FakeAccount
) -> None:
    day, warehouse = current_day(), open_warehouse()
    sent, counted, every = fake_snowflake.statements, {}, set()
    for source in SOURCES[:-1]:
        sent.clear()
        load(source.name, day)
        counted[source.name] = len(sent)
        every |= set(sent)
    with pytest.raises(IncompleteDayError, match="marketing"):
        check_complete(day, warehouse.load_records(day))
    sent.clear()
    load("marketing", day)
    counted["marketing"] = len(sent)
    assert {found for statement in {*every, *sent} for found in findings(statement)} == set()
    counted.pop("orders")  # the first load has made the loader's own tables
    page = (PROJECT / "docs" / "cost.md").read_text()
    said = {name: int(n) for name, n in re.findall(r"^\| load of (\w+) \| (\d+) \|", page, re.M)}
    assert said == pytest.approx(counted, rel=0.15)
    loads = check_complete(day, warehouse.load_records(day))
    assert [loaded["source"] for loaded in loads] == [source.name for source in SOURCES]

    for name in ("orders", "order_items"):
        assert reconcile(name).is_equal, name

    layers = [transform.run_layer(layer, day) for layer in ("staging", "intermediate", "marts")]  # type: ignore[arg-type]
    marts = {model.name: model.rows for model in layers[-1].models}
    orders = next(loaded["rows"] for loaded in loads if loaded["source"] == "orders")
    assert marts["fct_orders"] == orders > 0
    assert marts["fct_payments"]

    assert transform.test_all(day).passed > 90
    publication = transform.publish_marts(day)
    assert publication.models["fct_orders"] == orders
    assert set(publication.load_ids) == {source.name for source in SOURCES}
    assert transform.read_published("select count(*) from published.fct_orders") == [(orders,)]

    tags = [
        statement for statement in fake_snowflake.statements if "query_tag" in statement.lower()
    ]
    assert all("Fake-Pass" not in statement for statement in fake_snowflake.statements), tags


def test_a_breach_is_recorded_once(shop: Stack) -> None:
    breach = Breach(
        "pipeline",
        current_day(),
        timedelta(minutes=30),
        upper_bound(current_day()).astimezone(),
        "orders",
    )
    for _ in range(2):
        _record(breach)
    found = open_warehouse().query("select scope, sla_seconds, waiting_for from loads.sla_breaches")
    assert found == [("pipeline", 1800.0, "orders")]
