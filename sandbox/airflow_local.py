"""Airflow on the laptop: its settings, its metadata database, and its four processes with the
LocalExecutor.
"""

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
from sandbox.processes import Process, SandboxError

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
    """The whole environment of Airflow's processes: what they inherit, the pipeline's settings, and
    Airflow's own.

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
    kept.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # without bytecode every task start takes twice as long
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


def airflow(*commands: tuple[str, ...], env: Mapping[str, str], log: Path, what: str) -> None:
    """Run `airflow` commands to their end, in one process; ``SandboxError`` with what they printed
    if one fails.
    """
    command = [sys.executable, "-m", "sandbox.airflow_commands", json.dumps(commands)]
    done = subprocess.run(command, env=dict(env), cwd=PROJECT, capture_output=True, text=True)
    with log.open("a") as file:
        for arguments in commands:
            file.write(f"$ airflow {' '.join(arguments)}\n")
        file.write(f"{done.stdout}{done.stderr}\n")
    if done.returncode:
        last = "\n".join(
            f"  {line}" for line in (done.stdout + done.stderr).strip().splitlines()[-15:]
        )
        raise SandboxError(f"{what} failed.\nLast lines:\n{last}\nThe whole log: {log}")


SET_POOL = ("pools", "set", PUBLISH_POOL, "1", POOL_DESCRIPTION)


def prepare_metadata(env: Mapping[str, str], log: Path) -> None:
    """Migrate the metadata database and create the pool of one slot that `publish` needs (see
    docs/decisions.md).
    """
    airflow(
        ("db", "migrate"), SET_POOL, env=env, log=log, what="Migrating Airflow's metadata database"
    )


def create_pool(env: Mapping[str, str], log: Path) -> None:
    """Create the pool of one slot, or give it its one slot back."""
    airflow(SET_POOL, env=env, log=log, what="Creating the pool of one slot")


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
