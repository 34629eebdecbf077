"""Brings staged rows into one raw table in DuckDB: guarded upsert, or a table built beside and
swapped in.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import pairwise

import duckdb

from pipeline.contracts import METADATA_COLUMNS, Column, RawTable
from pipeline.records import TableCounts
from warehouse.duckdb.beside import TableBeside
from warehouse.duckdb.sql import (
    address,
    create_table,
    duckdb_type,
    existing_columns,
    listed,
    parquet_files,
    quoted,
    refuse_changed_types,
)
from warehouse.staging import StagedPart

# Staged rows merged at once: bounds memory, whatever the size of the load.
ROUND_ROWS = 250_000
ROUND_BYTES = 32 * 2**20
METADATA = tuple(column.name for column in METADATA_COLUMNS)


@dataclass(frozen=True)
class Stamp:
    """What the metadata columns say of the rows a load brings."""

    load_id: str
    loaded_at: datetime
    day: date
    started_at: datetime

    @property
    def values(self) -> list[object]:
        return [self.load_id, self.loaded_at, self.day]


def merge(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    columns: Sequence[Column],
    parts: Sequence[StagedPart],
    stamp: Stamp,
    beside: TableBeside | None = None,
) -> TableCounts:
    """Upsert the staged rows by key; creates the table or missing columns first. Runs in the
    caller's transaction.

    ``beside`` is a table that has some of the staged rows already.
    """
    existing = existing_columns(connection, table)
    refuse_changed_types(table, columns, existing)
    if not existing:
        if beside and _keys_are_distinct(parts):
            counts = _complete(connection, table, beside, columns, parts, stamp)
            connection.execute(
                f"alter table {beside.address} rename to {quoted(table.raw_name.lower())}"
            )
            return counts
        create_table(connection, table, address(table), columns)
        return _fill(connection, table, address(table), columns, parts, stamp)
    for column in columns:
        if column.name.lower() not in existing:
            connection.execute(
                f"alter table {address(table)} add column {quoted(column.name)} "
                f"{duckdb_type(column.type)}"
            )
    kept = [
        name
        for name in existing
        if name not in METADATA and name not in {column.name.lower() for column in columns}
    ]
    return _upsert(connection, table, columns, kept, parts, stamp)


def rebuild(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    columns: Sequence[Column],
    parts: Sequence[StagedPart],
    stamp: Stamp,
    beside: TableBeside | None = None,
) -> TableCounts:
    """Make the staged rows the whole table, but for rows that other loads have brought since this
    one began.
    """
    existing = existing_columns(connection, table)
    if not existing:
        return merge(connection, table, columns, parts, stamp, beside)
    if beside and _keys_are_distinct(parts):
        rebuilt = beside.address
        counts = _complete(connection, table, beside, columns, parts, stamp)
    else:
        rebuilt = f"{quoted(table.schema.lower())}.{quoted(table.raw_name.lower() + '__rebuilt')}"
        create_table(connection, table, rebuilt, columns)
        counts = _fill(connection, table, rebuilt, columns, parts, stamp)
    _keep_newer(
        connection,
        table,
        rebuilt,
        [column.name for column in columns if column.name.lower() in existing],
        stamp,
    )
    connection.execute(f"drop table {address(table)}")
    connection.execute(f"alter table {rebuilt} rename to {quoted(table.raw_name.lower())}")
    return counts


def _complete(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    beside: TableBeside,
    columns: Sequence[Column],
    parts: Sequence[StagedPart],
    stamp: Stamp,
) -> TableCounts:
    """Insert the staged rows that the table beside does not have yet."""
    rows = sum(part.rows for part in parts)
    missing = [
        replace(part, files=files)
        for part in parts
        if (files := tuple(f for f in part.files if f.name not in beside.files))
    ]
    if missing:
        beside.insert(connection, _staged_rows(table, columns, missing, 0, 1))
    beside.become_complete(connection, stamp.loaded_at)
    return TableCounts(table.name, extracted=rows, inserted=rows)


def _fill(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    target: str,
    columns: Sequence[Column],
    parts: Sequence[StagedPart],
    stamp: Stamp,
) -> TableCounts:
    """Insert the staged rows into an empty table."""
    rows = sum(part.rows for part in parts)
    inserted = 0
    names = [column.name for column in columns]
    rounds = min(1, rows) if _keys_are_distinct(parts) else _rounds(parts)
    for number in range(rounds):
        staged = _staged_rows(table, columns, parts, number, rounds)
        inserted += _count(
            connection.execute(
                f"insert into {target} ({listed([*names, *METADATA])}) "
                f"select {listed(names)}, ?::varchar, ?::timestamp, ?::date, null from ({staged})",
                stamp.values,
            )
        )
    return TableCounts(table.name, extracted=rows, inserted=inserted, unchanged=rows - inserted)


def _upsert(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    columns: Sequence[Column],
    kept: Sequence[str],
    parts: Sequence[StagedPart],
    stamp: Stamp,
) -> TableCounts:
    """Upsert round by round.

    The raw table is asked for as little as possible, so that a small load costs little however
    large the table is: the key of every row, the version of rows that are there already, the
    content only of those with the same version. Deleting and inserting a changed row is cheaper in
    DuckDB than updating it, because no other row is written again.
    """
    rows = sum(part.rows for part in parts)
    names = [column.name for column in columns]
    key, raw, version = listed(table.key), address(table), quoted(table.version)
    # Columns that begin with an underscore are lineage: when a row was fetched, from which file.
    # They make no row different.
    lineage = [name for name in names if name.startswith("_")]
    content = [name for name in names if name not in (*table.key, table.version, *lineage)]
    differs = (
        " or ".join(
            f"incoming.{quoted(name)} is distinct from raw.{quoted(name)}" for name in content
        )
        or "false"
    )
    if_newer = "compare" if table.version in lineage else "replace"
    carried = "".join(f", raw.{quoted(name)}" for name in kept)
    rounds = _rounds(parts)
    inserted = updated = 0
    for number in range(rounds):
        connection.execute(
            "create or replace temp table incoming as "
            f"{_staged_rows(table, columns, parts, number, rounds)}"
        )
        # Gone from the source before this load read it: the row has begun a new life, whatever its
        # version. Gone later: it was read before it went, and stays deleted.
        connection.execute(
            "create or replace temp table met as select *, "
            "case when deleted_at <= ? then 'replace' when deleted_at > ? then 'keep' "
            f"when newer then '{if_newer}' when equal then 'compare' else 'keep' end as verdict "
            f"from (select {key}, raw.rowid as met_row, raw._deleted_at as deleted_at, "
            f"incoming.{version} > raw.{version} or (raw.{version} is null and incoming.{version} "
            "is not null) as newer, "
            f"incoming.{version} is not distinct from raw.{version} as equal "
            f"from incoming join {raw} raw using ({key}))",
            [stamp.started_at, stamp.started_at],
        )
        if _count(connection.execute("select count(*) from met where verdict = 'compare'")):
            connection.execute(
                "update met set verdict = 'replace' from (select met_row as changed_row from met "
                f"join incoming using ({key}) "
                f"join {raw} raw on raw.rowid = met_row where verdict = 'compare' and ({differs})) "
                "where met_row = changed_row"
            )
            if (
                table.version in lineage
                # the row is as it was, but known to be so at a later time: nothing older may replace it
            ):
                moved = ", ".join(f"{quoted(name)} = seen.{quoted(name)}" for name in lineage)
                connection.execute(
                    f"update {raw} raw set {moved} from (select met_row, {listed(lineage)} from "
                    f"met join incoming using ({key}) "
                    "where verdict = 'compare' and newer) seen where raw.rowid = met_row"
                )
        # One row for each key, also where somebody has doubled a row in the raw table.
        connection.execute(
            "create or replace temp table changes as select incoming.*, met_row from incoming left "
            "join "
            f"(select {key}, min(met_row) as met_row, bool_or(verdict = 'replace') as replaced "
            f"from met group by {key}) "
            f"using ({key}) where replaced is null or replaced"
        )
        if kept:
            connection.execute(
                f"create or replace temp table changes as select changes.*{carried} "
                f"from changes left join {raw} raw on raw.rowid = met_row"
            )
        replaced = _count(connection.execute("select count(met_row) from changes"))
        connection.execute(
            f"delete from {raw} where rowid in (select met.met_row from met semi join changes "
            f"using ({key}))"
        )
        written = _count(
            connection.execute(
                f"insert into {raw} ({listed([*names, *kept, *METADATA])}) "
                f"select {listed([*names, *kept])}, ?::varchar, ?::timestamp, ?::date, null from "
                "changes",
                stamp.values,
            )
        )
        updated += replaced
        inserted += written - replaced
    return TableCounts(
        table.name,
        extracted=rows,
        inserted=inserted,
        updated=updated,
        unchanged=rows - inserted - updated,
    )


def _keep_newer(
    connection: duckdb.DuckDBPyConnection,
    table: RawTable,
    beside: str,
    names: Sequence[str],
    stamp: Stamp,
) -> None:
    """Carry over what loads committed since this one began have brought to the old table, unless
    the rebuilt one has it newer.
    """
    version = quoted(table.version)
    connection.execute(
        f"create or replace temp table newer as select raw.* from {address(table)} raw left join "
        f"{beside} built "
        f"using ({listed(table.key)}) where raw._loaded_at > ? and raw._load_id <> ? and "
        "(built.rowid is null or "
        f"raw.{version} > built.{version} or (built.{version} is null and raw.{version} is not "
        "null))",
        [stamp.started_at, stamp.load_id],
    )
    same_key = " and ".join(f"built.{quoted(name)} = newer.{quoted(name)}" for name in table.key)
    connection.execute(f"delete from {beside} built using newer where {same_key}")
    columns = listed([*names, *METADATA])
    connection.execute(f"insert into {beside} ({columns}) select {columns} from newer")


def _staged_rows(
    table: RawTable,
    columns: Sequence[Column],
    parts: Sequence[StagedPart],
    number: int,
    rounds: int,
) -> str:
    """The staged rows of one round, one per key: the newest version, of equals the one that sorts
    last.
    """
    values = ", ".join(
        f"{quoted(column.name)}::{duckdb_type(column.type)} as {quoted(column.name)}"
        for column in columns
    )
    files = parquet_files([file for part in parts for file in part.files])
    key = listed(table.key)
    this_round = f" where hash({key}) % {rounds} = {number}" if rounds > 1 else ""
    select = f"select {values} from {files} staged"
    if _keys_are_distinct(parts):
        return select + this_round
    # Only rows whose key came twice are sorted: a sort holds whole rows in memory, and most keys
    # came once.
    twice = f"(select {key} from {files}{this_round} group by {key} having count(*) > 1) twice"
    content = [
        column.name
        for column in columns
        if column.name not in table.key and column.name != table.version
    ]
    order = ", ".join(f"{quoted(name)} desc nulls last" for name in [table.version, *content])
    return (
        f"{select} anti join {twice} using ({key}){this_round} union all ({select} semi join "
        f"{twice} using ({key}){this_round} "
        f"qualify row_number() over (partition by {key} order by {order}) = 1)"
    )


def _keys_are_distinct(parts: Sequence[StagedPart]) -> bool:
    """Each part has distinct keys, and no two parts overlap."""
    ranges = [part.key_range for part in parts if part.rows]
    known = sorted(key_range for key_range in ranges if key_range is not None)
    return len(known) == len(ranges) and all(
        first[1] < second[0] for first, second in pairwise(known)
    )


def _rounds(parts: Sequence[StagedPart]) -> int:
    """0 if there are no rows."""
    return max(
        -(-sum(part.rows for part in parts) // ROUND_ROWS),
        -(-sum(part.size for part in parts) // ROUND_BYTES),
    )


def _count(result: duckdb.DuckDBPyConnection) -> int:
    row = result.fetchone()
    return int(row[0]) if row else 0
