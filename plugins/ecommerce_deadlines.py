"""Airflow plugin: lets scheduler, API server and dag-processor know the sources' deadlines."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin

from alerting.deadlines import RunThatCanBeLate


class EcommerceDeadlines(AirflowPlugin):
    """Needed by every Airflow process: a scheduler ends with an error at an unknown reference."""

    name = "ecommerce_deadlines"
    deadline_references = [RunThatCanBeLate]  # noqa: RUF012 - Airflow's way of declaring what a plugin brings
