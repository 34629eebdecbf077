"""Airflow plugin: makes the deadlines of the sources' SLAs known to the scheduler, the API server
and the dag-processor.
"""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from alerting.deadlines import RunThatCanBeLate


class EcommerceDeadlines(AirflowPlugin):
    """Every Airflow process needs it: a scheduler that does not know a deadline's reference ends
    with an error.
    """

    name = "ecommerce_deadlines"
    deadline_references = [RunThatCanBeLate]  # noqa: RUF012 - Airflow's way of declaring what a plugin brings
