"""Airflow plugin: no start without the pool of one slot, because days would be lost."""

from __future__ import annotations

import sys
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

from pipeline.pool import PUBLISH_POOL, complaint_about


@hookimpl
def on_starting(component: object) -> None:
    """End scheduler, triggerer or DAG processor with a sentence unless the pool is as it must be.

    Airflow logs and forgets what a listener raises, so this ends the process itself.
    """
    from airflow.jobs.job import Job

    # A task has no access to the metadata database, and started after the check.
    if not isinstance(component, Job):
        return
    from airflow.models.pool import Pool

    pool = Pool.get_pool(PUBLISH_POOL)
    if complaint := complaint_about(pool.slots if pool else None):
        raise SystemExit(complaint)


class PublishPoolPlugin(AirflowPlugin):
    """Registers the check."""

    name = "publish_pool"
    listeners: list[Any] = [sys.modules[__name__]]  # noqa: RUF012  as the base class declares it
