"""Publishes the tested marts, all at once, and can bring an earlier publication back.

Each publication is a version of its own, with a table PUBLICATION that says what is in it. What
people read is one of the versions under its public name; an engine changes it by one atomic step.
"""

# ruff: noqa: S608 - names are dbt's own or made here, values are bound

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

from pipeline.contracts import DATE, INTEGER, TEXT, TIMESTAMP, Column
from pipeline.errors import PermanentError
from warehouse.runs import Run, latest_run
from warehouse.session import Row, Session, utc_now
from warehouse.tables import create_table

logger = logging.getLogger(__name__)

KEYS_NAMED = 3  # of the rows that a test warns of
STEPS = ("staging", "intermediate", "marts", "test")
COLUMNS = tuple(
    Column(name, of, nullable=False)
    for name, of in (
        *(("publication_id", TEXT), ("day", DATE), ("built_for", DATE)),
        *(("published_at", TIMESTAMP), ("tested_at", TIMESTAMP)),
        *(("tests_passed", INTEGER), ("tests_warned", INTEGER)),
        *(("models", TEXT), ("load_ids", TEXT), ("rows_loaded", TEXT), ("warnings", TEXT)),
    )
)


class PublicationError(PermanentError):
    """The marts may not be published, or there is no publication to go back to."""


_JSON = ("models", "load_ids", "rows_loaded", "warnings")


@dataclass(frozen=True)
class Publication:
    """One publication, as its row in ``published.publication``. Times are UTC without a zone.

    Attributes:
        publication_id: when it was made; sorts by time.
        day: the latest day that is complete in it.
        built_for: the day whose run published it; older than ``day`` after a correction of an old
            day.
        models: name to rows.
        load_ids: source to the newest load of ``built_for`` that is in it.
        rows_loaded: source to the rows of that load.
        warnings: tests that warned of rows that are new since the publication before: ``test``,
            ``model``, ``rows``, ``new_rows`` and ``keys``, the first of them.
    """

    publication_id: str
    day: date
    built_for: date
    published_at: datetime
    tested_at: datetime
    tests_passed: int
    tests_warned: int
    models: dict[str, int]
    load_ids: dict[str, str]
    rows_loaded: dict[str, int]
    warnings: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types; dates and times in ISO 8601."""
        text = json.dumps(asdict(self), default=lambda value: value.isoformat())
        return dict(json.loads(text))

    @classmethod
    def of_row(cls, names: Sequence[str], row: Row) -> Publication:
        """A row by its columns' names: a publication of an earlier release lacks the newest."""
        known = {column.name for column in COLUMNS}
        values = {name: value for name, value in zip(names, row, strict=True) if name in known}
        texts = {name: json.loads(values[name]) for name in _JSON if name in values}
        return cls(**values | texts)

    def as_row(self) -> list[object]:
        values = list(asdict(self).values())
        return [*values[:7], *map(json.dumps, values[7:])]


# Schema of the publication that is being made, that of the one before, and both.
Beside = Callable[[Session, str, str | None, Publication | None, Publication], None]


def publication_in(session: Session, schema: str) -> Publication | None:
    """What the table PUBLICATION of a schema says; None where there is none."""
    found = session.table_if_there(f"select * from {schema}.PUBLICATION")
    if not found or not found[1]:
        return None
    names, (row,) = found
    return Publication.of_row(names, row)


def _news(tests: Run) -> list[dict[str, Any]]:
    return [
        {
            "test": test["name"],
            "model": test["model"],
            "rows": test["failing_rows"],
            "new_rows": test["new_rows"],
            "keys": test["keys"][: min(KEYS_NAMED, test["new_rows"])],
        }
        for test in tests.results
        if test.get("new_rows")
    ]


def tested_marts(day: date, steps: Mapping[str, Run | None]) -> tuple[Run, Run]:
    """The newest run of the marts, and the run of the tests it has passed.

    Args:
        steps: the newest run of each step.

    Raises:
        PublicationError: the marts are not the day's, or were not tested since they, and all they
            are made of, were built.
    """
    marts, tests = steps["marts"], steps["test"]
    if marts is None or marts.day != day or not marts.succeeded:
        raise PublicationError(
            f"The newest marts are not those of {day}: run the marts layer for it first."
        )
    newest = max(run.finished_at for name, run in steps.items() if name != "test" and run)
    if tests is None or not tests.succeeded or tests.day != day or tests.started_at < newest:
        raise PublicationError(
            f"The marts of {day} have not passed their tests since they were built; nothing is "
            "published."
        )
    return marts, tests


