"""A deployment of docker-compose.yml in a test's terms: up, down, look inside, break, follow."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import requests

from operations.airflow_api import AirflowApi
from pipeline.days import day_of
from pipeline.settings import PROJECT
from pipeline.sources import SOURCES, source
from sandbox.day import DBT_DAG
from tests.builders.running_pipeline import eventually

IMAGE = "ecommerce-pipeline:test"
UP_SECONDS = 900.0
DAY_SECONDS = 1800.0  # the specification's limit for a whole day
ONCE = ("configure", "configure-celery", "airflow-init")
LOCAL = (
    "airflow-api-server",
    "airflow-dag-processor",
    "airflow-scheduler",
    "airflow-triggerer",
    "business-view",
    "demo-shop",
    "postgres-airflow",
    "postgres-source",
    "slack-inbox",
    "stripe-emulator",
)
CELERY = (*LOCAL, "airflow-worker-1", "airflow-worker-2", "redis")

# Holds the warehouse's lock until its standard input is closed: every load of a day is then under
# way at the same time.
HOLD_WAREHOUSE = """
import sys
from warehouse.settings import WarehouseSettings
from pipeline.settings import settings
from warehouse.duckdb.lock import warehouse_lock
with warehouse_lock(settings(WarehouseSettings)):
    print("held", flush=True)
    sys.stdin.read()
