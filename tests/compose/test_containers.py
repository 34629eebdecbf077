"""`docker compose up -d` from nothing: the specification's checklist on a real engine, in the order of the file."""

from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
import requests

from ingestion.days import current_day
from ingestion.sources import SOURCES
from operations.airflow_api import AirflowApi, AirflowApiError
from operations.pool import PUBLISH_POOL
from sandbox.day import DBT_DAG, DBT_TASKS
from tests.compose.deployment import HOLD_TABLE, HOLD_WAREHOUSE, LOCAL, Deployment, docker
from tests.scheduler.pipeline import days_ago, eventually

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2400)]

DAGS = {source.dag_id for source in SOURCES} | {DBT_DAG, "ecommerce_sla_monitor", "rebuild_day", "reconcile_sources"}
KILL_THE_PROGRAM = "import psutil; psutil.Process(1).children()[0].kill()"  # that of PID 1, which is Docker's, ends with it
COUNT_ORDERS = """
import psycopg2
from ingestion.settings import PostgresSettings, settings
password = settings(PostgresSettings).password.get_secret_value()
source = psycopg2.connect(host="postgres-source", dbname="ecommerce_source", user="postgres", password=password)
with source, source.cursor() as cursor:
    cursor.execute("select count(*) from orders")
    print(cursor.fetchone()[0])
"""


def normalised(requirement: str) -> str:
    """Name and version as PyPI compares them, without extras."""
    name, version = re.sub(r"\[.*?\]", "", requirement).split("==")
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version}"


# --- infrastructure -----------------------------------------------------------------------------------------------------------


def test_one_command_starts_everything_healthy(deployment: Deployment) -> None:
    deployment.up()
    states = deployment.states()
    assert {name: states[name] for name in LOCAL} == dict.fromkeys(LOCAL, "healthy")
    assert (states["configure"], states["airflow-init"]) == ("exited 0", "exited 0")


def test_the_ui_answers_and_lets_in_who_knows_the_password(deployment: Deployment) -> None:
    page = requests.get(deployment.url, timeout=30)
    assert page.ok
    assert "<title>Airflow" in page.text
    assert deployment.api.dag_ids()
    with pytest.raises(AirflowApiError, match="401"):
        AirflowApi(deployment.url, "admin", "admin").dag_ids()


def test_the_scheduler_is_healthy(deployment: Deployment) -> None:
    assert deployment.api.healthy()


def test_every_dag_is_listed_unpaused_and_without_import_errors(deployment: Deployment) -> None:
    api = deployment.api
    assert eventually("the DAG files are loaded", lambda: api.dag_ids() >= DAGS)
    assert api.import_errors() == []
    assert [dag["dag_id"] for dag in api.call("GET", "/dags?limit=100")["dags"] if dag["is_paused"]] == []
    assert api.call("GET", f"/pools/{PUBLISH_POOL}")["slots"] == 1


def test_a_container_can_do_no_more_than_it_must(deployment: Deployment) -> None:
    for service in LOCAL:
        host = deployment.container(service)["HostConfig"]
        assert host["CapDrop"] == ["ALL"] and not host["CapAdd"] and not host["Privileged"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0, service
        assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}, service
        assert host["RestartPolicy"]["Name"] == "unless-stopped", service
    for service in ("airflow-scheduler", "demo-shop", "stripe-emulator"):
        assert deployment.inside(service, "id", "-u").strip() == "50000"
        assert "CapEff:\t0000000000000000" in deployment.inside(service, "cat", "/proc/self/status")
    assert deployment.inside("postgres-source", "id", "-un").strip() == "postgres"
    denied = "touch /opt/pipeline/lib/x || touch /opt/airflow/dags/x || touch /opt/airflow/transform/x || echo denied"
    assert deployment.inside("airflow-scheduler", "bash", "-c", denied).strip() == "denied"


