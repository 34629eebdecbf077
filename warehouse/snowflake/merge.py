"""Brings staged rows into one raw table in Snowflake: a guarded MERGE, or a full refresh; both
inside the load's transaction.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING

from pipeline.contracts import METADATA_COLUMNS, Column, RawTable
from pipeline.records import TableCounts
from warehouse.snowflake.session import execute, rows
from warehouse.snowflake.sql import address, identifier, listed

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

METADATA = tuple(column.name for column in METADATA_COLUMNS)
_STARTED = '"_STARTED_AT"'


@dataclass(frozen=True)
class Stamp:
    """What the metadata columns say of the rows a load brings."""

    load_id: str
    loaded_at: datetime
    day: date
    started_at: datetime


def merge(
    connection: SnowflakeConnection,
    table: RawTable,
    columns: Sequence[Column],
    incoming: str,
    extracted: int,
    stamp: Stamp,
) -> TableCounts:
    """Upsert the rows of the incoming table by key; see ``Load.commit`` for the rules."""
    lineage = [column.name for column in columns if column.name.startswith("_")]
    content = [
        column for column in columns if column.name not in (*table.key, table.version, *lineage)
    ]
    version = identifier(table.version)
    newer = f"(staged.{version} > target.{version} or (target.{version} is null and staged.{version} is not null))"
    same = f"staged.{version} is not distinct from target.{version}"
    differs = "(" + (" or ".join(map(_differs, content)) or "1 = 0") + ")"
    # Gone from the source before this load read it: the row has begun a new life, whatever its
    # version. Gone later: it was read before it went, and stays deleted.
    if_newer = f"{newer} and {differs}" if table.version in lineage else newer
    alive = 'target."_DELETED_AT" is null'
    replaces = f'target."_DELETED_AT" <= staged.{_STARTED} or ({alive} and (({if_newer}) or ({same} and {differs})))'
    clauses = [
        f"when matched and ({replaces}) then update set "
        f"{_assigned([c.name for c in columns] + list(METADATA))}"
    ]
    if (
        table.version in lineage
    ):  # as it was, but known to be so at a later time: nothing older may replace it any more
        clauses.append(f"when matched and {alive} and {newer} then update set {_assigned(lineage)}")
    inserted, updated = _merged(connection, table, columns, incoming, stamp, clauses)
    if table.version in lineage:
        ((changed,),) = rows(
            connection,
            f'select count(*) from {address(table)} where "_LOAD_ID" = ?',
            [stamp.load_id],
        )
        updated = int(changed) - inserted
    return TableCounts(table.name, extracted, inserted, updated, extracted - inserted - updated)


def rebuild(
    connection: SnowflakeConnection,
    table: RawTable,
    columns: Sequence[Column],
    incoming: str,
    extracted: int,
    stamp: Stamp,
) -> TableCounts:
    """Make the staged rows the whole table, but for rows that other loads have brought since this
    one began.
    """
    execute(
        connection,
        f'delete from {address(table)} where not ("_LOADED_AT" > ? and "_LOAD_ID" <> ?)',
        [stamp.started_at, stamp.load_id],
    )
    version = identifier(table.version)
    older = f"(target.{version} > staged.{version} or (staged.{version} is null and target.{version} is not null))"
    everything = [column.name for column in columns] + list(METADATA)
    clauses = [
        f"when matched and not coalesce({older}, false) then update set {_assigned(everything)}"
    ]
    inserted, updated = _merged(connection, table, columns, incoming, stamp, clauses)
    brought = inserted + updated
    return TableCounts(table.name, extracted, brought, 0, extracted - brought)


def _merged(
    connection: SnowflakeConnection,
    table: RawTable,
    columns: Sequence[Column],
    incoming: str,
    stamp: Stamp,
    clauses: Sequence[str],
) -> tuple[int, int]:
    """Rows inserted and rows updated. Of several staged rows with one key the newest counts, of
    equals what sorts last.
    """
    names = [column.name for column in columns]
    values = [
        f"parse_json(arrived.{identifier(column.name)}) as {identifier(column.name)}"
        if column.type.name == "json"
        else identifier(column.name)
        for column in columns
    ]
    last = [name for name in names if name not in table.key and name != table.version]
    order = ", ".join(
        f"arrived.{identifier(name)} desc nulls last" for name in [table.version, *last]
    )
    everything = [*names, *METADATA]
    statement = (
        f"merge into {address(table)} target using (select {', '.join(values)}, "
        f'? as "_LOAD_ID", ? as "_LOADED_AT", ? as "_DAY", ? as {_STARTED}, cast(null as timestamp) as "_DELETED_AT" '
        f"from {incoming} arrived "
        f"qualify row_number() over (partition by {listed(table.key, 'arrived.')} order by "
        f"{order}) = 1) staged "
        "on "
        f"{' and '.join(f'target.{identifier(name)} = staged.{identifier(name)}' for name in table.key)} "
        f"{' '.join(clauses)} "
        f"when not matched then insert ({listed(everything)}) values "
        f"({listed(everything, 'staged.')})"
    )
    stamps = [stamp.load_id, stamp.loaded_at, stamp.day, stamp.started_at]
    inserted, updated = rows(connection, statement, stamps)[0][:2]
    return int(inserted), int(updated)


def _differs(column: Column) -> str:
    name = identifier(column.name)
    if column.type.name == "json":
        return f"to_json(staged.{name}) is distinct from to_json(target.{name})"
    return f"staged.{name} is distinct from target.{name}"


def _assigned(names: Sequence[str]) -> str:
    return ", ".join(f"{identifier(name)} = staged.{identifier(name)}" for name in names)
