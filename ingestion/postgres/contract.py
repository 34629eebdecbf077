"""Holds a source table, as PostgreSQL's catalog describes it, against its contract.

A declared column must be there, in a type whose values arrive exactly (``columns``). What nobody
declared never stops a load: it is read as text, and one that went is empty from then on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from difflib import get_close_matches

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

from ingestion.postgres.columns import (
    CATALOG,
    SourceColumn,
    declaration,
    fits,
    found_column,
    gone_column,
    is_wider,
)
from ingestion.postgres.settings import PostgresSettings
from pipeline.contracts import METADATA_COLUMNS, Column, RawTable
from pipeline.errors import ContractError, MissingInputError

logger = logging.getLogger(__name__)

_OWN = {column.name for column in METADATA_COLUMNS}
_CHILDREN = """
select array_agg(i.inhrelid::regclass::text order by 1)
from pg_inherits i join pg_class c on c.oid = i.inhparent
where c.oid = %s and c.relkind in ('r', 'f')
"""
_UNIQUE_INDEXES = """
select array_agg(a.attname::text)
from pg_index i
join pg_attribute a on a.attrelid = i.indrelid
    and a.attnum = any (i.indkey[0:i.indnkeyatts - 1])
where i.indrelid = %s and i.indisunique and i.indisvalid
    and i.indpred is null and i.indexprs is null
group by i.indexrelid
"""


@dataclass(frozen=True)
class SourceTable:
    """A table of the source that fits its contract.

    Attributes:
        contract: what it was declared to be.
        address: schema and table, quoted; without its inherited children, which are tables of
            their own.
        columns: the columns to read: the declared ones in their order, those the source has
            gained, those it has lost again.
        gained: the declarations of those it has gained.
        gone: the declarations of those it has lost.
        has_unique_key: an index of the source vouches that no key comes twice.
        children: inherited children that are not read.
    """

    contract: RawTable
    address: sql.Composable
    columns: tuple[SourceColumn, ...]
    gained: tuple[Column, ...]
    gone: tuple[Column, ...]
    has_unique_key: bool
    children: tuple[str, ...] = ()

    @property
    def by_name(self) -> dict[str, SourceColumn]:
        return {column.raw_name: column for column in self.columns}

    @property
    def undeclared(self) -> tuple[Column, ...]:
        return (*self.gained, *self.gone)

    @property
    def declared(self) -> tuple[Column, ...]:
        """The declaration of every column, in the order of ``columns``."""
        return (*self.contract.columns, *self.undeclared)


def look_up(
    connection: Connection, table: RawTable, settings: PostgresSettings
) -> tuple[int, bool]:
    """The table's oid, and whether it can be locked; ``MissingInputError`` if it is not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select c.oid, c.relkind in ('r', 'p', 'v') from pg_class c join pg_namespace n on "
            "n.oid = c.relnamespace "
            "where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')",
            (settings.source_schema, table.name),
        )
        found = cursor.fetchone()
    if found is None:
        raise MissingInputError(
            f"There is no table {settings.source_schema}.{table.name} in the PostgreSQL database "
            f"{settings.db!r} on "
            f"{settings.host}:{settings.port}. Check POSTGRES_DB and POSTGRES_SOURCE_SCHEMA, or "
            "restore the table."
        )
    return found[0], found[1]


def check_contract(
    connection: Connection,
    table: RawTable,
    oid: int,
    settings: PostgresSettings,
    remembered: tuple[str, ...] = (),
    *,
    may_gain: bool = True,
) -> SourceTable:
    """The table as it is now, or ``ContractError`` with every declared column that does not fit.

    Args:
        remembered: the columns of the raw table: those that the source no longer has are empty.
        may_gain: else only what was declared or is remembered is read.
    """
    with connection.cursor() as cursor:
        cursor.execute(CATALOG, {"table": oid})
        rows = cursor.fetchall()
        found = _by_raw_name([found_column(settings.timezone, *row) for row in rows], table)
        cursor.execute(_UNIQUE_INDEXES, (oid,))
        unique = [set(row[0]) for row in cursor.fetchall()]
    if problems := _problems(table, found):
        raise ContractError(
            f"The source table {settings.source_schema}.{table.name} is not as declared: "
            f"{'; '.join(problems)}. Nothing was "
            "loaded. Undo the change in the source, or declare it in pipeline/sources.py."
        )
    declared = [
        replace(found[column.name], is_wider=is_wider(found[column.name].type, column.type))
        for column in table.columns
    ]
    gained = [
        replace(column, is_undeclared=True)
        for name, column in found.items()
        if name not in table.column_names and (may_gain or name in remembered)
    ]
    gone = [gone_column(name) for name in remembered if name not in found and name not in _OWN]
    if gone:
        logger.warning(
            "The source table %s has lost %s, which nobody declared: empty from now on. A full "
            "refresh drops it from the raw table.",
            table.name,
            ", ".join(column.name for column in gone),
        )
    address, children, is_one_table = _extent(connection, table, oid, settings)
    return SourceTable(
        contract=table,
        address=address,
        columns=(*declared, *gained, *gone),
        gained=tuple(map(declaration, gained)),
        gone=tuple(map(declaration, gone)),
        has_unique_key=is_one_table and any(columns <= set(table.key) for columns in unique),
        children=children,
    )


