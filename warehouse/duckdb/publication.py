"""Publications as files: what people open is one of them under its public name.

published/ecommerce_analytics.duckdb      the current publication
published/versions/<id>.duckdb            the newest of them, the current one included

The name changes by one atomic rename. A reader holds the old file or the new one, never a mix, and
needs no lock.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import portalocker

from pipeline.errors import MissingInputError
from warehouse.duckdb.session import DuckDBSession, literal
from warehouse.publication import Publication, Publications, publication_in
from warehouse.session import Row, Session

if TYPE_CHECKING:
    from warehouse.duckdb.warehouse import DuckDBWarehouse

SCHEMA = "published"
UNFINISHED = ".unfinished"


class DuckDBPublications(Publications):
    copy = "create table {target} as select * from {source}"

    def __init__(self, warehouse: DuckDBWarehouse) -> None:
        self._warehouse = warehouse
        self._file = warehouse.settings.published_file
        self._folder = self._file.parent / "versions"

    @contextmanager
    def working(self) -> Iterator[Session]:
        with (
            self._choosing(),
            self._warehouse.lock(),
            self._warehouse.marts() as session,
        ):
            yield session

    @contextmanager
    def _choosing(self) -> Iterator[Session]:
        """One publish or rollback at a time, by a lock of its own: a rollback does not wait for a
        dbt run to end.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._file.parent / "publish.lock").open("w") as lock, duckdb.connect() as nothing:
            portalocker.lock(lock, portalocker.LockFlags.EXCLUSIVE)
            yield DuckDBSession(nothing)

    def current(self) -> Publication | None:
        if not self._file.exists():
            return None
        with duckdb.connect(str(self._file), read_only=True) as connection:
            return publication_in(DuckDBSession(connection), SCHEMA)

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Takes no lock and waits for nobody."""
        if not self._file.exists():
            raise MissingInputError(
                f"Nothing has been published yet: there is no {self._file}. `publish_marts` writes "
                "it."
            )
        with duckdb.connect(str(self._file), read_only=True) as connection:
            return connection.execute(sql, list(parameters)).fetchall()

    def _versions(self, session: Session) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.duckdb"))

    def _begin(self, session: Session, publication_id: str) -> str:
        for left in self._folder.glob(f"*{UNFINISHED}*"):
            left.unlink()
        unfinished = self._folder / f"{publication_id}{UNFINISHED}"
        session.execute(f"attach {literal(unfinished)} as publication")
        session.execute(f"create schema publication.{SCHEMA}")
        return f"publication.{SCHEMA}"

    def _complete(self, session: Session, publication_id: str) -> None:
        session.execute("detach publication")  # writes the log into the file and closes it
        unfinished = self._folder / f"{publication_id}{UNFINISHED}"
        _sync(unfinished)
        unfinished.rename(self._version(publication_id))

    def _previous(self, session: Session) -> str:
        session.execute(f"attach {literal(self._file)} as previous (read_only)")
        return f"previous.{SCHEMA}"

    def _make_current(self, session: Session, publication_id: str) -> None:
        beside = self._file.with_suffix(".next")
        beside.unlink(missing_ok=True)
        try:
            beside.hardlink_to(self._version(publication_id))
        except OSError:  # a file system without hard links
            shutil.copyfile(self._version(publication_id), beside)
            _sync(beside)
        beside.replace(self._file)
        _sync(self._file.parent)

    def _drop(self, session: Session, publication_id: str) -> None:
        self._version(publication_id).unlink()

    def _version(self, publication_id: str) -> Path:
        return self._folder / f"{publication_id}.duckdb"


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
