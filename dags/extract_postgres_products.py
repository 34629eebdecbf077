"""Airflow DAG: loads one day of the shop's products from PostgreSQL into RAW_PRODUCTS."""

from __future__ import annotations

from wiring.extraction import extraction_dag
from wiring.on_call import postgres_doc

DOC = postgres_doc("products", who_cares="Margins and categories. Merchandising reads it.")
dag = extraction_dag("products", DOC)
