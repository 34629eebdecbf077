"""`docker compose up -d` from nothing: the specification's checklist, in the order of the file."""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import requests
import yaml

from operations.airflow_api import AirflowApi, AirflowApiError
from pipeline.days import current_day
from pipeline.pool import PUBLISH_POOL
from pipeline.sources import SOURCES
from sandbox.day import DBT_DAG, DBT_TASKS
from tests.builders.deployment import HOLD_TABLE, HOLD_WAREHOUSE, IMAGE, LOCAL, Deployment, docker
from tests.builders.running_pipeline import days_ago, eventually

pytestmark = [pytest.mark.compose, pytest.mark.timeout(2400)]

DAGS = {source.dag_id for source in SOURCES} | {
    DBT_DAG,
    "ecommerce_sla_monitor",
    "rebuild_day",
    "reconcile_sources",
}
KILLED = days_ago(3)  # the day during which the scheduler is killed
# that of PID 1, which is Docker's, ends with it
KILL_THE_PROGRAM = "import psutil; psutil.Process(1).children()[0].kill()"
COUNT_ORDERS = """
import psycopg2
from ingestion.postgres.settings import PostgresSettings
from pipeline.settings import settings
found = settings(PostgresSettings)
source = psycopg2.connect(
    host=found.host, dbname=found.db, user=found.user, password=found.password.get_secret_value()
)
with source, source.cursor() as cursor:
    cursor.execute("select count(*) from orders")
    print(cursor.fetchone()[0])
"""


def normalised(requirement: str) -> str:
    """Name and version as PyPI compares them, without extras."""
    name, version = re.sub(r"\[.*?\]", "", requirement).split("==")
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version}"


# --- infrastructure
# --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["", "celery"])
def test_compose_accepts_the_file_without_a_word(profile: str, deployment: Deployment) -> None:
    assert (
        deployment.shell(f"docker compose {profile and '--profile celery'} config --quiet 2>&1")
        == ""
    )


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
    assert [
        dag["dag_id"] for dag in api.call("GET", "/dags?limit=100")["dags"] if dag["is_paused"]
    ] == []
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
    denied = (
        "touch /opt/pipeline/lib/x || touch /opt/airflow/dags/x || touch /opt/airflow/transform/x "
        "|| echo denied"
    )
    assert deployment.inside("airflow-scheduler", "bash", "-c", denied).strip() == "denied"


