"""Airflow DAG: loads one day of the orders' lines from PostgreSQL into RAW_ORDER_ITEMS."""

from __future__ import annotations

from wiring.extraction import extraction_dag
from wiring.on_call import postgres_doc

DOC = postgres_doc(
    "order_items",
    rows="the lines of the shop's orders",
    who_cares="Revenue by product, and the check that an order equals the sum of its lines.",
)
dag = extraction_dag("order_items", DOC)
