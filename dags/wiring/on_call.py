"""What whoever is on call reads of a DAG in Airflow's UI."""

from __future__ import annotations

from pipeline.sources import source

_LOADED_FROM_POSTGRES = """
### What it does
Every day at 06:00 UTC it loads {rows} that changed up to 06:00 UTC of that day from PostgreSQL
into `{table}`, then announces the day on the Dataset `raw_{name}`. When all six sources have
announced the same day, `ecommerce_dbt` runs for it.

### When it fails
Nothing half-loaded is left: clear the task, or trigger the DAG for the day, and it finishes the
job. The alert names the error; the runbook (docs/runbook.md) has a section for each. The other
sources are not held up; dbt waits for this one.

### Who cares
{who_cares}
"""


def postgres_doc(name: str, *, who_cares: str, rows: str | None = None) -> str:
    """Of a DAG that loads one table from PostgreSQL. ``rows`` defaults to "the shop's NAME"."""
    (table,) = source(name).tables
    return _LOADED_FROM_POSTGRES.format(
        name=name, table=table.raw_name, rows=rows or f"the shop's {name}", who_cares=who_cares
    )
