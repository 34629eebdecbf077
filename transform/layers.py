"""Runs one layer, the tests, or the freshness check: dbt's results become rows, seconds and
readable errors.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, get_args

from pipeline.days import current_day
from pipeline.errors import PermanentError
from transform.dbt_runner import run
from transform.errors import (
    DataTestError,
    ModelDefinitionError,
    ModelError,
    NodeFailure,
    StaleSourceError,
    TransformError,
)
from transform.project import Project, project
from transform.results import (
    DataTest,
    FreshnessResult,
    Layer,
    LayerResult,
    ModelResult,
    SourceFreshness,
    TestResult,
)
from warehouse import open_warehouse, runs
from warehouse.runs import RawState, Run

if TYPE_CHECKING:
    from transform.settings import TransformSettings
    from warehouse.settings import WarehouseSettings

logger = logging.getLogger(__name__)

SELECTION: dict[Layer, tuple[str, ...]] = {
    "staging": ("path:seeds", "path:models/staging"),
    "intermediate": ("path:models/intermediate",),
    "marts": ("path:snapshots", "path:models/marts", "path:models/watermark"),
}
KEYS_SHOWN = (
    3  # failing rows named in an error or alert; all of them are in the test's table of failures
)
COLUMNS_SHOWN = 4

# The warehouse says with these that the SQL itself is wrong: the next try would say the same.
_DEFINITION_ERRORS = (
    "Compilation Error",
    "Binder Error",
    "Parser Error",
    "Catalog Error",
    "SQL compilation error",
)


def run_layer(
    layer: Layer,
    day: date,
    *,
    full_refresh: bool = False,
    dbt: TransformSettings | None = None,
    warehouse: WarehouseSettings | None = None,
) -> LayerResult:
    """Build one layer's seeds, snapshots and models. The models are cumulative: afterwards they
    hold all that raw holds.

    A retry builds only what failed, if nothing has happened since. ``full_refresh`` builds
    incremental models whole, which happens by itself when a rule has changed (SQL, a seed, a
    variable), and until a build that began whole has come to its end.
    Marts never follow intermediate models of other rules: those are built again with them. The
    history of customers stays.

    Raises ``ModelDefinitionError`` (permanent), ``ModelError`` (worth a retry) or ``ProjectError``
    (permanent).
    """
    if layer not in get_args(Layer):
        raise PermanentError(f"There is no layer {layer!r}. Layers: {', '.join(get_args(Layer))}.")
    here = project(dbt, warehouse)
    step = _Step(layer, day, here)
    with locked(here):
        kept = step.kept_results()
        selection = list(SELECTION[layer])
        if full_refresh:
            kept = None
        elif layer != "staging":
            full_refresh, kept, selection = step.what_rules_ask_for(kept, selection)
        names = [result["name"] for result in kept or () if result["status"] != "success"]
        selection = names or selection
        options = [
            option for kind in ("model", "seed", "snapshot") for option in ("--resource-type", kind)
        ]
        if full_refresh:
            options.append("--full-refresh")
        outcome = run(here, ["build", *options, "--select", *selection], day)
        with step.connect() as connection:
            models = tuple(_model(result, connection) for result in outcome.results)
            models += tuple(
                _kept(ModelResult, result) for result in kept or () if result["status"] == "success"
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
        raise _model_error(layer, day, failed)
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
    step = _Step("test", day, here)
    good = ("pass", "warn")
    with locked(here):
        kept = step.kept_results()
        names = [result["name"] for result in kept or () if result["status"] not in good]
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
            tests = tuple(_test(result, connection) for result in outcome.results)
            tests += tuple(
                _kept(DataTest, result) for result in kept or () if result["status"] in good
            )
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
    if failed:
        failures = tuple(
            NodeFailure(t.name, t.message, t.failing_rows, t.keys, t.sql) for t in failed
        )
        raise DataTestError(
            f"{len(failed)} of {len(tests)} tests of {day} failed; its marts are not published.",
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
    sources = tuple(_freshness(result) for result in outcome.results)
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


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def locked(here: Project) -> AbstractContextManager[None]:
    """DuckDB has one writer at a time, and dbt holds the file for its whole run. Snowflake needs no
    such lock.
    """
    return open_warehouse(here.warehouse).lock()


class _Step:
    """One try of one step of one day, and what the history knows of the try before."""

    def __init__(self, name: str, day: date, here: Project) -> None:
        self.name, self.day, self.here = name, day, here
        self.warehouse = open_warehouse(here.warehouse)
        self.started_at = _utc_now()
        self._started = time.monotonic()
        self._raw: RawState | None = None
        self._rules = here.rules()
        self._project = f"{self._rules}:{here.fingerprint()}"

    @property
    def seconds(self) -> float:
        return round(time.monotonic() - self._started, 3)

    @contextmanager
    def connect(self) -> Iterator[Any]:
        with self.warehouse.marts(read_only=False) as connection:
            yield connection

    def kept_results(self) -> list[dict[str, Any]] | None:
        """Results of the try before, if this one may build on them: it was the last thing that
        happened here, it failed, and neither the project nor the raw tables have changed since.
        Else None, and everything runs."""
        with self.warehouse.marts() as connection:
            self._raw = runs.raw_state(connection, self.day)
            before: Run | None = runs.latest_run(connection)
        if before is None or (before.step, before.day, before.succeeded) != (
            self.name,
            self.day,
            False,
        ):
            return None
        if (before.project, before.raw.state) != (
            self._project,
            self._raw.state,
        ) or not before.results:
            return None
        logger.info(
            "The last try failed at %s and nothing has changed since: only what failed runs again.",
            before.finished_at,
        )
        return before.results

    def what_rules_ask_for(
        self, kept: list[dict[str, Any]] | None, selection: list[str]
    ) -> tuple[bool, list[dict[str, Any]] | None, list[str]]:
        """Whether to build whole, because incremental models would keep rows of other rules; what
        to keep; what to build.
        """
        with self.warehouse.marts() as connection:
            marts: Run | None = runs.latest_run(connection, "marts", succeeded=True)
            before: Run | None = runs.latest_run(connection, "intermediate")
            is_half_done = runs.a_whole_build_is_unfinished(connection)
        if before and marts and marts.finished_at > before.finished_at:
            before = None  # complete: what the marts say counts
        if self.name == "marts" and before and before.rules != self._rules:
            logger.warning(
                "The project has changed since the intermediate models were built: all layers are "
                "built whole."
            )
            return True, None, [path for paths in SELECTION.values() for path in paths]
        if any(run.rules != self._rules for run in (marts, before) if run):
            logger.warning(
                "The project's SQL, seeds or variables have changed since the last build: models "
                "are built whole."
            )
            return True, None, selection
        if is_half_done:
            logger.warning("The build under way began as a full refresh, so it goes on as one.")
        return is_half_done, kept, selection

    def record(self, results: list[dict[str, Any]], *, succeeded: bool, connection: Any) -> None:
        assert self._raw is not None
        runs.record_run(
            connection,
            Run(
                self.name,
                self.day,
                self.started_at,
                _utc_now(),
                succeeded,
                self._project,
                self._raw,
                results,
            ),
        )


def _kept(kind: type[Any], result: dict[str, Any]) -> Any:
    values = {**result, "kept": True}
    if "keys" in values:
        values["keys"] = tuple(values["keys"])
    return kind(**values)


def _sql(node: Any) -> str | None:
    """Where the compiled SQL is, below the target folder: a path of this machine says nothing to
    who reads an alert.
    """
    path, below = str(getattr(node, "compiled_path", None) or ""), f"compiled/{node.package_name}/"
    return path[path.rindex(below) :] if below in path else None


def _message(text: Any) -> str:
    return "\n".join(line.strip() for line in str(text or "").strip().splitlines() if line.strip())


def _model(result: Any, connection: Any) -> ModelResult:
    node, status = result.node, str(result.status)
    built = status == "success"
    status = "success" if built else "skipped" if status == "skipped" else "error"
    materialized = node.config.materialized
    relation = None if materialized == "ephemeral" else node.relation_name
    kind = str(node.resource_type)
    return ModelResult(
        name=node.name,
        kind=kind,
        materialized=materialized,
        status=status,  # type: ignore[arg-type]
        rows=runs.count_rows(connection, relation) if built and relation else None,
        seconds=round(result.execution_time, 3),
        message="" if built else _message(result.message),
        relation=relation,
        published=kind == "model"
        and node.path.startswith("marts/")
        and node.config.meta.get("published", True),
        sql=None if built else _sql(node),
    )


def _test(result: Any, connection: Any) -> DataTest:
    node, status = result.node, str(result.status)
    keys = _keys(connection, node.relation_name) if node.relation_name and result.failures else ()
    attached = (getattr(node, "attached_node", None) or "").split(".")[-1]
    return DataTest(
        name=node.name,
        model=attached or None,
        status=status,  # type: ignore[arg-type]
        severity=str(node.config.severity).lower(),  # type: ignore[arg-type]
        failing_rows=result.failures,
        seconds=round(result.execution_time, 3),
        message="" if status == "pass" else _message(result.message),
        keys=keys,
        sql=None if status == "pass" else _sql(node),
    )


def _keys(connection: Any, relation: str) -> tuple[dict[str, str], ...]:
    """The first failing rows, cut to the columns that name a row: an alert is no place for a
    customer's whole record.
    """

    def named(row: dict[str, Any]) -> dict[str, str]:
        ids = [
            name
            for name in row
            if name.lower().endswith(("_id", "_key", "_date", "_day", "_field"))
            or name.lower() in ("day", "id")
        ]
        return {name: str(row[name]) for name in (ids or list(row))[:COLUMNS_SHOWN]}

    return tuple(named(row) for row in runs.first_rows(connection, relation, KEYS_SHOWN))


def _freshness(result: Any) -> SourceFreshness:
    node, status = result.node, str(result.status)
    loaded_at, age = getattr(result, "max_loaded_at", None), getattr(result, "age", None)
    if loaded_at is not None and loaded_at.tzinfo is not None:
        loaded_at = loaded_at.astimezone(UTC).replace(tzinfo=None)
    if loaded_at is None or age is None:
        status, message = "error", _message(result.message) or "its freshness could not be read"
    else:
        message = f"loaded {age / 3600:.1f} h ago"
    return SourceFreshness(f"{node.source_name}.{node.name}", status, loaded_at, age, message)  # type: ignore[arg-type]


def _model_error(layer: Layer, day: date, failed: tuple[ModelResult, ...]) -> TransformError:
    broken = [model for model in failed if model.status == "error"]
    skipped = len(failed) - len(broken)
    failures = tuple(NodeFailure(model.name, model.message, sql=model.sql) for model in broken)
    permanent = any(text in model.message for model in broken for text in _DEFINITION_ERRORS)
    after = f", {skipped} that need them were skipped" if skipped else ""
    text = f"{len(broken)} of {layer}'s models failed for {day}{after}."
    return (ModelDefinitionError if permanent else ModelError)(text, failures)
