"""The whole sandbox as one thing: stand-ins for the sources and Slack, Airflow, business view.
Started, stopped, looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2
import requests

from operations.airflow_api import AirflowApi
from pipeline.pool import PUBLISH_POOL, complaint_about
from pipeline.settings import PROJECT
from sandbox.airflow_local import (
    AirflowAddress,
    airflow_environment,
    components,
    create_pool,
    prepare_metadata,
)
from sandbox.layout import Layout
from sandbox.postgres import EmbeddedPostgres
from sandbox.processes import STOP_PATIENCE, Process, SandboxError, free_port, remembered, stop

SOURCE_DATABASE = "ecommerce_source"
AIRFLOW_DATABASE = "airflow"
# Ports asked for first; below 32768, so that they do not collide with those the system gives to
# outgoing connections.
PREFERRED_PORTS = {
    "airflow": 8080,
    "scheduler_health": 8974,
    "stripe": 12111,
    "slack": 12180,
    "dashboard": 8501,
}
FREE_SPACE_NEEDED_MIB = 1500
SERVICES = (
    "airflow-scheduler",
    "airflow-triggerer",
    "airflow-dag-processor",
    "airflow-api-server",
    "stripe-emulator",
    "slack-inbox",
    "dashboard",
)

# The triggerer gives its own process ten seconds for SIGINT, which that was seen not to hear. It
# has nothing to finish.
STOP_SECONDS = {"airflow-triggerer": 1.0}

Say = Callable[[str], None]


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code < 500
    except requests.RequestException:
        return False


@dataclass
class Stack:
    """The services of one sandbox folder.

    Args:
        layout: its folders.
        dags: another DAGs folder than the project's, for tests.
        extra_env: more settings for Airflow's processes, for tests.
        inherited: what its processes have in their environment beside their settings; default: what
            this process has now.
    """

    layout: Layout = field(default_factory=Layout)
    dags: Path | None = None
    extra_env: dict[str, str] = field(default_factory=dict)
    inherited: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def __post_init__(self) -> None:
        self.postgres = EmbeddedPostgres(self.layout.postgres)

    # ports
    # ----------------------------------------------------------------------------------------------

    @property
    def _ports_file(self) -> Path:
        return self.layout.root / "ports.json"

    def ports(self) -> dict[str, int]:
        """The ports of this sandbox: those it has while it runs, else the preferred ones or the
        next free.
        """
        known: dict[str, int] = {}
        with suppress(OSError, ValueError):
            known = json.loads(self._ports_file.read_text())
        settled = (
            known if self.running() else {}
        )  # one that was started before a service was added lacks its port
        ports = {
            name: settled.get(name) or free_port(known.get(name, port))
            for name, port in PREFERRED_PORTS.items()
        }
        if ports != known:
            self._ports_file.write_text(json.dumps(ports))
        return ports

    # addresses
    # ----------------------------------------------------------------------------------------------

    @property
    def airflow_address(self) -> AirflowAddress:
        return AirflowAddress(
            self.ports()["airflow"], "admin", self.layout.generated["admin_password"]
        )

    @property
    def api(self) -> AirflowApi:
        address = self.airflow_address
        return AirflowApi(address.url, address.user, address.password)

    @property
    def stripe_url(self) -> str:
        return f"http://127.0.0.1:{self.ports()['stripe']}"

    @property
    def slack_url(self) -> str:
        return f"http://127.0.0.1:{self.ports()['slack']}"

    @property
    def dashboard_url(self) -> str:
        return f"http://127.0.0.1:{self.ports()['dashboard']}"

    @property
    def shop_address(self) -> tuple[str, str, Path]:
        """Where ``sandbox.shop`` finds its three systems: source database, Stripe, CSV inbox."""
        return self.postgres.dsn(SOURCE_DATABASE), self.stripe_url, self.layout.csv_inbox

    # settings
    # ----------------------------------------------------------------------------------------------

    def pipeline_settings(self) -> dict[str, str]:
        """What the pipeline has to know about this sandbox; shell commands find it in
        ``sandbox.env``.
        """
        source = self.postgres.settings(SOURCE_DATABASE)
        return {
            "ECOMMERCE_ENV_FILE": str(self.layout.env_file),
            "POSTGRES_HOST": str(source["host"]),
            "POSTGRES_PORT": str(source["port"]),
            "POSTGRES_DB": SOURCE_DATABASE,
            "POSTGRES_USER": str(source["user"]),
            "POSTGRES_PASSWORD": str(source["password"]),
            "STRIPE_API_KEY": self.layout.generated["stripe_key"],
            "STRIPE_API_BASE": self.stripe_url,
            "CSV_INBOX": str(self.layout.csv_inbox),
            "WAREHOUSE_KIND": "duckdb",
            "WAREHOUSE_DUCKDB_DIR": str(self.layout.warehouse),
            "SLACK_WEBHOOK_URL": f"{self.slack_url}/services/T0SANDBOX/B0SANDBOX/pipeline",
            "AIRFLOW_UI_URL": self.airflow_address.url,
            "PIPELINE_START_DATE": self.layout.generated["start_date"],
            **self.extra_env,
        }

    def api_settings(self) -> dict[str, str]:
        """How shell commands such as `make backfill` reach this sandbox's Airflow."""
        address = self.airflow_address
        return {
            "AIRFLOW_API_URL": address.url,
            "AIRFLOW_API_USER": address.user,
            "AIRFLOW_API_PASSWORD": address.password,
        }

    def airflow_env(self) -> dict[str, str]:
        metadata = self.postgres.dsn(AIRFLOW_DATABASE).replace(
            "postgresql://", "postgresql+psycopg2://", 1
        )
        health_port = self.ports()["scheduler_health"]
        return airflow_environment(
            self.layout,
            self.airflow_address,
            health_port,
            metadata,
            self.pipeline_settings(),
            self.dags,
            self.inherited,
        )

    # life
    # ----------------------------------------------------------------------------------------------

    def start_stand_ins(self, say: Say) -> None:
        """PostgreSQL with its two databases, the Stripe emulator, the Slack inbox, the CSV
        inbox.
        """
        self.layout.make()
        self._check_space()
        ports = self.ports()
        self.postgres.start()
        self.postgres.create_database(SOURCE_DATABASE)
        self.postgres.create_database(AIRFLOW_DATABASE)
        source = self.postgres.settings(SOURCE_DATABASE)
        say(
            f"PostgreSQL on 127.0.0.1:{source['port']} (databases {SOURCE_DATABASE} and "
            f"{AIRFLOW_DATABASE})"
        )

        for process, url in (
            (
                self._module(
                    "stripe-emulator",
                    "sandbox.stripe_emulator",
                    ports["stripe"],
                    self.layout.stripe,
                ),
                self.stripe_url,
            ),
            (
                self._module(
                    "slack-inbox", "sandbox.slack_inbox", ports["slack"], self.layout.slack
                ),
                self.slack_url,
            ),
        ):
            process.start()
            process.wait_until(lambda url=url: _answers(url), 30, f"Starting the {process.name}")  # type: ignore[misc]
        say(
            f"Stripe emulator on {self.stripe_url}, Slack inbox on {self.slack_url}, CSV inbox in "
            f"{self.layout.csv_inbox}"
        )

        self.layout.env_file.touch(mode=0o600)
        for_the_shell = {**self.pipeline_settings(), **self.api_settings()}
        self.layout.env_file.write_text(
            "".join(f"{name}={value}\n" for name, value in for_the_shell.items())
        )

    def start_airflow(self, say: Say) -> None:
        """Airflow's four processes, ready to run DAGs, on a migrated database with its pool."""
        env = self.airflow_env()
        # A database of another Airflow version needs migrating again, so its version is part of the
        # marker's name.
        from importlib.metadata import version

        marker = self.layout.airflow_home / f"migrated-{version('apache-airflow-core')}"
        if not marker.exists():
            prepare_metadata(env, self.layout.logs / "airflow-setup.log")
            marker.touch()
            say("Airflow's metadata database migrated, pool of one slot created")
        elif complaint_about(self.pool_slots()):
            create_pool(env, self.layout.logs / "airflow-setup.log")
            say("Pool of one slot created again")
        self.launch_airflow(env)
        self.await_airflow()

    def pool_slots(self) -> int | None:
        """Slots of the pool in which sources announce, from Airflow's own table, whether or not
        Airflow runs.
        """
        with (
            closing(psycopg2.connect(self.postgres.dsn(AIRFLOW_DATABASE))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("select slots from slot_pool where pool = %s", (PUBLISH_POOL,))
            found = cursor.fetchone()
        return int(found[0]) if found else None

    def launch_airflow(self, env: dict[str, str]) -> None:
        for process in components(self.layout, env).values():
            process.start()

    def await_airflow(self) -> None:
        """Wait until all four processes are healthy and every DAG file is loaded; ``SandboxError``
        names what is not.
        """
        processes = components(self.layout, self.airflow_env())
        api = self.api

        def healthy() -> bool:
            for process in processes.values():
                if process.running() is None:
                    process.wait_until(lambda: False, 0, "Starting Airflow")
            return api.healthy()

        processes["api-server"].wait_until(healthy, 180, "Starting Airflow")
        expected = {path.stem for path in (self.dags or PROJECT / "dags").glob("*.py")}
        processes["dag-processor"].wait_until(
            lambda: self._dags_loaded(api, expected), 120, "Loading the DAG files"
        )

    @staticmethod
    def _dags_loaded(api: AirflowApi, expected: set[str]) -> bool:
        errors = api.import_errors()
        if errors:
            shown = "\n".join(f"{error['filename']}:\n{error['stack_trace']}" for error in errors)
            raise SandboxError(f"Airflow could not import a DAG file.\n{shown}")
        return expected <= api.dag_ids()

    def start_dashboard(self, say: Say) -> None:
        """The business view, on what is published. It is told where that is, and nothing of the
        sources.
        """
        warehouse = {"WAREHOUSE_KIND": "duckdb", "WAREHOUSE_DUCKDB_DIR": str(self.layout.warehouse)}
        process = Process(
            name="dashboard",
            command=[sys.executable, "-m", "dashboard", "--port", str(self.ports()["dashboard"])],
            env={**self.inherited, **warehouse, "PYTHONPATH": str(PROJECT)},
            run=self.layout.run,
            logs=self.layout.logs,
            cwd=PROJECT,
        )
        process.start()
        process.wait_until(
            lambda: _answers(f"{self.dashboard_url}/_stcore/health"),
            60,
            "Starting the business view",
        )
        say(f"Business view on {self.dashboard_url}")

    def stop(self, say: Say) -> bool:
        """End everything, PostgreSQL last; tells whether anything ran."""
        files = [self.layout.run / f"{name}.json" for name in SERVICES]
        with ThreadPoolExecutor(len(files)) as pool:
            results = pool.map(
                lambda file: stop(file, STOP_SECONDS.get(file.stem, STOP_PATIENCE)), files
            )
            stopped = [file.stem for file, ran in zip(files, results, strict=True) if ran]
        if stopped:
            say(f"stopped {', '.join(stopped)}")
        ran = bool(stopped)
        if self.postgres.pid:
            self.postgres.stop()
            say("stopped postgres")
            ran = True
        self.layout.env_file.unlink(missing_ok=True)
        return ran

    def running(self) -> dict[str, int]:
        """Process ids of what runs, by name."""
        alive = {name: remembered(self.layout.run / f"{name}.json") for name in SERVICES}
        return {name: process.pid for name, process in alive.items() if process}

    # parts
    # ----------------------------------------------------------------------------------------------

    def _module(self, name: str, module: str, port: int, store: Path) -> Process:
        return Process(
            name=name,
            command=[sys.executable, "-m", module, "--port", str(port), "--store", str(store)],
            env={**self.inherited, "PYTHONPATH": str(PROJECT)},
            run=self.layout.run,
            logs=self.layout.logs,
            cwd=PROJECT,
        )

    def _check_space(self) -> None:
        free = shutil.disk_usage(self.layout.root).free // 2**20
        if free < FREE_SPACE_NEEDED_MIB:
            raise SandboxError(
                f"Only {free} MiB are free where {self.layout.root} is; the sandbox needs "
                f"{FREE_SPACE_NEEDED_MIB} MiB. "
                "Free some space and run the command again."
            )