def test_only_this_machine_reaches_the_ports(deployment: Deployment) -> None:
    open_to = {
        (service, binding["HostIp"])
        for service in LOCAL
        for bindings in deployment.container(service)["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    published = ("airflow-api-server", "business-view", "postgres-source", "slack-inbox")
    assert open_to == {(service, "127.0.0.1") for service in published}


def test_the_image_holds_the_lock_and_nothing_else(deployment: Deployment) -> None:
    script = (
        "from importlib.metadata import distributions as d; "
        "print(*(f'{found.name}=={found.version}' for found in d()))"
    )
    installed = {
        normalised(found)
        for found in deployment.inside("airflow-scheduler", "python", "-c", script).split()
    }
    lock = (deployment.folder / "requirements-container.txt").read_text()
    assert len(installed) > 150
    assert installed <= {
        normalised(found) for found in re.findall(r"^\S+==\S+", lock, re.MULTILINE)
    }
    image = deployment.container("airflow-scheduler")["Image"]
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    environment = json.dumps(json.loads(docker("inspect", image))[0]["Config"]["Env"])
    secret = deployment.password()
    assert secret not in history and secret not in environment
    inside = set(docker("run", "--rm", "--entrypoint", "ls", image, "-A", "/opt/airflow").split())
    named = set(
        re.findall("^!([^/\n]+)$", (deployment.folder / ".dockerignore").read_text(), re.MULTILINE)
    )
    assert inside == named | {"config", "csv_inbox", "data", "logs", "passwords", "shop"}
    tools = "ls -d /tmp/installer; command -v cc; command -v gcc; true"
    assert docker("run", "--rm", "--entrypoint", "sh", image, "-c", f"({tools}) 2> /dev/null") == ""


def test_a_change_of_the_code_builds_no_dependencies_again(deployment: Deployment) -> None:
    def layers() -> list[str]:
        return list(json.loads(docker("inspect", IMAGE))[0]["RootFS"]["Layers"])

    before = layers()
    file = deployment.folder / "alerting" / "__init__.py"
    file.write_text(f"{file.read_text()}# changed\n")
    deployment.compose("build")
    changed = [layer for layer, old in zip(layers(), before, strict=True) if layer != old]
    assert changed == layers()[-len(changed) :]
    assert 1 <= len(changed) <= 2, "the code and its bytecode"


@pytest.mark.parametrize(
    ("service", "real"),
    [
        ("stripe-emulator", "STRIPE_API_KEY=rk_live_1"),
        ("slack-inbox", "SLACK_WEBHOOK_URL=https://hooks.example.com/1"),
        ("demo-shop", "POSTGRES_HOST=db.example.com"),
    ],
)
def test_a_stand_in_steps_aside_for_a_real_system_and_counts_as_healthy(
    service: str, real: str, deployment: Deployment
) -> None:
    container = deployment.compose("run", "--detach", "--no-deps", "--env", real, service).split()[
        -1
    ]
    try:
        eventually("it steps aside", lambda: "steps aside." in docker("logs", container), 30)
        eventually(
            "it is healthy",
            lambda: (
                docker("inspect", "--format", "{{.State.Health.Status}}", container) == "healthy\n"
            ),
            30,
        )
    finally:
        docker("rm", "--force", container)


def test_the_api_server_of_the_helm_values_takes_its_users_from_a_read_only_secret(
    deployment: Deployment,
) -> None:
    helm = yaml.safe_load((deployment.folder / "deploy" / "helm" / "values.yaml").read_text())
    secret = deployment.folder / "users"
    secret.mkdir()
    (secret / "passwords.json").write_text(
        json.dumps({"admin": "from-a-secret", "viewer": "from-another"})
    )
    subprocess.run(["chmod", "-R", "go+rX", secret], check=True)
    mounts = helm["apiServer"]["extraVolumeMounts"]
    mounted = next(mount["mountPath"] for mount in mounts if mount["name"] == "users")
    passwords = helm["config"]["core"]["simple_auth_manager_passwords_file"]
    file = f"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE={passwords}"
    options = ["--detach", "--no-deps", "--volume", f"{secret}:{mounted}:ro", "--env", file]
    container = deployment.compose(
        "run", *options, "airflow-api-server", *helm["apiServer"]["args"]
    ).split()[-1]
    sign_in = [
        "curl",
        "-fsS",
        "--json",
        '{"username": "admin", "password": "from-a-secret"}',
        "http://localhost:8080/auth/token",
    ]

    def token() -> bool:
        return subprocess.run(
            ["docker", "exec", container, *sign_in], capture_output=True
        ).stdout.startswith(b'{"access_token"')

    try:
        eventually("admin signs in", token, 120)
    finally:
        print(docker("logs", "--tail", "30", container))
        docker("rm", "--force", container)


def test_a_password_that_can_be_guessed_is_refused_where_others_reach_the_sign_in(
    deployment: Deployment,
) -> None:
    public = ["--env", "BIND_ADDRESS=0.0.0.0", "--env", "AIRFLOW_ADMIN_PASSWORD=admin"]
    with pytest.raises(AssertionError, match="AIRFLOW_ADMIN_PASSWORD has fewer than 12 characters"):
        deployment.compose("run", "--rm", "--no-deps", *public, "configure")


# --- connections
# --------------------------------------------------------------------------------------------------


def test_settings_of_the_env_file_reach_the_containers(deployment: Deployment) -> None:
    found = deployment.inside("airflow-scheduler", "env").splitlines()
    assert {
        "SNOWFLAKE_ACCOUNT=passed-through",
        "POSTGRES_HOST=postgres-source",
        "WAREHOUSE_KIND=duckdb",
    } <= set(found)


def test_the_source_is_reachable_from_the_containers_and_full(deployment: Deployment) -> None:
    assert int(deployment.inside("airflow-scheduler", "python", "-c", COUNT_ORDERS)) > 500


@pytest.mark.parametrize(
    "statement",
    [
        "create table mine (one int)",
        "delete from orders",
        "select pg_read_file('/etc/passwd')",
        "copy orders to program 'id'",
    ],
)
def test_the_pipeline_reads_the_source_and_does_nothing_else(
    statement: str, deployment: Deployment
) -> None:
    script = COUNT_ORDERS.replace("select count(*) from orders", statement)
    with pytest.raises(AssertionError, match=r"permission denied|must be"):
        deployment.inside("airflow-scheduler", "python", "-c", script)


@pytest.mark.parametrize("service", ["postgres-source", "business-view", "demo-shop"])
def test_nobody_outside_of_airflow_finds_its_database(service: str, deployment: Deployment) -> None:
    with pytest.raises(AssertionError):
        deployment.inside(service, "getent", "hosts", "postgres-airflow")
    assert deployment.inside("airflow-scheduler", "getent", "hosts", "postgres-airflow")


def test_a_password_that_can_be_guessed_does_not_open_the_source(deployment: Deployment) -> None:
    with pytest.raises(AssertionError, match="password authentication failed"):
        deployment.inside(
            "airflow-scheduler", "env", "POSTGRES_PASSWORD=postgres", "python", "-c", COUNT_ORDERS
        )


# --- a day
# --------------------------------------------------------------------------------------------------


def test_a_day_runs_green_with_six_loads_at_a_time_and_dbt_in_order(deployment: Deployment) -> None:
    day = days_ago(1)
    with deployment.holding(HOLD_WAREHOUSE):
        runs = deployment.trigger(day)

        def all_running() -> bool:
            return all(
                deployment.task(name, run_id)["state"] == "running" for name, run_id in runs.items()
            )

        assert eventually("all six extractions run at the same time", all_running)
    run = deployment.await_dbt(day)
    tasks = {
        task["task_id"]: task for task in deployment.api.task_instances(DBT_DAG, run["dag_run_id"])
    }
    for before, after in pairwise(DBT_TASKS):
        assert tasks[before]["end_date"] <= tasks[after]["start_date"], (before, after)
    loaded = max(deployment.task(name, run_id)["end_date"] for name, run_id in runs.items())
    assert loaded <= tasks["all_extractions_complete"]["start_date"]
    assert any(
        "Task: notify_success" in text and f"Day: {day}" in text for text in deployment.messages()
    )
    figures = deployment.figures()
    assert figures["published"] == figures["orders"] == figures["keys"] > 500


def test_the_source_stops_in_mid_run_and_the_next_try_succeeds(deployment: Deployment) -> None:
    day = days_ago(2)
    with deployment.holding(HOLD_TABLE, "orders", service="demo-shop"):
        runs = deployment.trigger(day)
        deployment.await_task("orders", runs["orders"], "running")
        deployment.compose("stop", "--timeout", "0", "postgres-source")
    failed = deployment.await_task("orders", runs["orders"], "up_for_retry")
    assert (failed["try_number"], failed["max_tries"]) == (1, 2)

    def alerts() -> list[str]:
        return [text for text in deployment.messages() if "[RETRY] extract_postgres_orders" in text]

    assert "Task: extract_postgres_orders" in eventually("an alert names the task", alerts)[0]
    deployment.compose("start", "postgres-source")
    succeeded = deployment.await_task("orders", runs["orders"], "success", "failed")
    assert (succeeded["state"], succeeded["try_number"]) == ("success", 2)
    deployment.await_dbt(day)


def test_the_scheduler_is_killed_in_mid_run_and_the_engine_starts_it_again(
    deployment: Deployment,
) -> None:
    before = deployment.container("airflow-scheduler")["RestartCount"]
    with deployment.holding(HOLD_WAREHOUSE):
        runs = deployment.trigger(KILLED)
        deployment.await_task("orders", runs["orders"], "running")
        deployment.compose(
            "exec", "-T", "airflow-scheduler", "python", "-c", KILL_THE_PROGRAM, check=False
        )  # it goes too
        eventually(
            "the engine has restarted it",
            lambda: deployment.container("airflow-scheduler")["RestartCount"] > before,
        )


def test_a_dag_that_is_edited_on_the_host_is_read_again(deployment: Deployment) -> None:
    file = deployment.folder / "dags" / "reconcile_sources.py"
    file.write_text(file.read_text().replace('"reconcile_sources"', '"edited_on_the_host"'))
    eventually(
        "the edited DAG is listed", lambda: "edited_on_the_host" in deployment.api.dag_ids(), 120
    )
    assert deployment.api.import_errors() == []


def test_the_day_of_the_killed_scheduler_is_finished(deployment: Deployment) -> None:
    deployment.await_dbt(KILLED)
    figures = deployment.figures()
    assert figures["orders"] == figures["keys"]


def test_going_down_waits_for_a_running_load_and_coming_up_loses_nothing(
    deployment: Deployment,
) -> None:
    day = days_ago(4)
    password, loads = deployment.password(), deployment.figures()["loads"]
    runs = {run["dag_run_id"]: run["state"] for run in deployment.api.runs(DBT_DAG)}
    messages = deployment.messages()
    with ThreadPoolExecutor() as beside, deployment.holding(HOLD_WAREHOUSE):
        run_id = deployment.trigger(day, "orders")["orders"]
        deployment.await_task("orders", run_id, "running")
        going = beside.submit(deployment.compose, "down")
        eventually(
            "the scheduler is told to stop",
            lambda: "Exiting gracefully" in deployment.compose("logs", "airflow-scheduler"),
        )
        assert deployment.task("orders", run_id)["state"] == "running"
        assert not going.done()
    going.result()
    # From here on the schedules count: the current day is due, as after the first start of a new
    # installation.
    env = deployment.folder / ".env"
    env.write_text(re.sub("^PIPELINE_START_DATE=.*\n", "", env.read_text(), flags=re.MULTILINE))
    deployment.up()
    task = deployment.await_task("orders", run_id, "success", "failed", "up_for_retry")
    assert (task["state"], task["try_number"]) == ("success", 1)
    assert deployment.password() == password
    assert deployment.figures()["loads"] > loads
    kept = {run["dag_run_id"]: run["state"] for run in deployment.api.runs(DBT_DAG)}
    assert kept.items() >= runs.items()
    assert deployment.messages()[: len(messages)] == messages


def test_the_current_day_runs_by_itself(deployment: Deployment) -> None:
    deployment.await_dbt(current_day())
    figures = deployment.figures()
    assert figures["published"] == figures["orders"] == figures["keys"] > 500
