"""Airflow DAG: loads one day of the shop's products from PostgreSQL into RAW_PRODUCTS."""

from __future__ import annotations

from wiring.extraction import extraction_dag

DOC = """
### What it does
Every day at 06:00 UTC it loads the shop's products that changed up to 06:00 UTC of that day from
PostgreSQL into `RAW_PRODUCTS`, then announces the day on the Dataset `raw_products`. When all six
sources have announced the same day, `ecommerce_dbt` runs for it.

### When it fails
Nothing half-loaded is left: clear the task, or trigger the DAG for the day, and it finishes the
job. The alert names the error; the runbook (docs/runbook.md) has a section for each. The other
five sources are not held up; dbt waits for this one.

### Who cares
Margins and categories. Merchandising reads it.
"""

dag = extraction_dag("products", DOC)
