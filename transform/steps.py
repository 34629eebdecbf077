"""The steps of a day: build one layer, run the tests, check how fresh the raw tables are."""

from __future__ import annotations

import logging
import time
from datetime import date
from typing import TYPE_CHECKING, get_args

from pipeline.days import current_day
from pipeline.errors import PermanentError
from transform.dbt_runner import run
from transform.errors import DataTestError, NodeFailure, StaleSourceError
from transform.history import Step, kept, locked
from transform.news import with_news
from transform.outcomes import freshness_result, model_error, model_results, test_result
from transform.project import project
from transform.publication import read_publication
from transform.results import DataTest, FreshnessResult, Layer, LayerResult, ModelResult, TestResult
from warehouse import runs
from warehouse.publication import KEYS_NAMED

if TYPE_CHECKING:
    from transform.settings import TransformSettings
    from warehouse.settings import WarehouseSettings

logger = logging.getLogger(__name__)


def run_layer(
    layer: Layer,
    day: date,
    *,
    full_refresh: bool = False,
    dbt: TransformSettings | None = None,
    warehouse: WarehouseSettings | None = None,
) -> LayerResult:
    """Build one layer's seeds, snapshots and models.

    The models are cumulative: afterwards they hold all that raw holds.

    A retry builds only what failed, if nothing has happened since. ``full_refresh`` builds
    incremental models whole; a model whose rules have changed (SQL, a seed, a variable) does so by
    itself. Marts never follow intermediate models of other rules: those are built again with them.
    The history of customers stays.

    Raises ``ModelDefinitionError`` (permanent), ``ModelError`` (worth a retry) or ``ProjectError``
    (permanent).
    """
    if layer not in get_args(Layer):
        raise PermanentError(f"There is no layer {layer!r}. Layers: {', '.join(get_args(Layer))}.")
    here = project(dbt, warehouse)
    step = Step(layer, day, here)
    with locked(here):
        earlier = step.kept_results()
        if full_refresh:
            earlier = None
        names = [result["name"] for result in earlier or () if result["status"] != "success"]
        selection = names or step.selection(layer)
        options = [
            option for kind in ("model", "seed", "snapshot") for option in ("--resource-type", kind)
        ]
        if full_refresh:
            options.append("--full-refresh")
        outcome = run(here, ["build", *options, "--select", *selection], day)
        with step.connect() as connection:
            models = model_results(outcome.results, connection)
            models += tuple(
                kept(ModelResult, result)
                for result in earlier or ()
                if result["status"] == "success"
            )
            failed = tuple(model for model in models if model.status != "success")
            step.record(
                [model.as_dict() for model in models], succeeded=not failed, connection=connection
            )
    for model in models:
        rows = "" if model.rows is None else f", {model.rows:,} rows"
        logger.info(
            "%s %s: %s%s, %.2f s",
            model.kind,
            model.name,
            "kept" if model.kept else model.status,
            rows,
            model.seconds,
        )
    if failed:
        raise model_error(layer, day, failed)
    return LayerResult(layer, day, step.started_at, step.seconds, models)


def test_all(
    day: date, *, dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> TestResult:
    """Run every data test. A failing test of severity warn is reported, and fails nothing.

    Unit tests are about the code, not about the day: they run where the code is checked, not every
    morning.

    A retry runs only the tests that failed, if nothing has happened since. Raises
    ``DataTestError``, which names the tests, their numbers of failing rows and the first of those
    rows.
    """
    here = project(dbt, warehouse)
    step = Step("test", day, here)
    good = ("pass", "warn")
    with locked(here):
        earlier = step.kept_results()
        names = [result["name"] for result in earlier or () if result["status"] not in good]
        outcome = run(
            here,
            [
                "test",
                "--exclude-resource-type",
                "unit_test",
                *(["--select", *names] if names else []),
            ],
            day,
        )
        with step.connect() as connection:
            tests = tuple(test_result(result, connection) for result in outcome.results)
            tests += tuple(
                kept(DataTest, result) for result in earlier or () if result["status"] in good
            )
            before = runs.latest_run(connection, "test", succeeded=True)
            current = read_publication(warehouse=here.warehouse)
            tests = with_news(tests, before, current.tested_at if current else None)
            failed = tuple(test for test in tests if test.status not in good)
            step.record(
                [test.as_dict() for test in tests], succeeded=not failed, connection=connection
            )
    result = TestResult(day, step.started_at, step.seconds, tests)
    logger.info(
        "%d tests of %s: %d passed, %d warned, %d failed",
        len(tests),
        day,
        result.passed,
        result.warned,
        len(failed),
    )
    for name, rows in result.new_warnings.items():
        logger.warning("%s: %s new rows since the last publication", name, f"{rows:,}")
    if failed:
        failures = tuple(
            NodeFailure(t.name, t.message, t.failing_rows, t.keys[:KEYS_NAMED], t.sql)
            for t in failed
        )
        raise DataTestError(
            f"{len(failed)} of {len(tests)} tests of {day} failed; its marts are not published. If "
            "a table that dbt builds was changed by hand, `python -m transform all "
            f"--full-refresh --day {day}` builds them all anew.",
            failures,
        )
    return result


def source_freshness(
    day: date, *, dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> FreshnessResult:
    """How long ago each raw table was loaded, measured against dbt's freshness rules.

    Raises ``StaleSourceError`` where a rule's error limit is passed, for the current day only: the
    loads of an old day that is built again are old by right.
    """
    here = project(dbt, warehouse)
    started = time.monotonic()
    with locked(here):
        outcome = run(here, ["source", "freshness"], day)
    sources = tuple(freshness_result(result) for result in outcome.results)
    stale = tuple(source for source in sources if source.status == "error")
    for source in sources:
        logger.log(
            logging.WARNING if source.status != "pass" else logging.INFO,
            "%s: %s %s",
            source.name,
            source.status,
            source.message,
        )
    if stale and day >= current_day():
        failures = tuple(NodeFailure(source.name, source.message) for source in stale)
        raise StaleSourceError(
            f"{len(stale)} of {len(sources)} raw tables are older than they may be on {day}.",
            failures,
        )
    return FreshnessResult(day, time.monotonic() - started, sources)
