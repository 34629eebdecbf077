"""One open connection to a warehouse: the seam between the algorithm and an engine.

Everything above it is written once. Both drivers take ``?`` for values, and both engines have
MERGE, QUALIFY and ``is distinct from``; where their SQL differs, a statement asks the session.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any

from pipeline.contracts import ColumnType

Row = tuple[Any, ...]
RAW, STAGING, ANALYTICS = "ECOMMERCE_RAW", "ECOMMERCE_STAGING", "ECOMMERCE_ANALYTICS"
# Rows of one INSERT. Snowflake's connector would stage a larger batch, which commits the
# transaction.
ROWS_AT_ONCE = 1_000


def utc_now() -> datetime:
    """Now, UTC without a zone, as all timestamps in the warehouse are."""
    return datetime.now(UTC).replace(tzinfo=None)


class Session(ABC):
    """A connection, and what its engine calls things."""

    @abstractmethod
    def table(self, sql: str, parameters: Sequence[object] = ()) -> tuple[list[str], list[Row]]:
        """Run one statement; return the names of its columns, in lower case, and its rows."""

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        return self.table(sql, parameters)[1]

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        self.table(sql, parameters)

    def insert(self, table: str, rows: Iterable[Sequence[object]]) -> None:
        """Insert rows that have the table's columns in their order."""
        pending = list(rows)
        for start in range(0, len(pending), ROWS_AT_ONCE):
            some = pending[start : start + ROWS_AT_ONCE]
            holes = ", ".join(["(" + ", ".join("?" * len(some[0])) + ")"] * len(some))
            values = [value for row in some for value in row]
            self.execute(f"insert into {table} values {holes}", values)  # noqa: S608

    @abstractmethod
    def table_if_there(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> tuple[list[str], list[Row]] | None:
        """``table``; None where a table that the statement reads does not exist."""

    def rows_if_there(self, sql: str, parameters: Sequence[object] = ()) -> list[Row] | None:
        """Rows of a query; None where a table it reads does not exist."""
        found = self.table_if_there(sql, parameters)
        return found[1] if found else None

    @abstractmethod
    def transaction(self, lock: str) -> AbstractContextManager[None]:
        """Commit what the block writes, or undo it all; one block at a time per ``lock``."""

    @abstractmethod
    def database(self, name: str) -> str:
        """What this warehouse calls the database ``RAW``, ``STAGING`` or ``ANALYTICS``."""

    @abstractmethod
    def quoted(self, name: str) -> str:
        """A name of a schema, table or column as the engine stores it, in quotes."""

    def comes_twice(self, key: str, pieces: Sequence[str]) -> bool:
        """Whether a key comes twice in the rows that these queries give together.

        Args:
            key: its quoted columns, separated by commas.
        """
        staged = " union all ".join(f"select {key} from ({piece}) piece" for piece in pieces)  # noqa: S608
        twice = f"select {key} from ({staged}) staged group by {key} having count(*) > 1 limit 1"  # noqa: S608
        return bool(self.rows(twice))

    @abstractmethod
    def type_name(self, of: ColumnType) -> str: ...

    @abstractmethod
    def shown_type(self, data_type: str, precision: int | None, scale: int | None) -> str:
        """A type of ``information_schema.columns``, written as ``type_name`` writes it."""

    @abstractmethod
    def json(self, text: str) -> str:
        """SQL for the JSON value of an expression of text."""

    @abstractmethod
    def json_text(self, value: str) -> str:
        """SQL for a text that is the same for equal JSON values."""

    @abstractmethod
    def retype(self, address: str, existing: dict[str, str], wanted: dict[str, str]) -> None:
        """Change types of columns of a table, keeping its rows.

        A value that the new type cannot hold becomes NULL.

        Args:
            existing: type of each column the table has, in order.
            wanted: the new type of those that change.
        """

    def listed(self, names: Iterable[str], prefix: str = "") -> str:
        return ", ".join(prefix + self.quoted(name) for name in names)
