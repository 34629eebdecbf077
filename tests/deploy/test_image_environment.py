"""The image's packages with the Helm values' configuration.

Airflow starts, reads the DAGs, and a task's log is in the object store when its pod is gone.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from sandbox.processes import free_port
from tests.builders.helm import VALUES
from tests.builders.object_store import S3Double, s3_double

if TYPE_CHECKING:
    from tests.builders.image_commands import Image

pytestmark = pytest.mark.slow

PROBE = """
import os
from airflow.sdk import DAG, task

with DAG("log_probe", schedule=None):

    @task
    def say():
        print("Said by a task pod.")
        print("Knows:", sorted(os.environ))
        print("Database:", os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])

    say()
"""
BUCKET, FOLDER = re.match(
    r"s3://([^/]+)/(.+)", VALUES["config"]["logging"]["remote_base_log_folder"]
).groups()  # type: ignore[union-attr]
DAGS = 10


@pytest.fixture(scope="module")
def store() -> Iterator[S3Double]:
    with s3_double(BUCKET) as double:
        yield double


@pytest.fixture(scope="module")
def component(image: Image, store: S3Double) -> dict[str, str]:
    """What a component knows and a task pod does not."""
    image.more.update(store.environment)
    given = {
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{image.home}/metadata.db",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the test " * 4,
        "AIRFLOW__API__SECRET_KEY": "another secret of the test",
    }
    image.run("airflow", "db", "migrate", **given)
    return given


def test_airflow_starts_with_the_configuration_of_the_values(image: Image) -> None:
    assert image.run("airflow", "version").splitlines()[-1] == VALUES["airflowVersion"]
    shown = image.run("airflow", "config", "get-value", "logging", "remote_base_log_folder")
    assert shown.splitlines()[-1] == VALUES["config"]["logging"]["remote_base_log_folder"]


def test_every_dag_is_read(image: Image, component: dict[str, str]) -> None:
    image.run("airflow", "dags", "reserialize", **component)
    listed = image.run("airflow", "dags", "list", "--output", "json", **component)
    assert len(json.loads(listed[listed.index("[{") :])) == DAGS
    errors = image.run("airflow", "dags", "list-import-errors", "--output", "json", **component)
    assert "filepath" not in errors


@pytest.fixture
def api_server(image: Image, component: dict[str, str]) -> Iterator[str]:
    """The address of an API server of the image's environment."""
    port = free_port(18080)
    (image.home / "passwords.json").write_text('{"admin": "admin", "viewer": "viewer"}')
    log = image.home / "api-server.log"
    command = [
        "airflow",
        "api-server",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]
    url = f"http://127.0.0.1:{port}"
    with log.open("w") as output:
        server = subprocess.Popen(
            command,
            env=image.environment(**component),
            cwd=image.home,
            stdout=output,
            stderr=output,
        )
    try:
        for _ in range(240):
            with suppress(requests.ConnectionError):
                if requests.get(f"{url}/api/v2/version", timeout=5).ok:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
        else:
            pytest.fail(f"The API server did not answer within 120 s.\n{log.read_text()[-4000:]}")
        yield url
    finally:
        server.terminate()
        server.wait(30)


def test_the_log_of_a_task_pod_is_read_from_the_object_store(
    image: Image, component: dict[str, str], store: S3Double, api_server: str, tmp_path: Path
) -> None:
    (tmp_path / "log_probe.py").write_text(PROBE)
    of_probe = {"AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path)}
    image.run("airflow", "dags", "reserialize", **component, **of_probe)
    image.run("airflow", "dags", "trigger", "log_probe", **component, **of_probe)
    queued = json.loads(image.script("queued_task.py", "log_probe", **component, **of_probe))

    # The pod: no metadata database, no key of Airflow's, a file system that goes with it.
    pod = tmp_path / "pod"
    image.run(
        *queued["command"],
        **of_probe,
        AIRFLOW__CORE__EXECUTION_API_SERVER_URL=f"{api_server}/execution/",
        AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(pod),
    )
    written = {key for key in store.list() if key.startswith(f"{FOLDER}/dag_id=log_probe/")}
    assert len(written) == 1

    token = requests.post(
        f"{api_server}/auth/token", json={"username": "admin", "password": "admin"}, timeout=20
    ).json()["access_token"]
    task = f"{api_server}/api/v2/dags/log_probe/dagRuns/{queued['run_id']}/taskInstances/say"
    signed_in = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    assert requests.get(task, headers=signed_in, timeout=20).json()["state"] == "success"
    log = requests.get(f"{task}/logs/1", headers=signed_in, timeout=60).text
    assert "Said by a task pod." in log
    assert f"s3://{BUCKET}/{next(iter(written))}" in log, "the source of the log"
    knows = re.search(r"Knows: \[([^\]]*)\]", log)
    assert knows
    assert "SNOWFLAKE_ACCOUNT" in knows[1]
    assert "AIRFLOW__API" not in knows[1]
    assert "Database: airflow-db-not-allowed:///" in log, (
        "what Airflow tells a task of its database"
    )