def test_only_this_machine_reaches_the_ports(deployment: Deployment) -> None:
    open_to = {
        (service, binding["HostIp"])
        for service in LOCAL
        for bindings in deployment.container(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert open_to == {(service, "127.0.0.1") for service in ("airflow-api-server", "postgres-source", "slack-inbox")}


def test_the_image_holds_the_lock_and_nothing_else(deployment: Deployment) -> None:
    script = "from importlib.metadata import distributions as d; print(*(f'{found.name}=={found.version}' for found in d()))"
    installed = {normalised(found) for found in deployment.inside("airflow-scheduler", "python", "-c", script).split()}
    lock = (deployment.folder / "requirements-container.txt").read_text()
    assert len(installed) > 150
    assert installed <= {normalised(found) for found in re.findall(r"^\S+==\S+", lock, re.MULTILINE)}
    image = deployment.container("airflow-scheduler")["Image"]
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    environment = json.dumps(json.loads(docker("inspect", image))[0]["Config"]["Env"])
    secret = deployment.password()
    assert secret not in history and secret not in environment


# --- connections --------------------------------------------------------------------------------------------------------------


def test_settings_of_the_env_file_reach_the_containers(deployment: Deployment) -> None:
    found = deployment.inside("airflow-scheduler", "env").splitlines()
    assert {"SNOWFLAKE_ACCOUNT=passed-through", "POSTGRES_HOST=postgres-source", "WAREHOUSE_KIND=duckdb"} <= set(found)


def test_the_source_is_reachable_from_the_containers_and_full(deployment: Deployment) -> None:
    assert int(deployment.inside("airflow-scheduler", "python", "-c", COUNT_ORDERS)) > 500


def test_a_password_that_can_be_guessed_does_not_open_the_source(deployment: Deployment) -> None:
    with pytest.raises(AssertionError, match="password authentication failed"):
        deployment.inside("airflow-scheduler", "env", "POSTGRES_PASSWORD=postgres", "python", "-c", COUNT_ORDERS)


# --- a day --------------------------------------------------------------------------------------------------------------------


def test_a_day_runs_green_with_six_loads_at_a_time_and_dbt_in_order(deployment: Deployment) -> None:
    day = days_ago(1)
    with deployment.holding(HOLD_WAREHOUSE):
        runs = deployment.trigger(day)

        def all_running() -> bool:
            return all(deployment.task(name, run_id)["state"] == "running" for name, run_id in runs.items())

        assert eventually("all six extractions run at the same time", all_running)
    run = deployment.await_dbt(day)
    tasks = {task["task_id"]: task for task in deployment.api.task_instances(DBT_DAG, run["dag_run_id"])}
    for before, after in pairwise(DBT_TASKS):
        assert tasks[before]["end_date"] <= tasks[after]["start_date"], (before, after)
    loaded = max(deployment.task(name, run_id)["end_date"] for name, run_id in runs.items())
    assert loaded <= tasks["all_extractions_complete"]["start_date"]
    assert any("Task: notify_success" in text and f"Day: {day}" in text for text in deployment.messages())
    figures = deployment.figures()
    assert figures["published"] == figures["orders"] == figures["keys"] > 500


def test_the_source_stops_in_mid_run_and_the_next_try_succeeds(deployment: Deployment) -> None:
    day = current_day()
    with deployment.holding(HOLD_TABLE, "orders"):
        runs = deployment.trigger(day)
        deployment.await_task("orders", runs["orders"], "running")
        deployment.compose("stop", "--timeout", "0", "postgres-source")
    failed = deployment.await_task("orders", runs["orders"], "up_for_retry")
    assert (failed["try_number"], failed["max_tries"]) == (1, 2)

    def alerts() -> list[str]:
        return [text for text in deployment.messages() if "[RETRY] extract_postgres_orders" in text]

    assert "Try: 1 of 3" in eventually("an alert names the task", alerts)[0]
    deployment.compose("start", "postgres-source")
    succeeded = deployment.await_task("orders", runs["orders"], "success", "failed")
    assert (succeeded["state"], succeeded["try_number"]) == ("success", 2)
    deployment.await_dbt(day)


def test_a_killed_scheduler_comes_back_and_finishes_the_day(deployment: Deployment) -> None:
    day, before = days_ago(2), deployment.container("airflow-scheduler")["RestartCount"]
    with deployment.holding(HOLD_WAREHOUSE):
        runs = deployment.trigger(day)
        deployment.await_task("orders", runs["orders"], "running")
        deployment.compose("exec", "-T", "airflow-scheduler", "python", "-c", KILL_THE_PROGRAM, check=False)  # it goes too
        eventually("the engine has restarted it", lambda: deployment.container("airflow-scheduler")["RestartCount"] > before)
    deployment.await_dbt(day)
    figures = deployment.figures()
    assert figures["orders"] == figures["keys"]


def test_the_whole_stack_restarts_without_loss(deployment: Deployment) -> None:
    password, figures = deployment.password(), deployment.figures()
    runs = {run["dag_run_id"]: run["state"] for run in deployment.api.runs(DBT_DAG)}
    messages = deployment.messages()
    deployment.compose("down")
    deployment.up()
    assert deployment.password() == password
    assert deployment.figures() == figures
    assert {run["dag_run_id"]: run["state"] for run in deployment.api.runs(DBT_DAG)} == runs
    assert deployment.messages() == messages
