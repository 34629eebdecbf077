"""A connection to DuckDB, and its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pipeline.contracts import ColumnType
from warehouse.session import Row, Session
from warehouse.tables import as_stored

_TYPES = {
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "string": "VARCHAR",
    "json": "JSON",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}


def literal(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


class DuckDBSession(Session):
    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def comes_twice(self, key: str, pieces: Sequence[str]) -> bool:
        """In one scan of a temporary table: for each branch of a union, DuckDB keeps hash tables of
        its own in memory, and does not spill them to disk.
        """
        first, *others = [f"select {key} from ({piece}) piece" for piece in pieces]  # noqa: S608
        self.execute(f"create or replace temp table staged_keys as {first}")
        for piece in others:
            self.execute(f"insert into staged_keys {piece}")
        twice = super().comes_twice(key, ["from staged_keys"])
        self.execute("drop table staged_keys")
        return twice

    def table(self, sql: str, parameters: Sequence[object] = ()) -> tuple[list[str], list[Row]]:
        found = self._connection.execute(sql, list(parameters))
        names = [column[0].lower() for column in found.description or ()]
        return names, found.fetchall()

    def table_if_there(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> tuple[list[str], list[Row]] | None:
        try:
            return self.table(sql, parameters)
        except duckdb.CatalogException:
            return None

    @contextmanager
    def transaction(self, lock: str) -> Iterator[None]:
        """Nothing to do: DDL is transactional here, so a writing session is one transaction.

        The lock around the file lets one process write.
        """
        yield

    def database(self, name: str) -> str:
        return name.lower()

    def quoted(self, name: str) -> str:
        return as_stored(name)

    def type_name(self, of: ColumnType) -> str:
        if of.name == "decimal":
            return f"DECIMAL({of.precision},{of.scale})"
        return _TYPES[of.name]

    def shown_type(self, data_type: str, precision: int | None, scale: int | None) -> str:
        return data_type

    def json(self, text: str) -> str:
        return f"{text}::json"

    def json_text(self, value: str) -> str:
        return f"{value}::varchar"

    def retype(self, address: str, existing: dict[str, str], wanted: dict[str, str]) -> None:
        for name, type_ in wanted.items():
            column = as_stored(name)
            self.execute(
                f"alter table {address} alter column {column} type {type_} "
                f"using try_cast({column}::varchar as {type_})"
            )
