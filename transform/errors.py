"""What can go wrong between raw tables and published marts, in two families of errors."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.errors import PassingError, PermanentError, PipelineError

ERRORS_NAMED = 5  # of the nodes that failed, how many the error text names; the rest is counted


@dataclass(frozen=True)
class NodeFailure:
    """One model or test that failed.

    ``failing_rows`` is None where no rows were counted (a model, or a test that could not run);
    ``keys`` are the first of them, column name to value as text; ``sql`` is the compiled SQL, a
    path below the dbt target folder.
    """

    node: str
    message: str
    failing_rows: int | None = None
    keys: tuple[dict[str, str], ...] = ()
    sql: str | None = None

    def __str__(self) -> str:
        parts = [f"{self.node}: {self.message}"]
        if self.keys:
            shown = "; ".join(
                ", ".join(f"{name}={value}" for name, value in key.items()) for key in self.keys
            )
            parts.append(f"first rows: {shown}")
        if self.sql:
            parts.append(f"SQL: {self.sql}")
        return "\n  ".join(parts)


class TransformError(PipelineError):
    """Base: dbt, or publishing, failed. ``failures`` names each model or test."""

    def __init__(self, message: str, failures: tuple[NodeFailure, ...] = ()) -> None:
        self.failures = failures
        listed = [f"\n- {failure}" for failure in failures[:ERRORS_NAMED]]
        if len(failures) > ERRORS_NAMED:
            listed.append(f"\n- and {len(failures) - ERRORS_NAMED} more")
        super().__init__(message + "".join(listed))


class ProjectError(TransformError, PermanentError):
    """The dbt project or its profile cannot be read or compiled; somebody has to change a file."""


class ModelDefinitionError(TransformError, PermanentError):
    """The warehouse refused a model's SQL: unknown column, wrong syntax, broken contract."""


class ModelError(TransformError, PassingError):
    """A model failed while the warehouse ran it."""


class DataTestError(TransformError, PassingError):
    """A data test failed.

    It is worth one retry, to rule out a hiccup of the warehouse (the dbt_test policy gives one).
    """


class StaleSourceError(TransformError, PassingError):
    """A source has not been loaded for longer than its freshness allows."""
