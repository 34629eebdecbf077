"""A PostgreSQL database with the shop's empty tables."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2

from ingestion.postgres.settings import PostgresSettings

if TYPE_CHECKING:
    from psycopg2.extensions import connection


@dataclass(frozen=True)
class SourceDatabase:
    """A database of its own with the shop's empty tables. Times in it are UTC without a zone."""

    settings: PostgresSettings
    dsn: str

    def connect(self) -> connection:
        """A new connection; the caller closes it."""
        return psycopg2.connect(self.dsn)

    def execute(self, statement: str, parameters: Any = None) -> None:
        """Run SQL in a transaction of its own and commit it."""
        with (
            closing(self.connect()) as open_connection,
            open_connection,
            open_connection.cursor() as cursor,
        ):
            cursor.execute(statement, parameters)

    def query(self, statement: str, parameters: Any = None) -> list[tuple[Any, ...]]:
        with (
            closing(self.connect()) as open_connection,
            open_connection,
            open_connection.cursor() as cursor,
        ):
            cursor.execute(statement, parameters)
            return cursor.fetchall()
