"""Airflow DAG: loads one day of the shop's orders from PostgreSQL into RAW_ORDERS."""

from __future__ import annotations

from wiring.extraction import extraction_dag

DOC = """
### What it does
Every day at 06:00 UTC it loads the shop's orders that changed up to 06:00 UTC of that day from
PostgreSQL into `RAW_ORDERS`, then announces the day on the Dataset `raw_orders`. When all six
sources have announced the same day, `ecommerce_dbt` runs for it.

### When it fails
Nothing half-loaded is left: clear the task, or trigger the DAG for the day, and it finishes the
job. The alert names the error; the runbook (docs/runbook.md) has a section for each. The other
five sources are not held up; dbt waits for this one.

### Who cares
Revenue, and every mart that counts orders. Finance reads it first.
"""

dag = extraction_dag("orders", DOC)
