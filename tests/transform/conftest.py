"""A tiny dbt project over a tiny warehouse: quick enough to run dbt for real in every test."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest

from tests.builders.tiny_project import PROJECT_FILES, Shop
from transform.settings import TransformSettings
from warehouse.settings import WarehouseSettings


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Three orders of 2026-11-22 in raw, nothing built."""
    warehouse = WarehouseSettings(duckdb_dir=tmp_path / "warehouse")
    warehouse.duckdb_dir.mkdir()
    made = Shop(warehouse, TransformSettings(project_dir=tmp_path / "project", threads=2))
    for path, text in PROJECT_FILES.items():
        made.write(path, text)
    made.raw(
        """create schema postgres; create schema loads;
           create table postgres.raw_orders (order_id integer, status varchar,
                                              amount decimal(12, 2), _loaded_at timestamp);
           create table loads.load_records
               (load_id varchar, source varchar, day date, committed_at timestamp,
                rows_extracted bigint)"""
    )
    made.load(
        "L1",
        date(2026, 11, 22),
        "(1, 'paid', 10.00), (2, 'open', 5.50), (3, 'paid', 4.50)",
        datetime(2026, 11, 22, 6, 1),
    )
    return made
