"""A marketing file that comes late: the day waits for it, says so once, and completes by itself."""

from __future__ import annotations

import pytest

from pipeline.days import current_day
from pipeline.sources import source
from tests.builders.alert_scenes import await_state, await_told, told_about
from tests.builders.running_pipeline import Pipeline

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(600)]

STACK = "gate only"
MARKETING = source("marketing").dag_id


def test_the_load_waits_for_a_late_file_says_so_once_and_goes_on_by_itself(
    pipeline: Pipeline,
) -> None:
    file = pipeline.stack.layout.csv_inbox / "marketing_spend.csv"
    aside = file.rename(file.with_name("spend.txt"))
    run_id = pipeline.start(current_day(), "marketing")["marketing"]
    await_state(pipeline, MARKETING, run_id, "up_for_reschedule")
    (told,) = await_told(pipeline, current_day(), MARKETING)
    assert "Waiting for: There is no marketing_spend" in told.text
    aside.rename(file)
    assert pipeline.end_of(MARKETING, run_id) == "success"
    assert pipeline.tries(MARKETING, run_id, MARKETING) == 1
    assert len(told_about(pipeline, current_day(), MARKETING)) == 1
