"""The whole sandbox: stand-ins for the sources and Slack, Airflow, the business view."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
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

    # addresses
    # ----------------------------------------------------------------------------------------------

    def ports(self) -> dict[str, int]:
        """The ports it has while it runs, else those of last time or the next ones that are free.

        A sandbox that was started before a service was added lacks the port of that.
        """
        file = self.layout.root / "ports.json"
        known = json.loads(file.read_text()) if file.exists() else {}
        settled = known if self.running() else {}
        ports = {
            name: settled.get(name) or free_port(known.get(name, port))
            for name, port in PREFERRED_PORTS.items()
        }
        if ports != known:
            file.write_text(json.dumps(ports))
        return ports

    def _url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports()[service]}"

    @property
    def airflow_address(self) -> AirflowAddress:
        password = self.layout.generated["admin_password"]
        return AirflowAddress(self.ports()["airflow"], "admin", password)

    @property
    def api(self) -> AirflowApi:
        address = self.airflow_address
        return AirflowApi(address.url, address.user, address.password)

    @property
    def stripe_url(self) -> str:
        return self._url("stripe")

    @property
    def slack_url(self) -> str:
        return self._url("slack")

    @property
    def dashboard_url(self) -> str:
        return self._url("dashboard")

    @property
    def shop_address(self) -> tuple[str, str, Path]:
        """Where ``sandbox.shop`` finds its three systems: source database, Stripe, CSV inbox."""
        return self.postgres.dsn(SOURCE_DATABASE), self.stripe_url, self.layout.csv_inbox

    # settings
    # ----------------------------------------------------------------------------------------------

    def pipeline_settings(self) -> dict[str, str]:
        """What the pipeline has to know about this sandbox."""
        source = self.postgres.settings(SOURCE_DATABASE)
        return {
            "ECOMMERCE_ENV_FILE": str(self.layout.env_file),
            **{f"POSTGRES_{name.upper()}": str(value) for name, value in source.items()},
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
        metadata = self.postgres.dsn(AIRFLOW_DATABASE).replace("://", "+psycopg2://", 1)
        return airflow_environment(
            self.layout,
            self.airflow_address,
            self.ports()["scheduler_health"],
            metadata,
            self.pipeline_settings(),
            self.dags,
            self.inherited,
        )

    # life
    # ----------------------------------------------------------------------------------------------

    def start_stand_ins(self, say: Say) -> None:
        """PostgreSQL with its two databases, Stripe emulator, Slack inbox, CSV inbox."""
        self.layout.make()
        free = shutil.disk_usage(self.layout.root).free // 2**20
        if free < FREE_SPACE_NEEDED_MIB:
            raise SandboxError(
                f"Only {free} MiB are free where {self.layout.root} is; the sandbox needs "
                f"{FREE_SPACE_NEEDED_MIB} MiB. Free some space and run the command again."
            )
        ports = self.ports()
        self.postgres.start()
        for database in (SOURCE_DATABASE, AIRFLOW_DATABASE):
            self.postgres.create_database(database)
        say(f"PostgreSQL on 127.0.0.1:{self.postgres.port} ({SOURCE_DATABASE}, {AIRFLOW_DATABASE})")
        for name, service, store in (
            ("stripe-emulator", "stripe", self.layout.stripe),
            ("slack-inbox", "slack", self.layout.slack),
        ):
            where = ("--port", str(ports[service]), "--store", str(store))
            module = f"sandbox.{name.replace('-', '_')}"
            self._serve(self._process(name, module, *where), self._url(service))
        say(f"Stripe emulator on {self.stripe_url}, Slack inbox on {self.slack_url}")
        say(f"CSV inbox in {self.layout.csv_inbox}")
        self.layout.env_file.touch(mode=0o600)
        for_the_shell = {**self.pipeline_settings(), **self.api_settings()}
        lines = (f"{name}={value}\n" for name, value in for_the_shell.items())
        self.layout.env_file.write_text("".join(lines))

    def start_airflow(self, say: Say) -> None:
        """Airflow's four processes, ready to run DAGs, on a migrated database with its pool."""
        env, log = self.airflow_env(), self.layout.logs / "airflow-setup.log"
        # The database of another Airflow version needs migrating again.
        marker = self.layout.airflow_home / f"migrated-{version('apache-airflow-core')}"
        if not marker.exists():
            prepare_metadata(env, log)
            marker.touch()
            say("Airflow's metadata database migrated, pool of one slot created")
        elif complaint_about(self._pool_slots()):  # Airflow would not start
            create_pool(env, log)
            say("Pool of one slot created again")
        self.launch_airflow(env)
        self.await_airflow()

    def _pool_slots(self) -> int | None:
        """Slots of the pool in which sources announce, from the table itself."""
        with (
            closing(psycopg2.connect(self.postgres.dsn(AIRFLOW_DATABASE))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("select slots from slot_pool where pool = %s", (PUBLISH_POOL,))
            return next((int(slots) for (slots,) in cursor.fetchall()), None)

    def launch_airflow(self, env: dict[str, str]) -> None:
        for process in components(self.layout, env).values():
            process.start()

    def await_airflow(self) -> None:
        """Wait until all four processes are healthy and every DAG file is loaded."""
        processes, api = components(self.layout, self.airflow_env()), self.api
        expected = {path.stem for path in (self.dags or PROJECT / "dags").glob("*.py")}

        def healthy() -> bool:
            for process in processes.values():
                if process.running() is None:
                    process.wait_until(lambda: False, 0, "Starting Airflow")
            return api.healthy()

        def loaded() -> bool:
            if errors := api.import_errors():
                shown = "\n".join(f"{one['filename']}:\n{one['stack_trace']}" for one in errors)
                raise SandboxError(f"Airflow could not import a DAG file.\n{shown}")
            return expected <= api.dag_ids()

        processes["api-server"].wait_until(healthy, 180, "Starting Airflow")
        processes["dag-processor"].wait_until(loaded, 120, "Loading the DAG files")

    def start_dashboard(self, say: Say) -> None:
        """The business view. It is told where the published marts are, nothing of the sources."""
        warehouse = {"WAREHOUSE_KIND": "duckdb", "WAREHOUSE_DUCKDB_DIR": str(self.layout.warehouse)}
        port = str(self.ports()["dashboard"])
        process = self._process("dashboard", "dashboard", "--port", port, env=warehouse)
        self._serve(process, f"{self.dashboard_url}/_stcore/health")
        say(f"Business view on {self.dashboard_url}")

    def stop(self, say: Say) -> bool:
        """End everything, PostgreSQL last; tells whether anything ran."""
        files = [self.layout.run / f"{name}.json" for name in SERVICES]
        seconds = [STOP_SECONDS.get(name, STOP_PATIENCE) for name in SERVICES]
        with ThreadPoolExecutor(len(files)) as pool:
            ran = zip(SERVICES, pool.map(stop, files, seconds), strict=True)
            stopped = [name for name, was_running in ran if was_running]
        if self.postgres.pid:
            stopped.append("postgres")
        self.postgres.stop()
        if stopped:
            say(f"stopped {', '.join(stopped)}")
        self.layout.env_file.unlink(missing_ok=True)
        return bool(stopped)

    def running(self) -> dict[str, int]:
        """Process ids of what runs, by name."""
        alive = {name: remembered(self.layout.run / f"{name}.json") for name in SERVICES}
        return {name: process.pid for name, process in alive.items() if process}

    def _process(
        self, name: str, module: str, *arguments: str, env: dict[str, str] | None = None
    ) -> Process:
        return Process(
            name=name,
            command=[sys.executable, "-m", module, *arguments],
            env={**self.inherited, "PYTHONPATH": str(PROJECT), **(env or {})},
            run=self.layout.run,
            logs=self.layout.logs,
            cwd=PROJECT,
        )

    @staticmethod
    def _serve(process: Process, url: str) -> None:
        def answers() -> bool:
            try:
                return requests.get(url, timeout=2).status_code < 500
            except requests.RequestException:
                return False

        process.start()
        process.wait_until(answers, 60, f"Starting the {process.name}")