def check_keys(connection: Connection, table: SourceTable) -> None:
    """``ContractError`` if a key comes twice. Only asked where no unique index vouches for that."""
    if table.has_unique_key:
        return
    keys = [table.by_name[name].identifier for name in table.contract.key]
    query = sql.SQL(
        "select {keys} from {table} group by {keys} having count(*) > 1 limit 1"
    ).format(keys=sql.SQL(", ").join(keys), table=table.address)
    with connection.cursor() as cursor:
        cursor.execute(query)
        twice = cursor.fetchone()
    if twice:
        shown = ", ".join(
            f"{name} = {value}" for name, value in zip(table.contract.key, twice, strict=True)
        )
        raise ContractError(
            f"The source table {table.contract.name} has more than one row with the key {shown}. "
            "Nothing was loaded. "
            "Remove the duplicates and give the table its primary key back."
        )


def _by_raw_name(found: list[SourceColumn], table: RawTable) -> dict[str, SourceColumn]:
    """The columns by their name in the raw table.

    Where two differ in upper and lower case only, the one in lower case is meant; a name that the
    load itself uses is not read.
    """
    by_name: dict[str, SourceColumn] = {}
    left_out = []
    for column in sorted(found, key=lambda column: column.name != column.raw_name):
        if column.raw_name in by_name or column.raw_name in _OWN:
            left_out.append(column.name)
        else:
            by_name[column.raw_name] = column
    if left_out:
        logger.warning(
            "The source table %s has columns that are not read, because another column or the load "
            "itself has that name: %s.",
            table.name,
            ", ".join(left_out),
        )
    return by_name


def _problems(table: RawTable, found: dict[str, SourceColumn]) -> list[str]:
    problems = []
    for column in table.columns:
        if column.name not in found:
            renamed = _likely_new_name(column, table, found)
            now = f" (renamed to {renamed}?)" if renamed else ""
            problems.append(f"column {column.name} is missing{now}")
        elif not fits(found[column.name].type, column.type):
            problems.append(
                f"column {column.name} is {found[column.name].spelled} instead of {column.type}"
            )
    return problems


def _likely_new_name(gone: Column, table: RawTable, found: dict[str, SourceColumn]) -> str:
    """The undeclared column that has taken the place of a missing one, to judge by its name and
    type; empty where none is like it.
    """
    declared = {column.name for column in table.columns}
    fitting = [
        name
        for name, there in found.items()
        if name not in declared and fits(there.type, gone.type)
    ]
    return next(iter(get_close_matches(gone.name, fitting, n=1, cutoff=0.5)), "")


def _extent(
    connection: Connection, table: RawTable, oid: int, settings: PostgresSettings
) -> tuple[sql.Composable, tuple[str, ...], bool]:
    """Where the rows are: their address, children left out, whether they are in one table.

    Partitions count as one table: PostgreSQL keeps their indexes together. Children by inheritance
    are tables of their own, such as an archive: their rows are no rows of this one. But a parent
    without a row of its own is partitioned in the way of old.
    """
    address = sql.Identifier(settings.source_schema, table.name)
    with connection.cursor() as cursor:
        cursor.execute(_CHILDREN, (oid,))
        ((children,),) = cursor.fetchall()
        if not children:
            return address, (), True
        only = sql.SQL("only {}").format(address)
        cursor.execute(sql.SQL("select exists (select from {})").format(only))
        ((has_rows,),) = cursor.fetchall()
    return (only, tuple(children), True) if has_rows else (address, (), False)
