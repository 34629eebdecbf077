"""Alerts with a real receiver and the contexts that Airflow itself would hand over."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.bases.operator import BaseOperator
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

from alerting.policy import default_args
from pipeline.settings import settings
from sandbox.slack_inbox import SlackInbox
from tests.builders.alert_context import ContextOf

SIX = datetime(2026, 11, 22, 6, tzinfo=UTC)
RUN_ID = "scheduled__2026-11-22T06:00:00+00:00"


@pytest.fixture(autouse=True)
def alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Settings of this test alone: no webhook, no alerts sent before, an empty warehouse."""
    (tmp_path / "empty.env").touch()
    for name in (
        "SLACK_WEBHOOK_URL",
        "ALERT_WEBHOOK_URL",
        "RUNBOOK_URL",
        "AIRFLOW__API__BASE_URL",
        "ALERTS_DATABASE_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(tmp_path / "empty.env"))
    monkeypatch.setenv("WAREHOUSE_DUCKDB_DIR", str(tmp_path / "warehouse"))
    monkeypatch.setenv("AIRFLOW_UI_URL", "https://airflow.example.com")
    settings.cache_clear()
    yield
    settings.cache_clear()


@pytest.fixture
def slack(slack_inbox: SlackInbox, monkeypatch: pytest.MonkeyPatch) -> SlackInbox:
    """A running Slack inbox that the alerts go to."""
    monkeypatch.setenv("SLACK_WEBHOOK_URL", slack_inbox.webhook_url)
    settings.cache_clear()
    return slack_inbox


@pytest.fixture
def context_of() -> ContextOf:
    """Builds a context as Airflow's task runner and dag-processor do."""

    def build(
        exception: BaseException | None = None,
        *,
        dag_id: str = "extract_postgres_orders",
        task_id: str | None = None,
        kind: Any = "postgres",
        day: str | None = "2026-11-22",
        try_number: int = 1,
        clear_number: int = 0,
        seconds: float | None = 135,
        run_type: str = "scheduled",
    ) -> dict[str, Any]:
        arguments = default_args(kind)
        with DAG(dag_id, schedule=None, start_date=SIX):
            task = BaseOperator(task_id=task_id or dag_id, **arguments)
        run = DagRun(
            dag_id=dag_id,
            run_id=RUN_ID,
            logical_date=None,
            data_interval_start=None,
            data_interval_end=None,
            run_after=SIX,
            start_date=SIX,
            end_date=None,
            clear_number=clear_number,
            run_type=run_type,  # type: ignore[arg-type]
            state="running",  # type: ignore[arg-type]
            consumed_asset_events=[],
            partition_key=day,
        )
        task_instance = RuntimeTaskInstance.model_construct(
            id=uuid.uuid4(),
            task_id=task.task_id,
            dag_id=dag_id,
            run_id=RUN_ID,
            try_number=try_number,
            map_index=-1,
            task=task,
            max_tries=arguments["retries"],
            start_date=SIX if seconds is not None else None,
            end_date=SIX + timedelta(seconds=seconds) if seconds is not None else None,
            _ti_context_from_server=TIRunContext.model_construct(
                dag_run=run, max_tries=arguments["retries"]
            ),
        )
        context: dict[str, Any] = dict(task_instance.get_template_context())
        if exception is not None:
            context["exception"] = exception
        return context

    return build
