"""Makes tables as a contract declares them, and finds out in what they differ from it."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.contracts import BIGINT, INTEGER, METADATA_COLUMNS, Column, RawTable
from pipeline.errors import ContractError
from warehouse.session import Session

METADATA = tuple(column.name for column in METADATA_COLUMNS)


def address(session: Session, table: RawTable) -> str:
    """Schema and name of a raw table; the session's own database is the raw one."""
    return f"{session.quoted(table.schema.lower())}.{session.quoted(table.raw_name.lower())}"


def create_table(session: Session, name: str, columns: Sequence[Column]) -> None:
    """Create the table of that address (schema and name, quoted) unless it is there."""
    definitions = [
        f"{session.quoted(column.name)} {session.type_name(column.type)}"
        f"{'' if column.nullable else ' not null'}"
        for column in columns
    ]
    session.execute(f"create table if not exists {name} ({', '.join(definitions)})")


def create_schema(session: Session, name: str) -> None:
    """Create a schema of the session's database unless it is there.

    Looks first: on Snowflake ``create schema if not exists`` needs the right to create one even
    where there is one.
    """
    there = "select 1 from information_schema.schemata where lower(schema_name) = ?"
    if not session.rows(there, [name.lower()]):
        session.execute(f"create schema if not exists {session.quoted(name.lower())}")


def stored_columns(session: Session, table: RawTable) -> dict[str, str]:
    """Type of each column the raw table has, by its name as stored; empty without a table."""
    found = session.rows(
        "select column_name, data_type, numeric_precision, numeric_scale "
        "from information_schema.columns where lower(table_schema) = ? and lower(table_name) = ? "
        "order by ordinal_position",
        [table.schema.lower(), table.raw_name.lower()],
    )
    return {name: session.shown_type(*of_type) for name, *of_type in found}


def existing_columns(session: Session, table: RawTable) -> dict[str, str]:
    """The same by name in lower case, as contracts compare names."""
    return {name.lower(): type_ for name, type_ in stored_columns(session, table).items()}


def as_stored(name: str) -> str:
    """The name of ``stored_columns`` in quotes."""
    return '"' + name.replace('"', '""') + '"'


def refuse_changed_types(session: Session, table: RawTable, columns: Sequence[Column]) -> None:
    """``ContractError`` if the raw table has a column in another type than the rows that come.

    An integer that is declared as a bigint by now is none: every value fits.
    """
    existing = existing_columns(session, table)
    integer, bigint = session.type_name(INTEGER), session.type_name(BIGINT)
    for name, wanted in _changed(session, columns, existing).items():
        if (existing[name], wanted) == (integer, bigint):
            continue
        raise ContractError(
            f"Column {name} of the raw table {table.schema}.{table.raw_name} is {existing[name]}, "
            f"but rows come as {wanted}. Nothing was loaded. Load {table.name} with a full refresh "
            "to give the table the new type."
        )


def make_ready(session: Session, table: RawTable, columns: Sequence[Column]) -> None:
    """Create the raw table, or give it the columns and types it lacks.

    Columns are nullable but for the keys and the metadata: contracts are checked on the way in.
    """
    stored = stored_columns(session, table)
    if not stored:
        create_schema(session, table.schema)
        declared = [Column(c.name, c.type, nullable=c.name not in table.key) for c in columns]
        create_table(session, address(session, table), [*declared, *METADATA_COLUMNS])
        return
    if changed := _changed(session, columns, stored):
        session.retype(address(session, table), stored, changed)
    existing = {name.lower() for name in stored}
    for column in columns:
        if column.name.lower() not in existing:
            session.execute(
                f"alter table {address(session, table)} add column if not exists "
                f"{session.quoted(column.name)} {session.type_name(column.type)}"
            )


def forget_columns(session: Session, table: RawTable, columns: Sequence[Column]) -> None:
    """Drop what the source had once: columns that are neither among these nor the load's own."""
    kept = {name.lower() for name in (*(column.name for column in columns), *METADATA)}
    for name in stored_columns(session, table):
        if name.lower() not in kept:
            session.execute(f"alter table {address(session, table)} drop column {as_stored(name)}")


def _changed(
    session: Session, columns: Sequence[Column], existing: dict[str, str]
) -> dict[str, str]:
    """The type that columns should have, by name, of those that have another."""
    wanted = {column.name.lower(): session.type_name(column.type) for column in columns}
    return {
        name: wanted[name.lower()]
        for name, type_ in existing.items()
        if wanted.get(name.lower(), type_) != type_
    }
