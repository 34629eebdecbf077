"""A tiny dbt project over a tiny warehouse: quick enough to run dbt for real in every test."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

import duckdb

from transform.settings import TransformSettings
from warehouse.settings import WarehouseSettings

PROJECT_FILES = {
    "dbt_project.yml": """
name: tiny
version: "1.0.0"
profile: tiny
flags: {send_anonymous_usage_stats: false}
models:
  tiny:
    staging: {+database: ecommerce_staging, +schema: staging, +materialized: view}
    intermediate: {+database: ecommerce_analytics, +schema: intermediate, +materialized: table}
    marts: {+database: ecommerce_analytics, +schema: marts, +materialized: table}
seeds: {tiny: {+database: ecommerce_staging, +schema: seeds}}
snapshots: {tiny: {+database: ecommerce_analytics, +schema: snapshots}}
data_tests: {tiny: {+store_failures: true, +schema: test_failures}}
""",
    "profiles.yml": """
tiny:
  target: duckdb
  outputs:
    duckdb:
      type: duckdb
      path: "{{ env_var('WAREHOUSE_DUCKDB_DIR') }}/ecommerce_analytics.duckdb"
      schema: marts
      threads: "{{ env_var('DBT_THREADS', '4') | as_number }}"
      attach:
        - {path: "{{ env_var('WAREHOUSE_DUCKDB_DIR') }}/ecommerce_raw.duckdb",
           alias: ecommerce_raw, read_only: true}
        - {path: "{{ env_var('WAREHOUSE_DUCKDB_DIR') }}/ecommerce_staging.duckdb",
           alias: ecommerce_staging}
""",
    "macros/schema_name.sql": (
        "{% macro generate_schema_name(name, node) %}{{ name or target.schema }}{% endmacro %}"
    ),
    "seeds/labels.csv": "status,label\npaid,Paid\nopen,Open\n",
    "models/sources.yml": """
sources:
  - name: postgres
    database: ecommerce_raw
    tables:
      - name: raw_orders
        config:
          loaded_at_field: _loaded_at
          freshness: {warn_after: {count: 12, period: hour}, error_after: {count: 24, period: hour}}
""",
    "models/staging/stg_orders.sql": (
        "select order_id, status, amount from {{ source('postgres', 'raw_orders') }}"
    ),
    "models/intermediate/int_orders.sql": """
select orders.*, labels.label from {{ ref('stg_orders') }} as orders
left join {{ ref('labels') }} as labels using (status)""",
    "models/marts/fct_orders.sql": "select * from {{ ref('int_orders') }}",
    "models/marts/fct_totals.sql": (
        "select count(*) as orders, sum(amount) as amount from {{ ref('fct_orders') }}"
    ),
    "models/marts/helper.sql": "{{ config(meta={'published': false}) }} select 1 as one",
    "models/marts/marts.yml": """
models:
  - name: fct_orders
    columns:
      - name: order_id
        data_tests: [unique, not_null]
      - name: label
        data_tests:
          - not_null: {config: {severity: warn}}
""",
    "tests/no_negative_orders.sql": (
        "select order_id, amount, 'x' as note from {{ ref('fct_orders') }} where amount < 0"
    ),
    "snapshots/orders_history.yml": """
snapshots:
  - name: orders_history
    relation: ref('stg_orders')
    config: {unique_key: order_id, strategy: check, check_cols: [status]}
""",
}


@dataclass(frozen=True)
class Shop:
    """The warehouse with its raw orders, and the project on top of it."""

    warehouse: WarehouseSettings
    dbt: TransformSettings

    def settings(self) -> dict[str, WarehouseSettings | TransformSettings]:
        return {"warehouse": self.warehouse, "dbt": self.dbt}

    def raw(self, statement: str) -> None:
        with duckdb.connect(str(self.warehouse.duckdb_dir / "ecommerce_raw.duckdb")) as connection:
            connection.execute(statement)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """Rows of a query on what dbt built."""
        from warehouse import open_warehouse

        with open_warehouse(self.warehouse).marts() as session:
            return session.rows(sql)

    def load(self, load_id: str, day: date, rows: str, loaded_at: datetime) -> None:
        """Commit raw orders, ``(1, 'paid', 10.00), ...``, with a load record."""
        self.raw(
            f"""insert into postgres.raw_orders select *, timestamp '{loaded_at}'
                from (values {rows});
                insert into loads.load_records
                values ('{load_id}', 'orders', '{day}', '{loaded_at}', {rows.count("(")})"""
        )

    def write(self, path: str, text: str) -> None:
        file = self.dbt.project_dir / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
