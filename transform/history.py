"""What the history of runs decides about a step: what a retry keeps, what has to be built again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, date, datetime
from typing import Any

from transform.project import Project
from transform.results import Layer
from warehouse import open_warehouse, runs
from warehouse.runs import RawState, Run

logger = logging.getLogger(__name__)

SELECTION: dict[Layer, tuple[str, ...]] = {
    "staging": ("path:seeds", "path:models/staging"),
    "intermediate": ("path:models/intermediate",),
    "marts": ("path:snapshots", "path:models/marts"),
}


def locked(here: Project) -> AbstractContextManager[None]:
    """One process at a time builds.

    dbt holds DuckDB's file for its whole run; on Snowflake a statement of a killed run may still
    write.
    """
    return open_warehouse(here.warehouse).lock()


class Step:
    """One try of one step of one day, and what the history knows of the try before."""

    def __init__(self, name: str, day: date, here: Project) -> None:
        self.name, self.day, self.here = name, day, here
        self.warehouse = open_warehouse(here.warehouse)
        self.started_at = datetime.now(UTC).replace(tzinfo=None)
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
        """Results of the try before, if this one may build on them, else None: everything runs.

        It may if that try was the last thing that happened here, it failed, and neither the project
        nor the raw tables have changed since.
        """
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

    def selection(self, layer: Layer) -> list[str]:
        """What dbt is to build: the layer, or all of them for marts after a change of rules.

        Somebody may have changed the project since the intermediate models were built.
        """
        if layer == "marts":
            with self.warehouse.marts() as connection:
                before = runs.latest_run(connection, "intermediate")
            if before and before.rules != self._rules:
                logger.warning(
                    "The project has changed since the intermediate models were built: all layers "
                    "are built again."
                )
                return [path for paths in SELECTION.values() for path in paths]
        return list(SELECTION[layer])

    def record(self, results: list[dict[str, Any]], *, succeeded: bool, connection: Any) -> None:
        assert self._raw is not None
        runs.record_run(
            connection,
            Run(
                self.name,
                self.day,
                self.started_at,
                datetime.now(UTC).replace(tzinfo=None),
                succeeded,
                self._project,
                self._raw,
                results,
            ),
        )


def kept(kind: type[Any], result: dict[str, Any]) -> Any:
    values = {**result, "kept": True}
    if "keys" in values:
        values["keys"] = tuple(values["keys"])
    return kind(**values)
