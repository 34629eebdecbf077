"""A client of Airflow's REST API: what back-fills, the sandbox and the tests need of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import requests

TIMEOUT_SECONDS = 30


class AirflowApiError(Exception):
    """Airflow refused a request; the text carries its status and answer.

    ``status`` is that of HTTP, None without an answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class AirflowApi:
    """Signs in on first use.

    Every method raises ``AirflowApiError`` when Airflow answers with an error status.

    ``token`` is one that the deployment has handed out; with it nobody signs in.
    """

    url: str
    user: str
    password: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    _session: requests.Session = field(default_factory=requests.Session, repr=False)
    _signed_in: bool = False

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """The decoded answer of ``/api/v2`` + path."""
        if not self._signed_in:
            self._sign_in()
        answer = self._session.request(
            method, f"{self.url}/api/v2{path}", timeout=TIMEOUT_SECONDS, **arguments
        )
        # Our own token has run out.
        if answer.status_code == requests.codes.unauthorized and not self.token:
            self._sign_in()
            answer = self._session.request(
                method, f"{self.url}/api/v2{path}", timeout=TIMEOUT_SECONDS, **arguments
            )
        if not answer.ok:
            raise AirflowApiError(
                f"{method} {path}: {answer.status_code} {answer.text[:500]}", answer.status_code
            )
        return answer.json() if answer.content else None

    def _sign_in(self) -> None:
        if self.token:
            self._session.headers["Authorization"] = f"Bearer {self.token}"
            self._signed_in = True
            return
        body = {"username": self.user, "password": self.password}
        answer = self._session.post(f"{self.url}/auth/token", json=body, timeout=TIMEOUT_SECONDS)
        if not answer.ok:
            raise AirflowApiError(
                f"Airflow refused the sign-in of {self.user}: {answer.status_code}",
                answer.status_code,
            )
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        self._signed_in = True

    def healthy(self) -> bool:
        """Whether all components report a fresh heartbeat."""
        try:
            answer = self._session.get(f"{self.url}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            return False
        parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
        return all((answer.get(part) or {}).get("status") == "healthy" for part in parts)

    def pool_slots(self, name: str) -> int | None:
        """Slots of a pool, None if there is no such pool."""
        try:
            return int(self.call("GET", f"/pools/{name}")["slots"])
        except AirflowApiError as error:
            if error.status != requests.codes.not_found:
                raise
            return None

    def dag_ids(self) -> set[str]:
        return {dag["dag_id"] for dag in self.call("GET", "/dags?limit=100")["dags"]}

    def import_errors(self) -> list[dict[str, Any]]:
        return list(self.call("GET", "/importErrors")["import_errors"])

    def trigger(
        self, dag_id: str, day: str | None = None, conf: dict[str, Any] | None = None
    ) -> str:
        """Start a run, of that day's partition where one is given; returns the run's id."""
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if day:
            body["partition_key"] = day
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Runs of a DAG, newest first."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns?limit=100&order_by=-id")["dag_runs"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return dict(self.call("GET", f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}"))

    def active_runs(self) -> list[tuple[str, str]]:
        """(DAG, run) of everything that runs or is queued."""
        runs = self.call("GET", "/dags/~/dagRuns?state=running&state=queued&limit=100")["dag_runs"]
        return [(run["dag_id"], run["dag_run_id"]) for run in runs]

    def clear(self, dag_id: str, run_id: str, task_id: str, *, downstream: bool = True) -> None:
        """Run a task again, by default with everything that follows it."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": [task_id],
            "include_downstream": downstream,
            "only_failed": False,
        }
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", json=body)

    def pause(self, dag_id: str, paused: bool) -> None:
        self.call("PATCH", f"/dags/{dag_id}?update_mask=is_paused", json={"is_paused": paused})

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        return list(
            self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100")[
                "task_instances"
            ]
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        instance = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        path = f"{instance}/xcomEntries/{key}?deserialize=true"
        return self.call("GET", path)["value"]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """Lines of a task's log, with what was raised."""
        instance = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        path = f"{instance}/logs/{try_number}?full_content=true"
        content = self.call("GET", path, headers={"Accept": "application/json"})["content"]
        return [
            line
            for entry in content
            for line in ([entry] if isinstance(entry, str) else _lines(entry))
        ]


def _lines(entry: dict[str, Any]) -> list[str]:
    """A structured entry of a log: its event, then the exceptions it carries."""
    raised = [
        f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()
    ]
    return [entry.get("event", ""), *raised]
