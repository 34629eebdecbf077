"""Models and columns are documented on one page, written again when the project changes."""

from __future__ import annotations

import logging
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

import transform
from transform.documentation import docs_address
from transform.results import Layer

if TYPE_CHECKING:
    from tests.builders.object_store import S3Double
    from tests.builders.tiny_project import Shop

DAY = date(2026, 11, 22)


@pytest.fixture
def built(shop: Shop) -> Shop:
    for layer in get_args(Layer):
        transform.run_layer(layer, DAY, **shop.settings())
    return shop


def test_the_page_holds_every_model_its_columns_and_its_sql(built: Shop) -> None:
    page = Path(transform.write_docs(**built.settings()))
    assert page == built.warehouse.duckdb_dir / "published" / "docs" / "index.html"
    text = page.read_text()
    assert "INLINE DATA" not in text, "the data are in the page: it opens without a server"
    for name in (
        "stg_orders",
        "int_orders",
        "fct_orders",
        "orders_history",
        "labels",
        "no_negative_orders",
    ):
        assert f".tiny.{name}" in text
    assert '"comment": null' in text or '"comment":null' in text, (
        "the catalog of the warehouse is in it"
    )
    assert "left join" in text
    assert [path.name for path in sorted(page.parent.iterdir())] == ["index.html", "project"]


def test_a_day_that_changes_no_file_of_the_project_costs_nothing(built: Shop) -> None:
    first = Path(transform.write_docs(**built.settings())).stat()
    again = Path(transform.write_docs(**built.settings())).stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    built.write(
        "models/marts/helper.sql",
        "{{ config(meta={'published': false}) }} select 1 as counted_again",
    )
    transform.run_layer("marts", DAY, **built.settings())
    assert "counted_again" in Path(transform.write_docs(**built.settings())).read_text()


def test_a_publication_stands_although_its_documentation_cannot_be_written(
    built: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    built.write("models/marts/helper.sql", "select {{ no_such_macro() }}")
    with caplog.at_level(logging.WARNING):
        assert transform.refresh_docs(**built.settings()) is None
    assert any("could not be written" in record.getMessage() for record in caplog.records)
    assert not Path(docs_address(built.dbt, built.warehouse)).exists()
    with pytest.raises(transform.ProjectError, match="no_such_macro"):
        transform.write_docs(**built.settings())


def test_the_page_can_be_elsewhere(built: Shop) -> None:
    folder = built.warehouse.duckdb_dir / "web"
    elsewhere = built.dbt.model_copy(update={"docs_path": str(folder)})
    page = transform.write_docs(dbt=elsewhere, warehouse=built.warehouse)
    assert Path(page).parent == folder


def test_the_page_can_be_on_an_object_store(built: Shop, s3: S3Double) -> None:
    elsewhere = built.dbt.model_copy(update={"docs_path": f"s3://{s3.bucket}/docs"})
    page = transform.write_docs(dbt=elsewhere, warehouse=built.warehouse)
    assert page == f"s3://{s3.bucket}/docs/index.html"
    assert s3.list() == {"docs/index.html", "docs/project"}
    assert b".tiny.fct_orders" in s3.read("docs/index.html")
    written = s3.written_at("docs/index.html")
    transform.write_docs(dbt=elsewhere, warehouse=built.warehouse)
    assert s3.written_at("docs/index.html") == written
