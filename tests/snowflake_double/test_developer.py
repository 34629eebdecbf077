"""Whoever tries dbt on Snowflake builds in own schemas, as a role kept off the pipeline's."""

from __future__ import annotations

from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

from tests.builders.dbt_days import BUILD
from tests.builders.raw_shop import TABLES
from tests.builders.run_dbt import PROJECT, failures
from tests.snowflake_double.server import FakeAccount
from transform.dbt_runner import environment
from warehouse.snowflake.warehouse import SnowflakeWarehouse
from warehouse.tables import make_ready


@pytest.mark.slow
def test_a_developer_builds_beside_the_pipeline(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse, tmp_path: Path
) -> None:
    with snowflake_warehouse.session("make raw tables", writes=True) as session:
        for table in TABLES.values():
            make_ready(session, table, table.columns)
    paths = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--log-level", "none"]
    paths += ["--target-path", str(tmp_path), "--log-path", str(tmp_path)]
    variables = snowflake_warehouse.dbt_environment() | snowflake_warehouse.prepare_dev(fresh=False)
    with environment({**variables, "DBT_DEV_USER": "ADA", "DBT_THREADS": "1"}):
        result = dbtRunner().invoke([*BUILD, "--select", "+dim_products", *paths])
        assert result.success, result.exception or failures(result)
        built = fake_snowflake.rights.owned_by("DEVELOPER")
        assert all(schema.startswith("DEV_ADA_") for _, schema, *_ in built)
        assert ("ECOMMERCE_ANALYTICS", "DEV_ADA_MARTS", "DIM_PRODUCTS") in built
