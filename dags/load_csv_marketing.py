"""Airflow DAG: loads marketing spend and campaign performance from the CSV inbox."""

from __future__ import annotations

from wiring.extraction import extraction_dag

DOC = """
### What it does
Every day at 06:00 UTC it reads `marketing_spend*.csv` and `campaign_performance*.csv` from the
inbox (`CSV_INBOX`), sets bad rows aside with file, line and reason, loads the good ones, and
announces the day on the Dataset `raw_marketing`. When all six sources have announced the same
day, `ecommerce_dbt` runs for it.

### When it fails
A missing file: the error says where it was looked for. Too many bad rows: nothing was loaded; the
rejects are in the alert and in `LOADS.REJECTED_ROWS` of the last good load. Put the corrected
file into the inbox and clear the task. See docs/runbook.md.

### Who cares
Marketing: return on ad spend, cost per acquisition.
"""

dag = extraction_dag("marketing", DOC)
