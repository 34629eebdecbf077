"""How a task announces: its identity across retries, and what the pool of one slot is for.

Every announcement of a day belongs to a round: the first is complete when all six sources have
announced the day, and makes dbt run. A seventh event alone would begin a round that nothing ever
completes, so after the first round a source never
announces alone again: the whole day is announced again by `rebuild_day`, all six Datasets in one
transaction.

Who has announced what is kept in the warehouse, beside the load records. Airflow's events cannot be
asked from a task: reading them fails with an internal error of the API server as long as a run they
have created is still queued (3.3.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def announcement_id(context: Mapping[str, Any], of: str) -> str:
    """The same for all tries of one announcement, another one when a person clears the task.

    Args:
        of: what is announced, for example the id of the load.
    """
    task_instance = context["ti"]
    first_try = task_instance.max_tries - context["task"].retries + 1
    return f"{of}/{task_instance.dag_id}/{task_instance.run_id}/{first_try}"
