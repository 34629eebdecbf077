"""What became of each node: its result as a row, a test's first failing rows, an error to raise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date
from typing import Any

from transform.errors import ModelDefinitionError, ModelError, NodeFailure, TransformError
from transform.results import DataTest, Layer, ModelResult, SourceFreshness
from warehouse import runs

# Failing rows whose keys the history keeps, to know the new ones next time; the test's table of
# failures has them all.
KEYS_KEPT = 500
COLUMNS_SHOWN = 4

# The warehouse says with these that the SQL itself is wrong: the next try would say the same.
_DEFINITION_ERRORS = (
    "Compilation Error",
    "Binder Error",
    "Parser Error",
    "Catalog Error",
    "SQL compilation error",
)


def model_results(results: Iterable[Any], connection: Any) -> tuple[ModelResult, ...]:
    """What became of each model, seed and snapshot, with the rows that it holds now."""
    results = list(results)
    built = [
        result.node.relation_name
        for result in results
        if str(result.status) == "success" and result.node.config.materialized != "ephemeral"
    ]
    rows = runs.count_rows(connection, [relation for relation in built if relation])
    return tuple(_model_result(result, rows) for result in results)


def _model_result(result: Any, rows: Mapping[str, int]) -> ModelResult:
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
        rows=rows.get(relation) if built and relation else None,
        seconds=round(result.execution_time, 3),
        message="" if built else _message(result.message),
        relation=relation,
        published=kind == "model"
        and node.path.startswith("marts/")
        and node.config.meta.get("published", True),
        sql=None if built else _sql(node),
    )


def test_result(result: Any, connection: Any) -> DataTest:
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


def freshness_result(result: Any) -> SourceFreshness:
    node, status = result.node, str(result.status)
    loaded_at, age = getattr(result, "max_loaded_at", None), getattr(result, "age", None)
    if loaded_at is not None and loaded_at.tzinfo is not None:
        loaded_at = loaded_at.astimezone(UTC).replace(tzinfo=None)
    if loaded_at is None or age is None:
        status, message = "error", _message(result.message) or "its freshness could not be read"
    else:
        message = f"loaded {age / 3600:.1f} h ago"
    return SourceFreshness(f"{node.source_name}.{node.name}", status, loaded_at, age, message)  # type: ignore[arg-type]


def model_error(layer: Layer, day: date, failed: tuple[ModelResult, ...]) -> TransformError:
    broken = [model for model in failed if model.status == "error"]
    skipped = len(failed) - len(broken)
    failures = tuple(NodeFailure(model.name, model.message, sql=model.sql) for model in broken)
    permanent = any(text in model.message for model in broken for text in _DEFINITION_ERRORS)
    after = f", {skipped} that need them were skipped" if skipped else ""
    text = f"{len(broken)} of {layer}'s models failed for {day}{after}."
    return (ModelDefinitionError if permanent else ModelError)(text, failures)


def _keys(connection: Any, relation: str) -> tuple[dict[str, str], ...]:
    """The first failing rows, only the columns that name a row: an alert needs no whole record."""

    def named(row: dict[str, Any]) -> dict[str, str]:
        ids = [
            name
            for name in row
            if name.lower().endswith(("_id", "_key", "_date", "_day", "_field"))
            or name.lower() in ("day", "id", "channel", "campaign_name")
        ]
        return {name: str(row[name]) for name in (ids or list(row))[:COLUMNS_SHOWN]}

    return tuple(named(row) for row in runs.first_rows(connection, relation, KEYS_KEPT))


def _sql(node: Any) -> str | None:
    """The compiled SQL's path below the target folder: the machine's tells a reader nothing."""
    path, below = str(getattr(node, "compiled_path", None) or ""), f"compiled/{node.package_name}/"
    return path[path.rindex(below) :] if below in path else None


def _message(text: Any) -> str:
    return "\n".join(line.strip() for line in str(text or "").strip().splitlines() if line.strip())
