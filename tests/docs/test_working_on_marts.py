"""docs/working-on-marts.md followed to the letter, in a clone with a published day."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import pytest

from pipeline.settings import PROJECT
from tests.builders.page_to_follow import blocks_of
from tests.builders.raw_shop import RawShop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DAY = date(2026, 11, 22)
BLOCKS = blocks_of(PROJECT / "docs" / "working-on-marts.md")
PARTS = ("dbt_ecommerce", "pipeline", "warehouse", "transform")


class Clone:
    """A clone of the project in which the pipeline has published a day."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.warehouse = folder, folder / ".local" / "warehouse"
        ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
        for part in PARTS:
            shutil.copytree(PROJECT / part, folder / part, ignore=ignored)
        for name in ("Makefile", "pyproject.toml", "requirements-dev.txt", "requirements-uv.txt"):
            shutil.copy(PROJECT / name, folder / name)
        (folder / "sandbox").mkdir()
        shutil.copy(PROJECT / "sandbox" / "setup.sh", folder / "sandbox")
        (folder / ".venv").mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (folder / ".venv" / name).symlink_to(Path(sys.prefix) / name)
        (folder / ".venv" / ".installed").touch()
        self.warehouse.mkdir(parents=True)
        shop = RawShop(seed=9, first_day=DAY)
        shop.open(customers=40, products=12, orders=160)
        shop.write(self.warehouse)
        with duckdb.connect(str(self.warehouse / "ecommerce_raw.duckdb")) as connection:
            connection.execute("update loads.load_records set rows_extracted = 1")
        self.run(f".venv/bin/python -m transform all --day {DAY}")

    def run(self, script: str, *, succeeds: bool = True) -> str:
        foreign = ("DBT_", "WAREHOUSE_", "SNOWFLAKE_", "ECOMMERCE_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        done = subprocess.run(
            ["bash", "-euc", script],
            cwd=self.folder,
            env={**kept, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=400,
        )
        assert (done.returncode == 0) == succeeds, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def follow(self, title: str) -> str:
        return self.run(BLOCKS[title].text)

    def files_of_the_pipeline(self) -> dict[str, str]:
        files = [*self.warehouse.glob("*.duckdb*"), *self.warehouse.glob("published/**/*.duckdb")]
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(files)}


def test_whoever_follows_the_page_changes_a_mart_and_adds_one(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "project")
    before = clone.files_of_the_pipeline()
    assert len(before) == 5

    said = clone.follow("In a shell: build a mart and all that reads it")
    assert "marts.fct_orders" in said
    assert " ERROR=0 " in said
    assert "ecommerce.marts.fct_daily_revenue" in clone.follow("In a shell: plain dbt")

    for title, block in BLOCKS.items():
        if title.startswith("dbt_ecommerce/"):
            block.put(clone.folder)
    clone.follow("In a shell: try the column")
    changed = clone.follow("In a shell: see what it changes")
    assert json.loads(changed[changed.index("{") : changed.rindex("}") + 1])["show"] == []
    assert "marts.fct_category_revenue" in clone.follow("In a shell: try the mart")
    with duckdb.connect(str(clone.warehouse / "dev" / "ecommerce_analytics.duckdb")) as own:
        revenue, by_category = (
            own.execute(f"select sum(gross_revenue) from marts.{mart}").fetchone()
            for mart in ("dim_products", "fct_category_revenue")
        )
        per_unit = own.execute(
            "select bool_and(revenue_per_unit = round(gross_revenue / units_sold, 4)) "
            "from marts.dim_products where units_sold > 0"
        ).fetchone()
    assert revenue is not None and by_category is not None
    assert by_category[0] >= revenue[0] > 0
    assert per_unit == (True,)

    for sql in (
        "delete from production.published.fct_orders",
        "create table ecommerce_raw.postgres.mine as select 1 as one",
    ):
        said = clone.run(
            f"make dbt ARGS='run-operation run_query --args \"{{sql: {sql}}}\"'", succeeds=False
        )
        assert "read-only" in said
    assert clone.files_of_the_pipeline() == before


def test_the_new_mart_is_well_written(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "target", "logs")
    shutil.copytree(PROJECT / "dbt_ecommerce", folder / "dbt_ecommerce", ignore=ignored)
    for name in ("pyproject.toml", ".sqlfluff"):
        if (PROJECT / name).exists():
            shutil.copy(PROJECT / name, folder / name)
    for title, block in BLOCKS.items():
        if title.startswith("dbt_ecommerce/"):
            block.put(folder)
    lint, documentation = BLOCKS["In a shell, at the end"].text.strip().splitlines()
    assert documentation == "make docs"
    command = lint.replace(".venv/bin/sqlfluff", str(Path(sys.prefix) / "bin" / "sqlfluff"))
    done = subprocess.run(command.split(), cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