"""
# The same for a table of the source, as long as nobody ends the session.
HOLD_TABLE = """
import sys
import psycopg2
from ingestion.postgres.settings import PostgresSettings
from pipeline.settings import settings
found = settings(PostgresSettings)
session = psycopg2.connect(
    host=found.host, port=found.port, dbname=found.db, user=found.user,
    password=found.password.get_secret_value()
)
session.cursor().execute(f"lock table {sys.argv[1]} in access exclusive mode")
print("held", flush=True)
sys.stdin.read()
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def copy_of_the_project(folder: Path) -> None:
    """What a clone would hold, uncommitted changes included, open to the containers' user."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.run(
        listed, cwd=PROJECT, capture_output=True, check=True, text=True
    ).stdout.split("\0"):
        if name and (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    subprocess.run(["chmod", "-R", "go+rX", folder], check=True)  # whatever the umask here


@dataclass
class Deployment:
    """A checkout with an `.env` of its own, as a Compose project of its own.

    Args:
        folder: holds the checkout.
        name: of the Compose project.
        profile: of Compose, if any.
        settings: more lines of `.env`.
    """

    folder: Path
    name: str
    profile: str = ""
    settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        copy_of_the_project(self.folder)
        self.ports = {
            name: free_port()
            for name in ("AIRFLOW_PORT", "SOURCE_PORT", "SLACK_INBOX_PORT", "BUSINESS_VIEW_PORT")
        }
        lines = {
            **{name: str(port) for name, port in self.ports.items()},
            "DEMO_SCALE": "0.01",
            "SNOWFLAKE_ACCOUNT": "passed-through",
            # The schedules start tomorrow: what runs today, a test has triggered.
            "PIPELINE_START_DATE": (datetime.now(UTC) + timedelta(days=1)).date().isoformat(),
            # Seconds instead of minutes, until a lost scheduler, worker or task is noticed and
            # until a task is tried again.
            "ALERTING_RETRY_DELAY_SECONDS": "20",
            "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "5",
            # A busy machine with two cores can keep a scheduler from its heartbeat for half a
            # minute.
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "60",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            **self.settings,
        }
        (self.folder / ".env").write_text(
            "".join(f"{name}={value}\n" for name, value in lines.items())
        )

    # Docker
    # ----------------------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        profile = ["--profile", self.profile] if self.profile else []
        return ["docker", "compose", "--project-name", self.name, *profile, *arguments]

    def compose(self, *arguments: str, check: bool = True, seconds: float = UP_SECONDS) -> str:
        """Run one Compose command in the checkout; its standard output.

        A failure shows what it printed.
        """
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        assert not (check and done.returncode), (
            f"docker compose {' '.join(arguments)}: {done.stdout[-3000:]}{done.stderr[-6000:]}"
        )
        return done.stdout

    def shell(self, commands: str) -> str:
        """Run commands of the documentation as a person who follows it; an error ends them."""
        environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.name,
            "COMPOSE_PROFILES": self.profile,
        }
        command = ["bash", "-euo", "pipefail", "-c", commands]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
        )
        assert done.returncode == 0, f"{commands}\n{done.stdout[-3000:]}{done.stderr[-6000:]}"
        return done.stdout

    def inside(self, service: str, *command: str) -> str:
        """The output of a command in a service's container."""
        return self.compose("exec", "-T", service, *command)

    def container(self, service: str) -> dict[str, Any]:
        """What the engine says of a service's container."""
        found = self.compose("ps", "--all", "--quiet", service).strip()
        return dict(json.loads(docker("inspect", found))[0])

    def states(self) -> dict[str, str]:
        """Health, or else state and exit code, by service."""
        listed = [
            json.loads(line)
            for line in self.compose("ps", "--all", "--format", "json").splitlines()
        ]
        return {
            row["Service"]: row["Health"] or f"{row['State']} {row['ExitCode']}" for row in listed
        }

    @property
    def services(self) -> Sequence[str]:
        return CELERY if self.profile else LOCAL

    def up(self) -> None:
        """The command of the README, then wait until everything is healthy."""
        self.compose("up", "-d")
        self.await_health()

    def await_health(self) -> None:
        def healthy() -> bool:
            states = self.states()
            return all(states.get(service) == "healthy" for service in self.services)

        try:
            eventually("all services are healthy", healthy, UP_SECONDS)
        except AssertionError:
            print(json.dumps(self.states(), indent=1), self.compose("logs", "--tail", "30"))
            raise
        self.sign_in()

    @contextmanager
    def holding(
        self, script: str, *arguments: str, service: str = "airflow-api-server"
    ) -> Iterator[None]:
        """Run a script in a container that holds something until the block ends."""
        command = self.command("exec", "-T", service, "python", "-c", script, *arguments)
        holder = subprocess.Popen(
            command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert holder.stdin and holder.stdout
        assert holder.stdout.readline() == "held\n"
        try:
            yield
        finally:
            holder.stdin.close()
            holder.wait(60)
            holder.stdout.close()

    # Airflow
    # ----------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://localhost:{self.ports['AIRFLOW_PORT']}"

    @property
    def api(self) -> AirflowApi:
        return self._api

    def password(self) -> str:
        return str(
            json.loads(
                self.inside("airflow-api-server", "cat", "/opt/airflow/config/passwords.json")
            )["admin"]
        )

    def sign_in(self) -> None:
        """As admin, with the password of now."""
        self._api = AirflowApi(self.url, "admin", self.password())

    def trigger(self, day: date, *names: str) -> dict[str, str]:
        """Start the load of a day for these sources, by default all six; run ids by source."""
        return {
            name: self.api.trigger(source(name).dag_id, day.isoformat())
            for name in names or [found.name for found in SOURCES]
        }

    def task(self, name: str, run_id: str) -> dict[str, Any]:
        """The load of a source in a run."""
        dag_id = source(name).dag_id
        return next(
            task for task in self.api.task_instances(dag_id, run_id) if task["task_id"] == dag_id
        )

    def await_task(
        self, name: str, run_id: str, *states: str, seconds: float = 300
    ) -> dict[str, Any]:
        def reached() -> dict[str, Any]:
            task = self.task(name, run_id)
            return task if task["state"] in states else {}

        return eventually(f"{name} of {run_id} is {' or '.join(states)}", reached, seconds)

    def await_dbt(self, day: date, number: int = 1) -> dict[str, Any]:
        """The dbt run of that number of a day, once it is over; it must be green."""

        def over() -> dict[str, Any]:
            runs = [run for run in self.api.runs(DBT_DAG) if day_of(run) == day]
            ended = [run for run in runs if run["state"] in ("success", "failed")]
            return ended[0] if len(ended) == number else {}

        run = eventually(f"dbt run {number} of {day} ends", over, DAY_SECONDS)
        failed = [
            task["task_id"]
            for task in self.api.task_instances(DBT_DAG, run["dag_run_id"])
            if task["state"] != "success"
        ]
        assert run["state"] == "success", failed
        return run

    def messages(self) -> list[str]:
        """What Slack was told, oldest first."""
        answer = requests.get(
            f"http://127.0.0.1:{self.ports['SLACK_INBOX_PORT']}/messages", timeout=10
        )
        return [message["text"].replace("*", "") for message in answer.json()]

    def figures(self) -> dict[str, Any]:
        """What must survive: load records, raw orders, the published day and its orders."""
        script = """
import json
from warehouse.settings import WarehouseSettings
from pipeline.settings import settings
from warehouse.duckdb.lock import warehouse_lock
from transform import read_published
import duckdb
found = settings(WarehouseSettings)
raw_file = str(found.duckdb_dir / "ecommerce_raw.duckdb")
with warehouse_lock(found, shared=True), duckdb.connect(raw_file, read_only=True) as raw:
    count = "select count(*), count(distinct order_id) from postgres.raw_orders"
    orders = raw.execute(count).fetchone()
    loads = raw.execute("select count(*) from loads.load_records").fetchone()
print(json.dumps({"loads": loads[0], "orders": orders[0], "keys": orders[1],
    "published": read_published("select count(*) from published.fct_orders", found)[0][0]}))
"""
        return dict(
            json.loads(self.inside("airflow-api-server", "python", "-c", script).splitlines()[-1])
        )


def docker(*arguments: str) -> str:
    """The output of one docker command."""
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True, env=dict(os.environ)
    ).stdout
