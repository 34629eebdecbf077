"""The pipeline page on Airflow's real API server, with a history of four months."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest
import requests
import sqlalchemy as sa

from operations.airflow_api import AirflowApi
from pipeline.days import current_day
from sandbox.airflow_local import (
    AirflowAddress,
    airflow,
    airflow_environment,
    components,
    prepare_metadata,
)
from sandbox.layout import Layout
from sandbox.postgres import EmbeddedPostgres
from sandbox.processes import free_port, stop
from tests.builders.chromium import DESKTOP, Seen
from tests.builders.page_history import History

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Scheme = Literal["light", "dark"]

HOSTILE = (
    "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script> "
    "no route to the shop"
)
REFUSED = (
    "The source database cannot be reached: connection to server at shop-db, port 5432 failed: "
    "Connection refused"
)
FIRST_PORT = 18080


@dataclass(frozen=True)
class Served:
    """An API server with the page, its users, and its database."""

    address: AirflowAddress
    layout: Layout
    engine: sa.Engine
    env: dict[str, str]
    base: str = ""  # the path before everything

    @property
    def airflow_url(self) -> str:
        return f"{self.address.url}{self.base}"

    @property
    def url(self) -> str:
        return f"{self.airflow_url}/pipeline/"

    def token(self, user: str = "admin") -> str:
        body = {"username": user, "password": self.layout.generated[f"{user}_password"]}
        return str(
            requests.post(f"{self.airflow_url}/auth/token", json=body, timeout=30).json()[
                "access_token"
            ]
        )

    def get(self, path: str, user: str | None = "admin") -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        return requests.get(self.url + path, headers=headers, timeout=30)

    def raised(self, text: str) -> None:
        """Every error that the alerts remember becomes this text."""
        with sqlite3.connect(self.layout.root / "alerts.sqlite") as connection:
            connection.execute("update sent_alerts set exception = ?", [text])
        connection.close()

    @property
    def api(self) -> AirflowApi:
        return AirflowApi(self.address.url, self.address.user, self.address.password)


@contextmanager
def serving(postgres: EmbeddedPostgres, folder: Path) -> Iterator[Served]:
    """The page with a history of four months, the last week of which has one day of each kind of
    trouble.
    """
    layout = Layout(folder)
    layout.make()
    postgres.create_database("pipeline_page")
    url = postgres.dsn("pipeline_page").replace("postgresql://", "postgresql+psycopg2://", 1)
    address = AirflowAddress(free_port(FIRST_PORT), "admin", layout.generated["admin_password"])
    pipeline = {
        "ECOMMERCE_ENV_FILE": str(_empty(layout.root / "empty.env")),
        "WAREHOUSE_KIND": "duckdb",
        "WAREHOUSE_DUCKDB_DIR": str(layout.warehouse),
        "ALERTS_DATABASE_URL": f"sqlite:///{layout.root / 'alerts.sqlite'}",
    }
    env = airflow_environment(layout, address, free_port(FIRST_PORT + 500), url, pipeline)
    prepare_metadata(env, layout.logs / "setup.log")
    airflow("dags", "reserialize", env=env, log=layout.logs / "setup.log")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        write_history(History(connection))
        connection.execute(
            sa.text("analyze")
        )  # as autovacuum has, of a history that took its months to grow
    write_error(layout)
    server = components(layout, env)["api-server"]
    server.start()
    try:
        server.wait_until(
            lambda: _answers(f"{address.url}/api/v2/version"), 180, "Starting the API server"
        )
        yield Served(address, layout, engine, env)
    finally:
        stop(layout.run / "airflow-api-server.json")
        engine.dispose()


@contextmanager
def behind_a_path(served: Served, base: str) -> Iterator[Served]:
    """A second API server on the same database that believes to be reached below a path."""
    port = free_port(FIRST_PORT + 40)
    address = replace(served.address, port=port)
    env = {
        **served.env,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"{address.url}{base}",
    }
    layout = Layout(served.layout.root / "behind_a_path")
    layout.make()
    server = components(layout, env)["api-server"]
    server.start()
    try:
        up = f"{address.url}{base}/api/v2/version"
        server.wait_until(lambda: _answers(up), 180, "Starting the API server behind a path")
        yield replace(served, address=address, base=base)
    finally:
        stop(layout.run / "airflow-api-server.json")


@contextmanager
def signed_in(
    browser: Browser,
    served: Served,
    path: str,
    user: str = "admin",
    scheme: Scheme = "light",
    size: tuple[int, int] = DESKTOP,
) -> Iterator[Seen]:
    """A page of Airflow's UI as that user sees it."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": size[0], "height": size[1]}
    )
    context.add_cookies(
        [{"name": "_token", "value": served.token(user), "url": served.address.url}]
    )
    try:
        seen = Seen(context.new_page())
        seen.page.on("request", lambda request: _foreign(seen, request.url, served.address.url))
        seen.page.on(
            "console",
            lambda message: seen.errors.append(message.text) if message.type == "error" else None,
        )
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.goto(served.airflow_url + path)
        yield seen
    finally:
        context.close()


def _foreign(seen: Seen, url: str, own: str) -> None:
    if not url.startswith((own, "data:", "blob:")):
        seen.foreign.append(url)


def write_history(history: History) -> None:
    """Days before the current one: 2 orders late, 3 orders failed, 4 missing, 5 charges stale, 6
    tests failed; else well.
    """
    chance, today = random.Random(20260101), current_day()
    five = ("customers", "products", "order_items", "charges", "marketing")
    for back in range(1, 120):
        day = today - timedelta(days=back)
        if back == 2:
            for name in five:
                history.load(name, day, rejects=34 if name == "marketing" else 0)
            history.load("orders", day, seconds=1500)
            history.build(day, at=26)
        elif back == 3:
            for name in five:
                history.load(name, day)
            history.load("orders", day, state="failed", try_number=3)
        elif back == 5:
            history.ordinary(day, chance)
            history.load("charges", day, at=300, run_type="manual")
        elif back == 6:
            for name in five:
                history.load(name, day)
            history.load("orders", day)
            history.build(day, failing="dbt_test_all")
        elif back != 4:
            history.ordinary(day, chance)


def write_error(layout: Layout) -> None:
    """What the failed load of three days ago had raised, as the alerts remember it."""
    from alerting.alert import Alert
    from alerting.settings import AlertingSettings
    from alerting.store import claim
    from pipeline.settings import settings

    day = str(current_day() - timedelta(days=3))
    dag_id = "extract_postgres_orders"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALERTS_DATABASE_URL", f"sqlite:///{layout.root / 'alerts.sqlite'}")
        settings.cache_clear()
        assert settings(AlertingSettings).store_url().endswith("alerts.sqlite")
        assert claim(
            Alert(
                status="failure", dag_id=dag_id, key="k", task_id=dag_id, day=day, exception=REFUSED
            )
        )
    settings.cache_clear()


def _empty(file: Path) -> Path:
    file.touch()
    return file


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.RequestException:
        return False
