"""The page on Airflow's real API server: PostgreSQL, the project's DAGs, no scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from sandbox.postgres import EmbeddedPostgres
from tests.builders.chromium import launched
from tests.builders.served_page import Served, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def served(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with serving(postgres, tmp_path_factory.mktemp("pipeline_page")) as page:
        yield page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium
