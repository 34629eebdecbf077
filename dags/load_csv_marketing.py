"""Airflow DAG: loads marketing spend and campaign performance from the CSV inbox."""

from __future__ import annotations

from wiring.extraction import extraction_dag

DOC = """
### What it does
Every day at 06:00 UTC it reads the new and changed files `marketing_spend*.csv` and
`campaign_performance*.csv` of the inbox (`CSV_INBOX`), sets bad rows aside with file, line and
reason, loads the good ones, and announces the day on the Dataset `raw_marketing`. When all six
sources have announced the same day, `ecommerce_dbt` runs for it.

Where a table has no file, or a series is older than usual, it waits: the task sleeps, looks again
every half minute, and an alert names the series once it is late (`CSV_LATE_AFTER_MINUTES`).

### When it fails
The inbox is not there: the error says where it was looked for. A file with too many bad rows, or
without a column: the other files are loaded, the first rejects are in the alert. Put the corrected
file into the inbox and clear the task. See docs/marketing-files.md and docs/runbook.md.

### Who cares
Marketing: return on ad spend, cost per acquisition.
"""

dag = extraction_dag("marketing", DOC)
