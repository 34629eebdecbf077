"""SQL of the raw tables in DuckDB: names, types, columns as they are, columns as they should be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import duckdb

from pipeline.contracts import METADATA_COLUMNS, Column, ColumnType, RawTable
from pipeline.errors import ContractError

_TYPES: dict[str, str] = {
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "string": "VARCHAR",
    "json": "JSON",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
}


def duckdb_type(column_type: ColumnType) -> str:
    if column_type.name == "decimal":
        return f"DECIMAL({column_type.precision},{column_type.scale})"
    return _TYPES[column_type.name]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def listed(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + quoted(name) for name in names)


def address(table: RawTable) -> str:
    """Schema and table, quoted, in lower case as DuckDB shows them."""
    return f"{quoted(table.schema.lower())}.{quoted(table.raw_name.lower())}"


def parquet_files(files: Sequence[Path]) -> str:
    names = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
    return f"read_parquet([{names}], union_by_name = true)"


def existing_columns(connection: duckdb.DuckDBPyConnection, table: RawTable) -> dict[str, str]:
    """Type of each column the raw table has now, in order; empty if there is no such table."""
    rows = connection.execute(
        "select lower(column_name), data_type from duckdb_columns() "
        "where database_name = current_database() and lower(schema_name) = ? and lower(table_name) "
        "= ? order by column_index",
        [table.schema.lower(), table.raw_name.lower()],
    ).fetchall()
    return dict(rows)


def create_table(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    name: str,
    columns: Sequence[Column],
    metadata: Sequence[Column] = METADATA_COLUMNS,
) -> None:
    """``name`` is quoted already. Columns are nullable but for the keys and the metadata: contracts
    are checked on the way in.
    """
    lines = [
        f"{quoted(column.name)} "
        f"{duckdb_type(column.type)}{' not null' if column.name in table.key else ''}"
        for column in columns
    ]
    lines += [
        f"{quoted(column.name)} {duckdb_type(column.type)}{'' if column.nullable else ' not null'}"
        for column in metadata
    ]
    connection.execute(f"create schema if not exists {quoted(table.schema.lower())}")
    connection.execute(f"create table {name} ({', '.join(lines)})")


def add_filled_column(
    connection: duckdb.DuckDBPyConnection, name: str, column: Column, value: datetime
) -> None:
    """Give a table a column that must have a value, with the same value in all its rows. ``name``
    is quoted already.
    """
    column_name, column_type = quoted(column.name), duckdb_type(column.type)
    connection.execute(
        f"alter table {name} add column {column_name} {column_type} default "
        f"'{value}'::{column_type}"
    )
    connection.execute(f"alter table {name} alter column {column_name} drop default")
    connection.execute(f"alter table {name} alter column {column_name} set not null")


def refuse_changed_types(
    table: RawTable, columns: Sequence[Column], existing: dict[str, str]
) -> None:
    """``ContractError`` if the raw table has a column in another type than it should be."""
    for column in columns:
        has, wanted = existing.get(column.name.lower()), duckdb_type(column.type)
        if has is not None and has != wanted:
            raise ContractError(
                f"Column {column.name} of the raw table {table.schema}.{table.raw_name} is {has}, "
                f"but rows come as {wanted}. "
                f"Nothing was loaded. Load {table.name} with a full refresh to rebuild the table "
                "with the new type."
            )
