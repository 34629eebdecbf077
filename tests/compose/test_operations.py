"""The commands of docs/operations.md, as they stand there, on a stack with data: secrets rotated,
everything lost, restored.
"""

from __future__ import annotations

import re

import pytest

from operations.airflow_api import AirflowApi, AirflowApiError
from pipeline.settings import PROJECT
from sandbox.day import DBT_DAG
from tests.builders.deployment import Deployment
from tests.builders.running_pipeline import days_ago

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2400)]

CONNECTION = "http://user:sesame@example.com"
START_AGAIN = "docker compose down\ndocker compose up -d\n"


def commands(title: str) -> list[str]:
    """The blocks of commands under a heading of the page, in order."""
    page = (PROJECT / "docs" / "operations.md").read_text()
    section = re.search(rf"^## {title}$(.*?)(^## |\Z)", page, re.MULTILINE | re.DOTALL)
    assert section, title
    return re.findall(r"^```\n(.*?)^```$", section[1], re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def stack(deployment: Deployment) -> Deployment:
    """Up, with a day and with a connection that the Fernet key encrypts."""
    if "airflow-scheduler" not in deployment.states():  # this file alone
        deployment.up()
    if not any(run["state"] == "success" for run in deployment.api.runs(DBT_DAG)):
        deployment.trigger(days_ago(1))
        deployment.await_dbt(days_ago(1))
    deployment.inside(
        "airflow-scheduler", "airflow", "connections", "add", "partner", "--conn-uri", CONNECTION
    )
    return deployment


def secrets(deployment: Deployment) -> dict[str, str]:
    """What the containers use now: Airflow's configuration and the passwords of the databases."""
    configuration = deployment.inside(
        "airflow-api-server", "cat", "/opt/airflow/config/airflow.cfg"
    )
    named = "fernet_key|secret_key|jwt_secret|sql_alchemy_conn|broker_url"
    pipeline = deployment.inside("airflow-scheduler", "cat", "/opt/airflow/config/pipeline.env")
    (source,) = re.findall("^POSTGRES_PASSWORD=(.+)$", pipeline, re.MULTILINE)
    found = dict(re.findall(rf"^({named}) = (.+)$", configuration, re.MULTILINE))
    assert len(found) == len(named.split("|"))
    return {**found, "source": source, "admin": deployment.password()}


def runs(deployment: Deployment) -> dict[str, str]:
    return {run["dag_run_id"]: run["state"] for run in deployment.api.runs(DBT_DAG)}


def connection(deployment: Deployment) -> str:
    return deployment.inside(
        "airflow-scheduler", "airflow", "connections", "get", "partner", "--output", "plain"
    )


def test_every_secret_is_rotated(stack: Deployment) -> None:
    before, kept = secrets(stack), runs(stack)
    prepared, databases, fernet, start_again, encrypted_anew = commands("Rotation of secrets")
    assert start_again == START_AGAIN
    stack.shell(prepared + databases + fernet + start_again)
    stack.await_health()
    after = secrets(stack)
    assert {name for name, value in before.items() if after[name] == value} == set()
    with pytest.raises(AirflowApiError, match="401"):
        AirflowApi(stack.url, "admin", before["admin"]).dag_ids()
    assert runs(stack) == kept
    assert "sesame" in connection(stack), "the old key is known still"
    stack.shell(encrypted_anew)
    assert (
        ","
        not in re.findall(
            "^AIRFLOW__CORE__FERNET_KEY=(.+)$", (stack.folder / ".env").read_text(), re.MULTILINE
        )[0]
    )


def test_what_is_lost_comes_back_from_the_back_up(stack: Deployment) -> None:
    """With all volumes gone this is a new machine too; it has the new Fernet key alone."""
    figures, kept = stack.figures(), runs(stack)
    (back_up,) = commands("Back-up")
    restore, without_env = commands("Restore")
    stack.shell(back_up)
    stack.shell("docker compose down --volumes")
    stack.shell(without_env + restore)
    stack.await_health()
    assert stack.figures() == figures
    assert runs(stack) == kept
    assert "sesame" in connection(stack)
