"""A published shop: raw rows, the real dbt project, its tests, the publication of the page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.settings import settings
from tests.builders.published_shop import PublishedShop, build


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> PublishedShop:
    """Published once; tests only read it."""
    return build(tmp_path_factory.mktemp("published_shop"), tmp_path_factory.mktemp("dbt_target"))


@pytest.fixture(autouse=True)
def nothing_remembered() -> Iterator[None]:
    """Settings and the page's cache belong to one test."""
    import streamlit as st

    settings.cache_clear()
    st.cache_data.clear()
    yield
    settings.cache_clear()


@pytest.fixture
def serving(shop: PublishedShop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PublishedShop:
    """The environment in which the page finds the published shop."""
    empty = tmp_path / "empty.env"
    empty.touch()
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(empty))
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(shop.warehouse.duckdb_dir))
    monkeypatch.delenv("WAREHOUSE_KIND", raising=False)
    return shop
