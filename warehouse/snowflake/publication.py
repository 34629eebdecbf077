"""Publications as schemas of zero-copy clones.

ECOMMERCE_ANALYTICS.PUBLISHED                              the current publication
ECOMMERCE_ANALYTICS.PUBLISHED_20261122T061502_123456Z      the ones before it, by their ids

``PUBLISHED`` changes places with a version by one SWAP, which Snowflake does as a whole: a query
reads the old marts or the new ones, never a mix. Which version a schema holds is what its table
PUBLICATION says; a name that says otherwise was left by a killed process, and is put right.
"""

# ruff: noqa: S608 - names are made here

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from warehouse.publication import (
    Publication,
    PublicationError,
    Publications,
    publication_in,
)
from warehouse.session import Row, Session

if TYPE_CHECKING:
    from warehouse.snowflake.warehouse import SnowflakeWarehouse

CURRENT = "PUBLISHED"


def schema_of(publication_id: str) -> str:
    """``PUBLISHED_`` and the id; sorts by time. ``PublicationError`` for a text that is no id."""
    if not re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z", publication_id):
        raise PublicationError(
            f"{publication_id!r} is no id of a publication; they look like 20261122T061502.123456Z."
        )
    return f"{CURRENT}_{publication_id.replace('.', '_')}"


class SnowflakePublications(Publications):
    copy = "create transient table {target} clone {source}"

    def __init__(self, warehouse: SnowflakeWarehouse) -> None:
        self._warehouse = warehouse

    @contextmanager
    def working(self) -> Iterator[Session]:
        with self._warehouse.lock(), self._warehouse.marts() as session:
            yield session

    def _choosing(self) -> AbstractContextManager[Session]:
        """A rollback does not wait for a dbt run to end: SWAP is one statement."""
        return self._warehouse.marts()

    def current(self) -> Publication | None:
        with self._warehouse.marts() as session:
            return publication_in(session, CURRENT)

    def read(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        with self._warehouse.marts() as session:
            return session.rows(sql, parameters)

    def _versions(self, session: Session) -> list[str]:
        _put_names_right(session)
        schemas = [CURRENT, *_schemas(session)]
        found = [publication_in(session, schema) for schema in schemas]
        return sorted(publication.publication_id for publication in found if publication)

    def _begin(self, session: Session, publication_id: str) -> str:
        _put_names_right(session)
        for schema in _schemas(session):
            if publication_in(session, schema) is None:  # left half-filled by a killed process
                session.execute(f"drop schema {schema}")
        schema = schema_of(publication_id)
        session.execute(f"create transient schema {schema}")
        return schema

    def _complete(self, session: Session, publication_id: str) -> None:
        """The readers' rights come before the swap, which takes them along."""
        schema = schema_of(publication_id)
        analyst = self._warehouse.settings.named("ANALYST")
        session.execute(f"grant usage on schema {schema} to role {analyst}")
        session.execute(f"grant select on all tables in schema {schema} to role {analyst}")

    def _previous(self, session: Session) -> str:
        return CURRENT

    def _make_current(self, session: Session, publication_id: str) -> None:
        schema = schema_of(publication_id)
        current = publication_in(session, CURRENT)
        if current and current.publication_id == publication_id:
            return
        if not _exists(session, CURRENT):
            session.execute(f"create transient schema {CURRENT}")
        elif current is None and (tables := _tables(session, CURRENT)):
            raise PublicationError(
                f"The schema {CURRENT} has no table PUBLICATION, but {len(tables)} others: they "
                "are "
                "not ours to replace. Move them away and publish again."
            )
        session.execute(f"alter schema {CURRENT} swap with {schema}")
        _put_names_right(session)

    def _drop(self, session: Session, publication_id: str) -> None:
        session.execute(f"drop schema if exists {schema_of(publication_id)}")


def _schemas(session: Session) -> list[str]:
    found = session.rows(
        "select schema_name from information_schema.schemata "
        f"where startswith(schema_name, '{CURRENT}_2')"
    )
    return sorted(name for (name,) in found)


def _exists(session: Session, schema: str) -> bool:
    there = "select 1 from information_schema.schemata where schema_name = ?"
    return bool(session.rows(there, [schema]))


def _tables(session: Session, schema: str) -> list[str]:
    there = "select table_name from information_schema.tables where table_schema = ?"
    return [name for (name,) in session.rows(there, [schema])]


def _put_names_right(session: Session) -> None:
    """Give schemas the names of the versions they hold; what a swap has left empty goes."""
    for schema in _schemas(session):
        held = publication_in(session, schema)
        if held is None and not _tables(session, schema):
            session.execute(f"drop schema if exists {schema}")
        elif held and schema_of(held.publication_id) != schema:
            session.execute(f"alter schema {schema} rename to {schema_of(held.publication_id)}")
