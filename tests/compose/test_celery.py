"""`docker compose --profile celery up -d`: a day on two workers, one of them killed in mid-task."""

from __future__ import annotations

import pytest

from pipeline.days import current_day
from pipeline.sources import SOURCES, source
from sandbox.day import DBT_DAG
from tests.builders.deployment import CELERY, HOLD_WAREHOUSE, Deployment
from tests.builders.running_pipeline import days_ago, eventually

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2400)]

WORKERS = ("airflow-worker-1", "airflow-worker-2")


@pytest.fixture(scope="module")
def deployment(celery_deployment: Deployment) -> Deployment:
    return celery_deployment


def test_the_same_command_with_the_profile_starts_everything_healthy_with_the_secrets_of_make_env(
    deployment: Deployment,
) -> None:
    deployment.shell("make env")
    deployment.up()
    assert (
        f"AIRFLOW_ADMIN_PASSWORD={deployment.password()}\n"
        in (deployment.folder / ".env").read_text()
    )
    states = deployment.states()
    assert {name: states[name] for name in CELERY} == dict.fromkeys(CELERY, "healthy")
    executor = deployment.inside(
        "airflow-scheduler", "airflow", "config", "get-value", "core", "executor"
    )
    assert executor.split()[-1] == "CeleryExecutor"


def hostnames(deployment: Deployment) -> dict[str, str]:
    return {deployment.container(worker)["Config"]["Hostname"]: worker for worker in WORKERS}


def test_a_day_runs_green_on_both_workers(deployment: Deployment) -> None:
    """They open the same DuckDB files in turn: the file lock holds on their shared volume."""
    day, names = days_ago(1), hostnames(deployment)
    with deployment.holding(HOLD_WAREHOUSE):
        runs = deployment.trigger(day)
        for name, run_id in runs.items():
            deployment.await_task(name, run_id, "running")
    run = deployment.await_dbt(day)
    tasks = [deployment.task(name, run_id) for name, run_id in runs.items()]
    tasks += deployment.api.task_instances(DBT_DAG, run["dag_run_id"])
    assert {names[task["hostname"]] for task in tasks} == set(WORKERS)
    figures = deployment.figures()
    assert figures["published"] == figures["orders"] == figures["keys"] > 500
    assert figures["loads"] == len(SOURCES)


def test_a_worker_is_killed_in_mid_task_and_the_day_is_finished_by_the_other(
    deployment: Deployment,
) -> None:
    day, names = current_day(), hostnames(deployment)
    with deployment.holding(HOLD_WAREHOUSE):
        runs = deployment.trigger(day)
        for name, run_id in runs.items():
            deployment.await_task(name, run_id, "running")
        held = {
            name: names[deployment.task(name, run_id)["hostname"]] for name, run_id in runs.items()
        }
        lost = held["orders"]
        deployment.compose("kill", lost)
    victims = [name for name, worker in held.items() if worker == lost]

    def tried_again() -> bool:
        return all(deployment.task(name, runs[name])["try_number"] > 1 for name in victims)

    eventually("every task of the killed worker is tried again", tried_again)
    deployment.await_dbt(day)
    for name in victims:
        task = deployment.task(name, runs[name])
        assert (task["state"], names[task["hostname"]]) == (
            "success",
            next(worker for worker in WORKERS if worker != lost),
        ), name
        assert any(f"[RETRY] {source(name).dag_id}" in text for text in deployment.messages()), name
    figures = deployment.figures()
    assert figures["published"] == figures["orders"] == figures["keys"]
    assert figures["loads"] == 2 * len(SOURCES)
