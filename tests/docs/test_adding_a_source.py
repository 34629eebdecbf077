"""docs/adding-a-source.md followed to the letter: a day of the new source is loaded."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest

from pipeline.days import current_day
from pipeline.settings import PROJECT
from tests.builders.page_to_follow import blocks_of

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BLOCKS = blocks_of(PROJECT / "docs" / "adding-a-source.md")
PARTS = (
    "alerting",
    "dags",
    "dashboard",
    "dbt_ecommerce",
    "docs",
    "ingestion",
    "operations",
    "pipeline",
    "sandbox",
    "tests",
    "transform",
    "warehouse",
)

DRAWN = """
from pathlib import Path
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(dag_folder="dags", bundle_path=Path("dags"), bundle_name="dags-folder")
assert not bag.import_errors, bag.import_errors
dag = bag.dags["extract_postgres_suppliers"]
print(dag.timetable.expression, [asset.uri for asset in dag.task_dict["publish"].outlets])
print(sorted(asset.name for asset in bag.dags["ecommerce_dbt"].timetable.asset_condition.objects))
"""


def text_of(title: str) -> str:
    return BLOCKS[title].text


@dataclass(frozen=True)
class Copy:
    """A copy of the project in which the page is followed."""

    folder: Path
    environment: dict[str, str]

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def copy(tmp_path: Path, source_db: SourceDatabase) -> Copy:
    folder = tmp_path / "project"
    ignored = shutil.ignore_patterns("__pycache__", "target", "logs", "site")
    for part in PARTS:
        shutil.copytree(PROJECT / part, folder / part, ignore=ignored)
    for name in ("pyproject.toml", ".env.example", "mkdocs.yml", "Makefile"):
        shutil.copy(PROJECT / name, folder / name)
    (tmp_path / "none.env").touch()
    info = source_db.settings
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "dags")]),
        "ECOMMERCE_ENV_FILE": str(tmp_path / "none.env"),
        "WAREHOUSE_KIND": "duckdb",
        "WAREHOUSE_DUCKDB_DIR": str(tmp_path / "warehouse"),
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "POSTGRES_HOST": info.host,
        "POSTGRES_PORT": str(info.port),
        "POSTGRES_DB": info.db,
        "POSTGRES_USER": info.user,
        "POSTGRES_PASSWORD": info.password.get_secret_value(),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "target"),
    }
    return Copy(folder, environment)


def test_whoever_follows_the_page_has_a_new_source(
    copy: Copy, source_db: SourceDatabase, tmp_path: Path
) -> None:
    source_db.execute(text_of("In the source database"))
    for title, block in BLOCKS.items():
        if title.split("/")[0] in PARTS:
            block.put(copy.folder)

    said = copy.run("bash", "-euc", text_of("In a shell"))
    assert said.startswith(f"suppliers {current_day()}: 2 rows read (2 new")
    with duckdb.connect(
        str(tmp_path / "warehouse" / "ecommerce_raw.duckdb"), read_only=True
    ) as connection:
        rows = connection.execute(
            "select name, credit_limit from postgres.raw_suppliers order by supplier_id"
        ).fetchall()
        loaded = connection.execute(
            "select source, rows_extracted from loads.load_records"
        ).fetchall()
    assert rows == [("Acme", Decimal("1000.10")), ("Globex", Decimal("25000.00"))]
    assert loaded == [("suppliers", 2)]
    assert "0 new, 0 changed" in copy.run("bash", "-euc", text_of("In a shell")), (
        "loading again changes nothing"
    )

    schedule, datasets = copy.run(sys.executable, "-c", DRAWN).strip().splitlines()[-2:]
    assert schedule == "0 6 * * * ['ecommerce://raw/suppliers']"
    assert "raw_suppliers" in datasets, "dbt waits for it"

    where = ["--project-dir", "dbt_ecommerce", "--profiles-dir", "dbt_ecommerce"]
    copy.run("dbt", "--quiet", "build", "--select", "stg_suppliers", *where)
    with duckdb.connect() as connection:
        for name in ("ecommerce_raw", "ecommerce_staging"):
            connection.execute(
                f"attach '{tmp_path / 'warehouse' / name}.duckdb' as {name} (read_only)"
            )
        staged = connection.execute(
            "select supplier_name, country from ecommerce_staging.staging.stg_suppliers order by 1"
        ).fetchall()
    assert staged == [("Acme", "US"), ("Globex", "Canada")]

    check, documentation = text_of("In a shell, at the end").strip().splitlines()
    assert "passed" in copy.run("bash", "-euc", check)
    assert documentation == "make docs"
    copy.run(sys.executable, "-m", "docs.generate")
    assert "### raw_suppliers" in (copy.folder / "docs" / "data-dictionary.md").read_text()


def test_every_block_of_the_page_is_used() -> None:
    assert {title for title in BLOCKS if title.split("/")[0] not in PARTS} == {
        "In the source database",
        "In a shell",
        "In a shell, at the end",
    }
