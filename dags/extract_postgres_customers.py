"""Airflow DAG: loads one day of the shop's customers from PostgreSQL into RAW_CUSTOMERS."""

from __future__ import annotations

from wiring.extraction import extraction_dag
from wiring.on_call import postgres_doc

DOC = postgres_doc(
    "customers", who_cares="Customer tiers and lifetime value. Marketing and support read it."
)
dag = extraction_dag("customers", DOC)
