"""What each step of the transformation leaves: ``as_dict()`` is JSON for XCom, logs and alerts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any, Literal

from warehouse.publication import KEYS_NAMED

Layer = Literal["staging", "intermediate", "marts"]
NodeStatus = Literal["success", "error", "skipped"]
TestStatus = Literal["pass", "warn", "fail", "error", "skipped"]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, date | datetime):
        return value.isoformat()
    return value


class _AsDict:
    def as_dict(self) -> dict[str, Any]:
        """The result as plain JSON types; dates and times in ISO 8601."""
        result: dict[str, Any] = _plain(asdict(self))  # type: ignore[call-overload]
        return result


@dataclass(frozen=True)
class ModelResult(_AsDict):
    """One model, seed or snapshot.

    ``rows`` is what the relation holds now, None where it could not be counted.

    ``kept``: built by an earlier try of the same step, nothing changed since, so it was not built
    again.
    """

    name: str
    kind: str  # model, seed, snapshot
    materialized: str
    status: NodeStatus
    rows: int | None
    seconds: float
    message: str = ""
    relation: str | None = None  # "database"."schema"."name", None for an ephemeral model
    published: bool = False  # goes into the publication
    sql: str | None = None
    kept: bool = False


@dataclass(frozen=True)
class LayerResult(_AsDict):
    layer: Layer
    day: date
    started_at: datetime  # UTC, no zone
    seconds: float
    models: tuple[ModelResult, ...]

    @property
    def rows(self) -> int:
        return sum(model.rows or 0 for model in self.models)


@dataclass(frozen=True)
class DataTest(_AsDict):
    """One data test: ``failing_rows`` break it, ``keys`` are the first (``outcomes.KEYS_KEPT``).

    ``new_rows``: how many of them are new since the last publication, for a test that warned; the
    keys begin with those.
    """

    name: str
    model: str | None  # the model it is attached to, None for a singular test
    status: TestStatus
    severity: Literal["error", "warn"]
    failing_rows: int | None
    seconds: float
    message: str = ""
    keys: tuple[dict[str, str], ...] = ()
    sql: str | None = None
    kept: bool = False
    new_rows: int = 0


@dataclass(frozen=True)
class TestResult(_AsDict):
    __test__ = False  # not a test of ours, whatever pytest thinks of the name

    day: date
    started_at: datetime
    seconds: float
    tests: tuple[DataTest, ...]

    def with_status(self, *statuses: TestStatus) -> tuple[DataTest, ...]:
        return tuple(test for test in self.tests if test.status in statuses)

    @property
    def passed(self) -> int:
        return len(self.with_status("pass"))

    @property
    def warned(self) -> int:
        return len(self.with_status("warn"))

    @property
    def new_warnings(self) -> dict[str, int]:
        """Tests that warned of rows that are new since the last publication, and how many."""
        return {test.name: test.new_rows for test in self.tests if test.new_rows}

    def as_dict(self) -> dict[str, Any]:
        """Counts, and tests that did not pass with a few keys: XCom needs no thousand passes."""
        result = super().as_dict()
        result["tests"] = [
            test | {"keys": test["keys"][:KEYS_NAMED]}
            for test in result["tests"]
            if test["status"] != "pass"
        ]
        return {**result, "passed": self.passed, "warned": self.warned, "total": len(self.tests)}


@dataclass(frozen=True)
class SourceFreshness(_AsDict):
    name: str
    status: Literal["pass", "warn", "error"]
    loaded_at: datetime | None  # UTC, no zone
    age_seconds: float | None
    message: str = ""


@dataclass(frozen=True)
class FreshnessResult(_AsDict):
    day: date
    seconds: float
    sources: tuple[SourceFreshness, ...]
