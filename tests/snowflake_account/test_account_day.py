"""Days on a real account: dbt, history, publication, readers' rights, one day through Airflow."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest
import snowflake.connector

import transform
from infrastructure.snowflake.statements import Account
from ingestion.load import load
from ingestion.reconcile import reconcile
from pipeline.days import current_day, upper_bound
from pipeline.settings import settings
from pipeline.sources import SOURCES
from sandbox.day import run_day
from sandbox.layout import Layout
from sandbox.shop import live, open_shop
from sandbox.stack import Stack
from warehouse import open_warehouse
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.sign_in import sign_in

pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def stack(environment: Account, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Stand-ins for the sources, a small shop, Airflow, and the account for the rest."""
    before = dict(os.environ)
    account = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(("SNOWFLAKE_", "WAREHOUSE_KIND"))
    }
    made = Stack(Layout(tmp_path_factory.mktemp("sandbox")), extra_env=account)
    try:
        made.start_stand_ins(print)
        os.environ.update(made.pipeline_settings())
        settings.cache_clear()
        open_shop(
            *made.shop_address, scale=0.01, until=upper_bound(current_day() - timedelta(days=1))
        )
        yield made
    finally:
        made.stop(print)
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


def run_whole(day_offset: int) -> transform.Publication:
    day = current_day() + timedelta(days=day_offset)
    for source in SOURCES:
        load(source.name, day)
    for layer in ("staging", "intermediate", "marts"):
        transform.run_layer(layer, day)  # type: ignore[arg-type]
    transform.test_all(day)
    return transform.publish_marts(day)


def test_a_day_and_the_next_with_all_tests(stack: Stack, environment: Account) -> None:
    first = run_whole(-1)
    live(
        *stack.shop_address,
        upper_bound(current_day() - timedelta(days=1)),
        upper_bound(current_day()),
    )
    second = run_whole(0)
    assert first.models["fct_orders"] < second.models["fct_orders"]
    assert second.tests_passed > 100
    for source in SOURCES:
        assert reconcile(source.name).is_equal, source.name
    with open_warehouse().marts() as session:
        versions = "select count(*) > count(distinct customer_id) from SNAPSHOTS.CUSTOMER_HISTORY"
        assert session.rows(versions) == [(True,)]
        names, (row,) = session.table("show tables like 'FCT_ORDERS' in schema MARTS")
        table = dict(zip(names, row, strict=True))
        assert table["kind"] == "TRANSIENT" and "ORDER_DATE" in str(table["cluster_by"]).upper()


def test_the_analyst_reads_what_is_published_before_and_after_a_swap(
    stack: Stack, environment: Account
) -> None:
    given = settings(SnowflakeSettings)
    arguments = {"account": given.account, "user": given.user, **sign_in(given).arguments()}
    named = {"role": given.named("ANALYST"), "warehouse": given.named("REPORTING_WH")}
    with snowflake.connector.connect(
        **arguments, **named, database=given.named("ECOMMERCE_ANALYTICS")
    ) as connection:
        connection.cursor().execute("use secondary roles none")
        counted = "select count(*) from PUBLISHED.FCT_ORDERS"
        before = connection.cursor().execute(counted).fetchone()  # type: ignore[union-attr]
        current = transform.read_publication()
        again = transform.publish_marts(current_day())
        assert current is not None and again.models == current.models
        assert connection.cursor().execute(counted).fetchone() == before  # type: ignore[union-attr]
        transform.rollback()
        assert connection.cursor().execute(counted).fetchone() == before  # type: ignore[union-attr]


def test_a_full_day_through_airflow(stack: Stack, environment: Account) -> None:
    stack.start_airflow(print)
    day = current_day()
    run = run_day(stack.api, stack.layout, day, 1800, lambda steps: None)
    assert run.done
    publication = transform.read_publication()
    assert publication is not None and publication.built_for == day
    tags = open_warehouse().query(
        "select distinct try_parse_json(query_tag):dag::varchar "
        "from table(information_schema.query_history(result_limit => 10000)) where "
        "try_parse_json(query_tag):dag is not null"
    )
    assert {"extract_postgres_orders", "ecommerce_dbt"} <= {str(tag) for (tag,) in tags}
