"""SQL of the raw tables in Snowflake: names, types, columns as they are, columns as they should be."""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pipeline.contracts import METADATA_COLUMNS, Column, ColumnType, RawTable
from pipeline.errors import ContractError
from warehouse.snowflake.session import execute, rows

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_TYPES: dict[str, str] = {
    "integer": "NUMBER(10,0)",
    "bigint": "NUMBER(19,0)",
    "string": "VARCHAR",
    "json": "VARIANT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP_NTZ",
    "date": "DATE",
}


def snowflake_type(column_type: ColumnType) -> str:
    if column_type.name == "decimal":
        return f"NUMBER({column_type.precision},{column_type.scale})"
    return _TYPES[column_type.name]


def identifier(name: str) -> str:
    """The name quoted so that whoever writes it plainly, in any case, means the same; other names
    are kept as they are.
    """
    return '"' + (name.upper() if _PLAIN.fullmatch(name) else name.replace('"', '""')) + '"'


def listed(names: Iterable[str], prefix: str = "") -> str:
    return ", ".join(prefix + identifier(name) for name in names)


def address(table: RawTable) -> str:
    """Schema and table; the session's database is the raw one."""
    return f"{identifier(table.schema.lower())}.{identifier(table.raw_name.lower())}"


def safe(name: str) -> str:
    """A name for a folder of the stage or a table of a load, however the load's id is written."""
    plain = re.sub(r"[^A-Za-z0-9-]+", "_", name)
    return (
        plain if plain == name else f"{plain[:60]}_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    )


def incoming(load_id: str, table: RawTable) -> str:
    """The transient table that takes the staged rows of one raw table."""
    return f'LOADS."INCOMING_{safe(load_id).upper().replace("-", "_")}_{table.name.upper()}"'


def existing_columns(connection: SnowflakeConnection, table: RawTable) -> dict[str, str]:
    """Type of each column the raw table has now, by its name in lower case, in order; empty if
    there is no such table.
    """
    found = rows(
        connection,
        "select lower(column_name), data_type, numeric_precision, numeric_scale from "
        "information_schema.columns "
        "where table_schema = ? and table_name = ? order by ordinal_position",
        [table.schema, table.raw_name],
    )
    return {name: _type(data_type, precision, scale) for name, data_type, precision, scale in found}


def _type(data_type: str, precision: int | None, scale: int | None) -> str:
    if data_type == "NUMBER":
        return f"NUMBER({precision},{scale})"
    return {"TEXT": "VARCHAR"}.get(data_type, data_type)


def create_raw_table(
    connection: SnowflakeConnection, table: RawTable, columns: Sequence[Column]
) -> None:
    """Columns are nullable but for the keys and the metadata: contracts are checked on the way in."""
    create_schema(connection, table.schema)
    execute(
        connection, f"create table if not exists {address(table)} ({_definitions(table, columns)})"
    )


def retype(
    connection: SnowflakeConnection,
    table: RawTable,
    columns: Sequence[Column],
    existing: dict[str, str],
) -> None:
    """Give the raw table the declared types, with the rows it has: the full refresh that follows
    replaces their values.

    One statement, so that nobody sees the table in between. A value that the new type cannot hold
    becomes NULL until then.
    """
    wanted = {column.name.lower(): column for column in columns}
    definitions, values = [], []
    for name, has in existing.items():
        column = wanted.get(name)
        type_ = snowflake_type(column.type) if column else has
        definitions.append(f"{identifier(name)} {type_}")
        if column is None or type_ == has:
            values.append(identifier(name))
        elif type_ == "VARIANT":
            values.append(f"try_parse_json(to_varchar({identifier(name)}))")
        elif type_ == "VARCHAR":
            values.append(f"to_varchar({identifier(name)})")
        else:
            values.append(f"try_cast(to_varchar({identifier(name)}) as {type_})")
    execute(
        connection,
        f"create or replace table {address(table)} ({', '.join(definitions)}) copy grants "
        f"as select {', '.join(values)} from {address(table)}",
    )


def add_missing_columns(
    connection: SnowflakeConnection,
    table: RawTable,
    columns: Sequence[Column],
    existing: dict[str, str],
) -> None:
    for column in columns:
        if column.name.lower() not in existing:
            execute(
                connection,
                f"alter table {address(table)} add column if not exists {identifier(column.name)} "
                f"{snowflake_type(column.type)}",
            )


def create_incoming(connection: SnowflakeConnection, name: str, columns: Sequence[Column]) -> None:
    """JSON comes as its text and is parsed on its way into the raw table."""
    definitions = [
        f"{identifier(column.name)} "
        f"{'VARCHAR' if column.type.name == 'json' else snowflake_type(column.type)}"
        for column in columns
    ]
    execute(
        connection,
        f"create or replace transient table {name} ({', '.join(definitions)}) "
        "data_retention_time_in_days = 0",
    )


def create_schema(connection: SnowflakeConnection, schema: str) -> None:
    """Only if it is missing: `create schema if not exists` needs the right to create one even where
    there is one.
    """
    if not rows(
        connection,
        "select 1 from information_schema.schemata where schema_name = ?",
        [schema.upper()],
    ):
        execute(connection, f"create schema if not exists {identifier(schema.lower())}")


def changed_types(columns: Sequence[Column], existing: dict[str, str]) -> list[Column]:
    """Columns that the raw table has in another type than it should."""
    return [
        column
        for column in columns
        if existing.get(column.name.lower(), snowflake_type(column.type))
        != snowflake_type(column.type)
    ]


def refuse_changed_types(
    table: RawTable, columns: Sequence[Column], existing: dict[str, str]
) -> None:
    for column in changed_types(columns, existing):
        raise ContractError(
            f"Column {column.name} of the raw table {table.schema}.{table.raw_name} is "
            f"{existing[column.name.lower()]}, but rows "
            f"come as {snowflake_type(column.type)}. Nothing was loaded. Load {table.name} with a "
            "full refresh to rebuild the "
            "table with the new type."
        )


def _definitions(table: RawTable, columns: Sequence[Column]) -> str:
    lines = [
        f"{identifier(column.name)} "
        f"{snowflake_type(column.type)}{' not null' if column.name in table.key else ''}"
        for column in columns
    ]
    lines += [
        f"{identifier(column.name)} "
        f"{snowflake_type(column.type)}{'' if column.nullable else ' not null'}"
        for column in METADATA_COLUMNS
    ]
    return ", ".join(lines)
