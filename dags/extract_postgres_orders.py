"""Airflow DAG: loads one day of the shop's orders from PostgreSQL into RAW_ORDERS."""

from __future__ import annotations

from wiring.extraction import extraction_dag
from wiring.on_call import postgres_doc

DOC = postgres_doc(
    "orders", who_cares="Revenue, and every mart that counts orders. Finance reads it first."
)
dag = extraction_dag("orders", DOC)