class Publications(ABC):
    """The publications of one warehouse."""

    # --- what an engine says

    copy: str  # SQL of a table {target} that is a copy of the relation {source}

    @abstractmethod
    def working(self) -> AbstractContextManager[Session]:
        """A session that sees the marts; one process at a time publishes."""

    @abstractmethod
    def current(self) -> Publication | None:
        """The current publication, None before the first."""

    @abstractmethod
    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Rows of a query on the published marts (schema ``published``)."""

    @abstractmethod
    def _versions(self, session: Session) -> list[str]:
        """Ids of all complete versions that can be made current, or are, the oldest first."""

    @abstractmethod
    def _begin(self, session: Session, publication_id: str) -> str:
        """Make room for a version, away with what killed processes left; return its schema."""

    @abstractmethod
    def _complete(self, session: Session, publication_id: str) -> None:
        """The version holds everything: make it durable, and readable for who may read it."""

    @abstractmethod
    def _make_current(self, session: Session, publication_id: str) -> None:
        """Give the version the public name, in one step."""

    @abstractmethod
    def _drop(self, session: Session, publication_id: str) -> None: ...

    @abstractmethod
    def _previous(self, session: Session) -> str:
        """The schema of the current publication, as a working session calls it."""

    # --- the same on every engine

    def publish(self, day: date, keep: int, beside: Beside | None = None) -> Publication:
        """Publish every mart as it was tested, and keep so many publications.

        Args:
            beside: adds tables of its own to the publication before it is complete.

        Running it again publishes the same marts again and changes no number.

        Raises:
            PublicationError: the newest marts are not the day's, or have not passed their tests.
        """
        with self.working() as session:
            marts, tests = tested_marts(day, {step: latest_run(session, step) for step in STEPS})
            before = self.current()
            now = utc_now()
            publication_id = f"{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}Z"
            schema = self._begin(session, publication_id)
            models: dict[str, int] = {}
            for result in marts.results:
                if result["published"]:
                    target = f"{schema}.{session.quoted(result['name'])}"
                    session.execute(self.copy.format(target=target, source=result["relation"]))
                    ((rows,),) = session.rows(f"select count(*) from {target}")
                    models[result["name"]] = int(rows)
            if not models:
                raise PublicationError(f"The marts layer of {day} holds no model to publish.")
            statuses = [test["status"] for test in tests.results]
            publication = Publication(
                publication_id=publication_id,
                day=max(day, before.day) if before else day,
                built_for=day,
                published_at=now,
                tested_at=tests.finished_at,
                tests_passed=statuses.count("pass"),
                tests_warned=statuses.count("warn"),
                models=models,
                load_ids=marts.raw.load_ids,
                rows_loaded=marts.raw.rows_loaded,
                warnings=_news(tests),
            )
            create_table(session, f"{schema}.publication", COLUMNS)
            session.insert(f"{schema}.PUBLICATION", [publication.as_row()])
            if beside:
                previous = self._previous(session) if before else None
                beside(session, schema, previous, before, publication)
            self._complete(session, publication_id)
            self._make_current(session, publication_id)
            for old in self._versions(session)[:-keep]:
                self._drop(session, old)
        logger.info(
            "Published %d marts with %s rows, complete up to %s.",
            len(models),
            f"{sum(models.values()):,}",
            publication.day,
        )
        return publication

    def rollback(self, publication_id: str | None = None) -> Publication:
        """Bring back the publication before the current one, or the given one.

        All of them stay, so that it can be undone by id.
        """
        with self._choosing() as session:
            known, current = self._versions(session), self.current()
            if publication_id is None:
                older = [
                    known_id for known_id in known if current and known_id < current.publication_id
                ]
                if not older:
                    raise PublicationError("There is no earlier publication to go back to.")
                publication_id = older[-1]
            elif publication_id not in known:
                raise PublicationError(
                    f"There is no publication {publication_id}. Kept: {', '.join(known) or 'none'}."
                )
            self._make_current(session, publication_id)
        publication = self.current()
        assert publication is not None
        logger.warning(
            "Publication %s (day %s) is current again.", publication.publication_id, publication.day
        )
        return publication

    def _choosing(self) -> AbstractContextManager[Session]:
        """A session for a rollback, which needs no mart."""
        return self.working()
