"""dbt's sources are the tables of ``pipeline/sources.py``, each table and column described."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.contracts import METADATA_COLUMNS, RawTable
from pipeline.sources import SOURCES

MODELS = Path(__file__).resolve().parents[2] / "dbt_ecommerce" / "models"
DECLARED = [(source.name, table) for source in SOURCES for table in source.tables]


def described_sources() -> dict[tuple[str, str], dict[str, Any]]:
    """Tables by schema and name as the yml files describe them, with their source's freshness."""
    tables = {}
    for path in MODELS.rglob("*__sources.yml"):
        for source in yaml.safe_load(path.read_text())["sources"]:
            for table in source["tables"]:
                freshness = source.get("config", {}).get("freshness")
                tables[source["schema"], table["name"]] = table | {
                    "database": source["database"],
                    "freshness": freshness,
                }
    return tables


DESCRIBED = described_sources()


def test_dbt_knows_every_raw_table_and_no_other() -> None:
    declared = {(table.schema.lower(), table.raw_name.lower()) for _, table in DECLARED}
    assert {key for key in DESCRIBED if key[0] != "loads"} == declared


@pytest.mark.parametrize(
    ("load", "table"), DECLARED, ids=lambda value: getattr(value, "name", value)
)
def test_a_source_table_is_described_as_declared(load: str, table: RawTable) -> None:
    described = DESCRIBED[table.schema.lower(), table.raw_name.lower()]
    columns = [column["name"] for column in described["columns"]]
    assert columns == [column.name for column in (*table.columns, *METADATA_COLUMNS)]
    assert described["database"].endswith("}}ecommerce_raw"), (
        "without the prefix of a second environment"
    )
    assert len(described["description"]) > 20
    assert all(len(column["description"]) > 3 for column in described["columns"])
    assert described["freshness"] == {
        "warn_after": {"count": 12, "period": "hour"},
        "error_after": {"count": 24, "period": "hour"},
    }
    assert f"source = '{load}'" in described["config"]["loaded_at_query"], (
        "freshness looks at another load"
    )


def test_every_raw_table_has_one_staging_view() -> None:
    views = {path.stem.removeprefix("stg_"): path.parent.name for path in MODELS.rglob("stg_*.sql")}
    assert views == {table.name: table.schema.lower() for _, table in DECLARED}
