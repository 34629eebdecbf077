"""Which days can be asked for, and what is refused with a sentence."""

from __future__ import annotations

import pytest

from ingestion.days import current_day
from ingestion.sources import SOURCES, source
from sandbox.airflow_api import AirflowApiError
from tests.scheduler.pipeline import ALL_SOURCES, Pipeline, days_ago

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(600)]

ORDERS = source("orders").dag_id
WITHOUT_ORDERS = tuple(name for name in ALL_SOURCES if name != "orders")


def test_the_trigger_button_without_a_key_loads_the_current_day(pipeline: Pipeline) -> None:
    run_id = pipeline.api.trigger(ORDERS)
    assert pipeline.end_of(ORDERS, run_id) == "success"
    assert pipeline.api.xcom(ORDERS, run_id, ORDERS)["day"] == current_day().isoformat()
    # Its announcement counts toward the day as that of a scheduled run does.
    events = pipeline.api.call("GET", "/assets/events?limit=100&order_by=-timestamp")["asset_events"]
    assert [event["partition_key"] for event in events if event["source_run_id"] == run_id] == [current_day().isoformat()]
    assert pipeline.pending(current_day()) == 1


@pytest.mark.parametrize("text", ["2026-02-30", "yesterday"])
def test_a_bad_day_is_refused_at_once_with_a_sentence(pipeline: Pipeline, text: str) -> None:
    with pytest.raises(AirflowApiError, match=f"400 .*Partition key '{text}' does not match"):
        pipeline.api.trigger(ORDERS, text)
    with pytest.raises(AirflowApiError, match=f"400 .*'{text}'"):
        pipeline.api.trigger(ORDERS, conf={"day": text})


def test_a_day_that_has_not_come_is_refused_with_a_sentence(pipeline: Pipeline) -> None:
    tomorrow = days_ago(-1)
    run_id = pipeline.api.trigger(ORDERS, tomorrow.isoformat())
    assert pipeline.end_of(ORDERS, run_id) == "failed"
    assert pipeline.tries(ORDERS, run_id, ORDERS) == 1
    assert f"{tomorrow} has not come yet: a day can be loaded from 06:00 UTC on it." in pipeline.log(ORDERS, run_id, ORDERS)
    assert pipeline.pending(tomorrow) == 0


def test_rebuild_day_refuses_an_incomplete_day_and_names_what_is_missing(pipeline: Pipeline) -> None:
    day = days_ago(6)
    pipeline.load(day, "products")
    run_id = pipeline.api.trigger("rebuild_day", conf={"first_day": day.isoformat()})
    assert pipeline.end_of("rebuild_day", run_id) == "failed"
    said = pipeline.log("rebuild_day", run_id, "check_days")
    missing = ", ".join(f"{known.name} (DAG {known.dag_id})" for known in SOURCES if known.name != "products")
    assert f"{day} is not complete: the warehouse has no load record of {missing}." in said
    assert pipeline.dbt_runs(day) == []
