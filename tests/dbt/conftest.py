"""A target folder that all tests of the dbt project share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def target_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One target folder for all tests: its partial parse makes every start but the first quick."""
    return tmp_path_factory.mktemp("dbt_target")
