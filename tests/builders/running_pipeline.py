"""The running pipeline in the terms of these tests: load a day, lock the reader out, wait, see what
dbt and Slack were told.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import psycopg2
import requests

from operations.airflow_api import AirflowApi
from pipeline.days import current_day, known_day, upper_bound
from pipeline.pool import PUBLISH_POOL
from pipeline.sources import SOURCES, source
from sandbox.day import DBT_DAG
from sandbox.processes import stop
from sandbox.shop import open_shop
from sandbox.stack import AIRFLOW_DATABASE, SOURCE_DATABASE, Stack
from transform import read_published
from warehouse import open_warehouse
from warehouse.settings import WarehouseSettings

SCALE = 0.005
PATIENCE = 300.0  # seconds for one thing to happen on a busy machine
POLL_SECONDS = 0.3
OVER = ("success", "failed")
ALL_SOURCES = tuple(known.name for known in SOURCES)

T = TypeVar("T")


def days_ago(number: int) -> date:
    return current_day() - timedelta(days=number)


def eventually(what: str, look: Callable[[], T], seconds: float = PATIENCE) -> T:
    """The first true answer of ``look``; fails the test with ``what`` and the last answer when
    there is none in time.
    """
    deadline = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < deadline, (
            f"Not within {seconds:.0f} seconds: {what}. Last seen: {seen!r}"
        )
        time.sleep(POLL_SECONDS)
    return seen


def create_reader(stack: Stack, user: str, password: str) -> None:
    """The user as whom the pipeline reads the shop: it may see every table and who has transactions
    open.
    """
    with (
        closing(psycopg2.connect(stack.postgres.dsn(SOURCE_DATABASE))) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            f"create role {user} login password %s in role pg_read_all_data, pg_monitor",
            (password,),
        )


@dataclass(frozen=True)
class Pipeline:
    """One stack with an open shop."""

    stack: Stack

    @property
    def api(self) -> AirflowApi:
        return self.stack.api

    # Airflow's own parts
    # --------------------------------------------------------------------------------------------

    def stop(self, component: str) -> None:
        """End one of Airflow's processes ("scheduler", "dag-processor") as an operator does, with
        what it has started.
        """
        stop(self.stack.layout.run / f"airflow-{component}.json")

    def start_components(self, settings: dict[str, str] | None = None) -> None:
        """Start whatever of Airflow does not run, with other settings than before if some are
        given, and wait for it.
        """
        self.stack.launch_airflow({**self.stack.airflow_env(), **(settings or {})})
        self.stack.await_airflow()

    def set_pool(self, slots: int | None) -> None:
        """Slots of the pool in which sources announce; None removes it."""
        if slots is None:
            self.api.call("DELETE", f"/pools/{PUBLISH_POOL}")
        elif self.api.pool_slots(PUBLISH_POOL) is None:
            self.api.call("POST", "/pools", json={"name": PUBLISH_POOL, "slots": slots})
        else:
            body = {"name": PUBLISH_POOL, "slots": slots, "include_deferred": False}
            self.api.call("PATCH", f"/pools/{PUBLISH_POOL}?update_mask=slots", json=body)

    # the shop
    # ----------------------------------------------------------------------------------------------

    def open_shop(self) -> None:
        """Unless a file that shares this stack has."""
        if self.shop("select to_regclass('orders')") == [(None,)]:
            open_shop(*self.stack.shop_address, scale=SCALE, until=upper_bound(current_day()))

    def shop(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement in the source database and commit it; its rows if it has any."""
        return _run(self.stack.postgres.dsn(SOURCE_DATABASE), sql, parameters)

    @contextmanager
    def shop_unavailable(self) -> Iterator[None]:
        """The source database takes no connection of the pipeline: an error that passes."""
        user = self.stack.extra_env["POSTGRES_USER"]
        self.shop(f"alter role {user} connection limit 0")
        try:
            yield
        finally:
            self.shop(f"alter role {user} connection limit -1")

    @contextmanager
    def table_locked(self, table: str) -> Iterator[None]:
        """Nobody can read the table: a load of it hangs, for a minute at most."""
        with (
            closing(psycopg2.connect(self.stack.postgres.dsn(SOURCE_DATABASE))) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(f"lock table {table} in access exclusive mode")
            yield
            connection.rollback()

    def cancel_an_order(self, day: date) -> tuple[date, Decimal]:
        """Cancel an order a minute before the day ends, one that has not changed since; its date
        and total.
        """
        end = upper_bound(day)
        (order_id, ordered, total) = self.shop(
            """select order_id, order_date::date, total_amount from orders
               where greatest(created_at, updated_at) <= %s
                   and lower(trim(status)) not in ('cancelled', 'canceled')
               order by created_at desc limit 1""",
            end - timedelta(minutes=2),
        )[0]
        cancel = "update orders set status = 'cancelled', updated_at = %s where order_id = %s"
        self.shop(cancel, end - timedelta(minutes=1), order_id)
        return ordered, total

    def revenue(self) -> dict[date, tuple[int, Decimal]]:
        """(orders, gross revenue) by date of order, as published."""
        rows = read_published(
            "select order_date, orders, gross_revenue from published.fct_daily_revenue",
            WarehouseSettings(
                _env_file=None, kind="duckdb", duckdb_dir=self.stack.layout.warehouse
            ),
        )
        return {row[0]: row[1:] for row in rows}  # type: ignore[misc]

    # runs
    # ----------------------------------------------------------------------------------------------

    def start(self, day: date, *names: str) -> dict[str, str]:
        """Trigger the load of a day for these sources; run ids by the name of the source."""
        return {name: self.api.trigger(source(name).dag_id, day.isoformat()) for name in names}

    def load(self, day: date, *names: str) -> None:
        """Trigger the load of a day for these sources and wait until all of them have succeeded."""
        for name, run_id in self.start(day, *names).items():
            assert self.end_of(source(name).dag_id, run_id) == "success", name

    def end_of(self, dag_id: str, run_id: str) -> str:
        """How a run ended: "success" or "failed"."""
        return eventually(f"{dag_id} {run_id} ends", lambda: self._ended(dag_id, run_id))

    def _ended(self, dag_id: str, run_id: str) -> str:
        state = str(self.api.run(dag_id, run_id)["state"])
        return state if state in OVER else ""

    def tries(self, dag_id: str, run_id: str, task_id: str) -> int:
        return int(self.task(dag_id, run_id, task_id)["try_number"])

    def task(self, dag_id: str, run_id: str, task_id: str) -> dict[str, Any]:
        return next(
            task for task in self.api.task_instances(dag_id, run_id) if task["task_id"] == task_id
        )

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        return "\n".join(self.api.log(dag_id, run_id, task_id, try_number))

    # days
    # ----------------------------------------------------------------------------------------------

    def dbt_runs(self, day: date) -> list[dict[str, Any]]:
        """Runs of dbt for a day, oldest first, without those that found it built at their gate."""
        skipped = self.skipped_runs()
        return [
            run
            for run in reversed(self.api.runs(DBT_DAG))
            if known_day(run) == day and run["dag_run_id"] not in skipped
        ]

    def skipped_runs(self) -> set[str]:
        """Runs of dbt that had nothing left to do."""
        sql = (
            "select run_id from task_instance "
            "where dag_id = %s and task_id = %s and state = 'skipped'"
        )
        return {run_id for (run_id,) in self.metadata(sql, DBT_DAG, "all_extractions_complete")}

    def await_dbt(self, day: date, number: int = 1) -> dict[str, Any]:
        """The day's dbt run of that number, once it has succeeded."""

        def found() -> dict[str, Any]:
            runs = self.dbt_runs(day)
            return (
                runs[number - 1]
                if len(runs) >= number and runs[number - 1]["state"] in OVER
                else {}
            )

        run = eventually(f"dbt run {number} of {day} ends", found)
        assert run["state"] == "success"
        return run

    def await_rest(self) -> None:
        """Wait until nothing runs, is queued, or is about to be created."""

        def at_rest() -> bool:
            return not (self.api.active_runs() or self._ready()) and not self.api.active_runs()

        eventually("nothing runs any more", at_rest)

    def pending(self, day: date) -> int:
        """Airflow's rows of dbt runs of a day that wait for further sources."""
        sql = (
            "select count(*) from asset_partition_dag_run "
            "where created_dag_run_id is null and partition_key = %s"
        )
        return int(self.metadata(sql, day.isoformat())[0][0])

    def _ready(self) -> list[tuple[Any, ...]]:
        """Pending rows that have events of all six sources: the scheduler is about to make runs of
        them.
        """
        return self.metadata(
            """select pending.partition_key from asset_partition_dag_run pending
               join partitioned_asset_key_log event on event.asset_partition_dag_run_id = pending.id
               where pending.created_dag_run_id is null group by pending.id, pending.partition_key
               having count(distinct event.asset_id) = %s""",
            len(SOURCES),
        )

    def metadata(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run one statement in Airflow's own database and commit it."""
        return _run(self.stack.postgres.dsn(AIRFLOW_DATABASE), sql, parameters)

    def assert_built_from_its_own_loads(self, day: date) -> None:
        """The gate of the day's newest dbt run found six loads, the latest of that day of each
        source.
        """
        loads = self.api.xcom(
            DBT_DAG, self.dbt_runs(day)[-1]["dag_run_id"], "all_extractions_complete"
        )
        assert [load["source"] for load in loads] == list(ALL_SOURCES)
        assert {load["window"][1] for load in loads} == {upper_bound(day).isoformat()}
        known = {record.source: record.load_id for record in open_warehouse().load_records(day)}
        assert {load["source"]: load["load_id"] for load in loads} == known

    def assert_dbt_ran(self, times: int, days: Iterable[date]) -> None:
        """Each of these days was built exactly so many times, always with success, and nothing is
        left pending.
        """
        self.await_rest()
        for day in days:
            assert [run["state"] for run in self.dbt_runs(day)] == ["success"] * times, day
            assert self.pending(day) == 0, day

    # Slack
    # ----------------------------------------------------------------------------------------------

    def messages(self, day: date) -> list[str]:
        """Texts of the messages that name a day, oldest first."""
        return [message["text"] for message in self.received() if f"Day: {day}" in message["text"]]

    def received(self) -> list[dict[str, Any]]:
        """All messages, oldest first, their texts without marks for bold."""
        messages = requests.get(f"{self.stack.slack_url}/messages", timeout=10).json()
        return [{**message, "text": message["text"].replace("*", "")} for message in messages]

    def await_messages(self, day: date, number: int) -> list[str]:
        def enough() -> list[str]:
            texts = self.messages(day)
            return texts if len(texts) >= number else []

        return eventually(f"{number} messages of {day}", enough)

    @contextmanager
    def slack_answers(self, status: int) -> Iterator[None]:
        """Slack refuses every message with this HTTP status."""
        faults = f"{self.stack.slack_url}/_inbox/faults"
        requests.post(faults, json={"answer": status, "times": 1000}, timeout=10).raise_for_status()
        try:
            yield
        finally:
            requests.post(
                faults, json={"answer": status, "times": 0}, timeout=10
            ).raise_for_status()


def _run(dsn: str, sql: str, parameters: tuple[object, ...]) -> list[tuple[Any, ...]]:
    with closing(psycopg2.connect(dsn)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql, parameters or None)
        return cursor.fetchall() if cursor.description else []
