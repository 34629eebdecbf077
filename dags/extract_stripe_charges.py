"""Airflow DAG: loads one day of Stripe's charges, refunds and disputes."""

from __future__ import annotations

from wiring.extraction import extraction_dag

DOC = """
### What it does
Every day at 06:00 UTC it loads new charges, refunds and disputes from Stripe, and old charges
that were touched since (refund, dispute, capture), in their current state; then it announces the
day on the Dataset `raw_charges`. When all six sources have announced the same day,
`ecommerce_dbt` runs for it.

### When it fails
Nothing half-loaded is left: clear the task, or trigger the DAG for the day. 401 or 403 means the
API key: it is not retried, a person has to act. 429 means Stripe asked to wait; the load waits as
long as Stripe said. See docs/runbook.md.

### Who cares
Finance: payments, refunds, disputes, and the check of payments against orders.
"""

dag = extraction_dag("charges", DOC)
