"""What a model reads is what dbt's graph says it reads, and staging reads raw only."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from tests.builders.dbt_days import A_DAY, BUILD
from tests.builders.raw_shop import RawShop
from tests.builders.run_dbt import runner

pytestmark = pytest.mark.slow


def tables_of(sql: str) -> set[str]:
    """Every table of a database that a statement names."""
    return {
        table.sql(dialect="duckdb").split(" AS ")[0].replace('"', "").lower()
        for table in sqlglot.parse_one(sql, dialect="duckdb").find_all(exp.Table)
        if table.db
    }


def test_no_model_reads_another_behind_dbts_back(tmp_path: Path, target_path: Path) -> None:
    dbt, shop = runner(tmp_path, target_path), RawShop(2, date(2026, 11, 1))
    shop.open()
    shop.write(tmp_path)
    first = dbt(*BUILD)
    shop.next_day()
    shop.write(tmp_path)
    manifest = {}
    compiled = 0
    for results in (first, dbt(*A_DAY)):
        nodes = [result.node for result in results.result.results]
        manifest |= {node.unique_id: node.relation_name for node in nodes if node.relation_name}
        for node in nodes:
            if node.resource_type not in ("model", "snapshot"):
                continue
            compiled += 1
            names = {
                manifest[parent].replace('"', "").lower()
                for parent in node.depends_on.nodes
                if not parent.startswith("source.")
            }
            itself = node.relation_name.replace('"', "").lower()
            read = {name for name in tables_of(node.compiled_code) if "ecommerce_raw" not in name}
            raw = tables_of(node.compiled_code) - read
            assert read - {itself} <= names, node.name
            assert not raw or node.fqn[1] == "staging", node.name
            assert itself not in read or node.fqn[1] != "staging"
            if node.fqn[1] == "staging":
                assert {name.split(".")[1] for name in read} <= {"seeds"}, node.name
    assert compiled > 50
