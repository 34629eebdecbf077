"""The policy table says what the specification's says, and permanent errors are not tried again."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta

import pytest
from airflow.sdk import DAG, RetryAction
from airflow.sdk.bases.operator import BaseOperator

from alerting.policy import PIPELINE_SLA, POLICIES, RETRY_POLICY, default_args, pipeline_sla, policy
from pipeline.errors import (
    CredentialsError,
    PassingError,
    PermanentError,
    RateLimitedError,
    SourceUnavailableError,
)
from pipeline.settings import PROJECT
from transform.errors import DataTestError, ModelDefinitionError, ModelError, ProjectError

# kind: retries, delay (min), SLA (min), as in the specification
SPECIFICATION = {
    "postgres": (2, 5, 10),
    "stripe": (2, 5, 10),
    "csv": (2, 5, 10),
    "dbt_run": (2, 5, 15),
    "dbt_test": (1, 3, 5),
}


@pytest.mark.parametrize("kind", SPECIFICATION)
def test_retries_delays_and_slas_are_the_specified_ones(kind: str) -> None:
    specified = POLICIES[kind]  # type: ignore[index]
    assert specified.sla is not None
    assert (
        specified.retries,
        specified.delay / timedelta(minutes=1),
        specified.sla / timedelta(minutes=1),
    ) == SPECIFICATION[kind]
    assert specified.execution_timeout == timedelta(minutes=30)


def test_a_notification_is_not_retried_and_the_pipeline_has_half_an_hour() -> None:
    assert POLICIES["notification"].retries == 0
    assert timedelta(minutes=30) == PIPELINE_SLA


@pytest.mark.parametrize(
    "error", [PermanentError, CredentialsError, ProjectError, ModelDefinitionError]
)
def test_a_permanent_error_is_not_tried_again(error: type[Exception]) -> None:
    assert RETRY_POLICY.evaluate(error("x"), 1, 2).action is RetryAction.FAIL


@pytest.mark.parametrize(
    "error",
    [PassingError, SourceUnavailableError, ModelError, DataTestError, ValueError, RateLimitedError],
)
def test_any_other_error_is_tried_again_as_the_table_says(error: type[Exception]) -> None:
    assert RETRY_POLICY.evaluate(error("x"), 1, 2).action is RetryAction.DEFAULT


def test_a_rate_limit_waits_what_the_server_asked_for() -> None:
    decision = RETRY_POLICY.evaluate(RateLimitedError("x", retry_after=17), 1, 2)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=17))


def test_delays_can_be_shortened_by_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTING_RETRY_DELAY_SECONDS", "2")
    assert default_args("postgres")["retry_delay"] == timedelta(seconds=2)
    assert default_args("postgres")["retries"] == 2


def test_slas_can_be_shortened_by_a_setting_and_never_lengthened(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ALERTING_SLA_SECONDS", "postgres=5, pipeline=60, dbt_test=86400")
    assert policy("postgres").sla == timedelta(seconds=5)
    assert pipeline_sla() == timedelta(seconds=60)
    assert policy("dbt_test").sla == timedelta(minutes=5)
    assert policy("csv").sla == timedelta(minutes=10)


def test_the_policy_of_a_dag_survives_airflows_serialization() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("policy", schedule=None) as dag:
        BaseOperator(task_id="load", **default_args("postgres"))
    serialized = json.dumps(DagSerialization.to_dict(dag), default=str)
    assert "has_retry_policy" in serialized


def test_a_dag_file_that_takes_its_policy_from_here_loads_nothing_heavy() -> None:
    program = (
        "import sys, alerting, alerting.policy; alerting.policy.default_args('postgres');"
        "print(sorted({'dbt', 'duckdb', 'pyarrow', 'pandas', 'slack_sdk', 'pipeline.settings'} & "
        "set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stderr
