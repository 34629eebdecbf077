"""Airflow on the laptop: its settings, its metadata database, its four processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.pool import POOL_DESCRIPTION, PUBLISH_POOL
from pipeline.settings import PROJECT
from sandbox.layout import Layout
from sandbox.processes import Process, SandboxError, tail

# Their log servers would listen on every address of the machine, on fixed ports; the API server
# reads the same files here.
WITHOUT_LOG_SERVER = dict.fromkeys(("scheduler", "triggerer"), ("--skip-serve-logs",))
COMPONENTS = ("scheduler", "dag-processor", "triggerer", "api-server")


@dataclass(frozen=True)
class AirflowAddress:
    """Where the UI listens and how an administrator signs in."""

    port: int
    user: str
    password: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def airflow_environment(
    layout: Layout,
    address: AirflowAddress,
    health_port: int,
    metadata_url: str,
    pipeline: Mapping[str, str],
    dags: Path | None = None,
    inherited: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The whole environment of Airflow's processes: inherited, the pipeline's, and Airflow's own.

    Args:
        health_port: where the scheduler answers health checks.
        metadata_url: SQLAlchemy address of the metadata database.
        pipeline: settings of sources, warehouse and alerts.
        dags: another DAGs folder than the project's (tests).
    """
    generated = layout.generated
    home = layout.airflow_home
    passwords = home / "passwords.json"
    passwords.touch(mode=0o600)
    passwords.write_text(
        json.dumps({"admin": generated["admin_password"], "viewer": generated["viewer_password"]})
    )
    dags = dags or PROJECT / "dags"
    kept = {name: value for name, value in inherited.items() if not name.startswith("AIRFLOW__")}
    # Without bytecode every start of a task takes twice as long.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {
        **kept,
        **pipeline,
        "PYTHONPATH": str(PROJECT),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{inherited.get('PATH', '')}",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "8",
        # Events sent while the dbt DAG is paused are dropped, not queued.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__FERNET_KEY": generated["fernet_key"],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{address.url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__API_AUTH__JWT_SECRET": generated["jwt_secret"],
        "AIRFLOW__API__SECRET_KEY": generated["api_secret"],
        "AIRFLOW__API__BASE_URL": address.url,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(address.port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata_url,
        # measured: 0.6 s less between two tasks
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "True",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(health_port),
        # Tasks start from a server process that has imported what they need.
        "AIRFLOW__SCHEDULER__MP_START_METHOD": "forkserver",
        "AIRFLOW__SCHEDULER__MP_FORKSERVER_PRELOAD": "operations.preload",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "2",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__LOGGING__SECRET_MASK_ADAPTER": "pipeline.secret_forms.forms_of",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def airflow(*arguments: str, env: Mapping[str, str], log: Path) -> None:
    """Run one `airflow` command to its end; ``SandboxError`` with what it printed if it fails."""
    command = [sys.executable, "-m", "airflow", *arguments]
    with log.open("a") as file:
        file.write(f"$ airflow {' '.join(arguments)}\n")
        file.flush()
        done = subprocess.run(
            command, env=dict(env), cwd=PROJECT, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        raise SandboxError(f"`airflow {' '.join(arguments[:2])}` failed.\n{tail(log)}")


def prepare_metadata(env: Mapping[str, str], log: Path) -> None:
    """Migrate the metadata database and create the pool that `publish` needs."""
    airflow("db", "migrate", env=env, log=log)
    create_pool(env, log)


def create_pool(env: Mapping[str, str], log: Path) -> None:
    """Create the pool of one slot (see docs/decisions.md), or give it its one slot back."""
    airflow("pools", "set", PUBLISH_POOL, "1", POOL_DESCRIPTION, env=env, log=log)


def components(layout: Layout, env: Mapping[str, str]) -> dict[str, Process]:
    """Airflow's processes by name."""
    return {
        name: Process(
            name=f"airflow-{name}",
            command=[sys.executable, "-m", "airflow", name, *WITHOUT_LOG_SERVER.get(name, ())],
            env=env,
            run=layout.run,
            logs=layout.logs,
            cwd=PROJECT,
        )
        for name in COMPONENTS
    }
