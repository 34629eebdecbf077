"""Brings the staged rows of one raw table into it: an upsert by key, or a full refresh.

The statements are the same on every engine, and run in the transaction of the load.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from pipeline.contracts import Column, RawTable
from pipeline.records import TableCounts
from warehouse.session import Session
from warehouse.tables import METADATA, address, as_stored, stored_columns


@dataclass(frozen=True)
class Stamp:
    """What the metadata columns say of the rows a load writes."""

    load_id: str
    loaded_at: datetime
    day: date
    started_at: datetime


def merge(
    session: Session,
    table: RawTable,
    columns: Sequence[Column],
    pieces: Sequence[str],
    stamp: Stamp,
    *,
    replace: bool,
) -> TableCounts:
    """Write the staged rows into the raw table; see ``Load.commit`` for which row replaces which.

    Args:
        columns: those the staged rows have.
        pieces: queries that give the staged rows together. Each is merged by a statement of its
            own, which bounds the memory an embedded engine needs.
        replace: a full refresh: rows that are not staged are marked as deleted.
    """
    raw = address(session, table)
    mine, alive = 'where "_LOAD_ID" = ?', 'and "_DELETED_AT" is null'
    ((extracted,),) = session.rows(f"select count(*) from ({_all(pieces)}) staged")
    ((before,),) = session.rows(f"select count(*) from {raw}")
    if extracted:
        for piece in _one_row_per_key(session, table, columns, pieces):
            staged = f"select arrived.*, {_STAMP} from ({piece}) arrived"
            if before:
                sql = _merge_statement(session, table, columns, staged, replace=replace)
            else:
                names = session.listed([*(c.name for c in columns), *METADATA])
                sql = f"insert into {raw} ({names}) select {names} from ({staged}) staged"
            session.execute(sql, [stamp.load_id, stamp.loaded_at, stamp.day, stamp.started_at])
    ((after,),) = session.rows(f"select count(*) from {raw}")
    ((written,),) = session.rows(f"select count(*) from {raw} {mine} {alive}", [stamp.load_id])
    inserted = written if replace else after - before
    updated = written - inserted
    if replace:
        _mark_the_others(session, raw, stamp)
    return TableCounts(table.name, extracted, inserted, updated, extracted - written)


_STAMP = (
    '? as "_LOAD_ID", ? as "_LOADED_AT", ? as "_DAY", ? as "_STARTED_AT", '
    'cast(null as timestamp) as "_DELETED_AT"'
)


def _all(pieces: Sequence[str]) -> str:
    return " union all ".join(pieces)


def _one_row_per_key(
    session: Session, table: RawTable, columns: Sequence[Column], pieces: Sequence[str]
) -> list[str]:
    """The pieces without older versions: of one key the newest counts, of equals what sorts last.

    A key hardly ever comes twice in a load, and looking is cheaper than sorting whole rows.
    """
    key = session.listed(table.key)
    twice = f"select {key} from ({_all(pieces)}) staged group by {key} having count(*) > 1"
    if not session.comes_twice(key, pieces):
        return list(pieces)
    others = [c for c in columns if c.name not in (*table.key, table.version)]
    order = [session.quoted(table.version), *(_comparable(session, c) for c in others)]
    newest = ", ".join(f"{expression} desc nulls last" for expression in order)
    same = " and ".join(f"twice.{k} = staged.{k}" for k in map(session.quoted, table.key))
    once = [
        f"select * from ({p}) staged where not exists (select 1 from ({twice}) twice where {same})"
        for p in pieces
    ]
    return [
        *once,
        f"select * from ({_all(pieces)}) staged where ({key}) in ({twice}) "
        f"qualify row_number() over (partition by {key} order by {newest}) = 1",
    ]


def _comparable(session: Session, column: Column, prefix: str = "") -> str:
    name = prefix + session.quoted(column.name)
    return session.json_text(name) if column.type.name == "json" else name


def _merge_statement(
    session: Session, table: RawTable, columns: Sequence[Column], staged: str, *, replace: bool
) -> str:
    names = [column.name for column in columns]
    same_key = " and ".join(
        f"target.{session.quoted(name)} = staged.{session.quoted(name)}" for name in table.key
    )
    clauses = (
        _refresh_clauses(session, table, names)
        if replace
        else _upsert_clauses(session, table, columns)
    )
    everything = [*names, *METADATA]
    return (
        f"merge into {address(session, table)} target using ({staged}) staged on {same_key} "
        f"{' '.join(clauses)} when not matched then insert ({session.listed(everything)}) "
        f"values ({session.listed(everything, 'staged.')})"
    )


def _upsert_clauses(session: Session, table: RawTable, columns: Sequence[Column]) -> list[str]:
    names = [column.name for column in columns]
    lineage = [name for name in names if name.startswith("_")]
    content = [c for c in columns if c.name not in (*table.key, table.version, *lineage)]
    version = session.quoted(table.version)
    newer = _is_newer(version, "staged", "target")
    same = f"staged.{version} is not distinct from target.{version}"
    different = [
        f"{_comparable(session, c, 'staged.')} is distinct from "
        f"{_comparable(session, c, 'target.')}"
        for c in content
    ]
    differs = f"({' or '.join(different) or '1 = 0'})"
    newer = f"({newer} or {_is_sane_again(version)})"
    by_version = f"({newer} and {differs})" if table.version in lineage else newer
    if table.append_only:  # its versions say nothing: what was read later counts
        read_later = f'target."_LOADED_AT" <= staged."_STARTED_AT" and ({differs} or not {same})'
        by_version = f"({by_version} or ({read_later}))"
    # Gone from the source before this load read it: the row has begun a new life, whatever its
    # version. Gone later: it was read before it went, and stays deleted.
    reborn = 'target."_DELETED_AT" <= staged."_STARTED_AT"'
    alive = 'target."_DELETED_AT" is null'
    replaces = f"{reborn} or ({alive} and ({by_version} or ({same} and {differs})))"
    clauses = [
        f"when matched and ({replaces}) then update set {_assigned(session, [*names, *METADATA])}"
    ]
    if table.version in lineage:
        # As it was, but known to be so at a later time: nothing older may replace it any more.
        moved = _assigned(session, lineage)
        clauses.append(f"when matched and {alive} and {newer} then update set {moved}")
    return clauses


def _refresh_clauses(session: Session, table: RawTable, names: Sequence[str]) -> list[str]:
    """Every staged row replaces the one with its key, unless that has changed since it was read.

    Another load may have brought a newer version, or the row went.
    """
    older = _is_newer(session.quoted(table.version), "target", "staged")
    since = 'target."_LOADED_AT" > staged."_STARTED_AT" and target."_LOAD_ID" <> staged."_LOAD_ID"'
    went = 'coalesce(target."_DELETED_AT" > staged."_STARTED_AT", false)'
    assigned = _assigned(session, [*names, *METADATA])
    return [f"when matched and not ({went} or ({since} and {older})) then update set {assigned}"]


def _is_newer(version: str, one: str, other: str) -> str:
    """SQL: one row's version is newer; a row without a version is older than any with one."""
    return (
        f"(coalesce({one}.{version} > {other}.{version}, false) "
        f"or ({other}.{version} is null and {one}.{version} is not null))"
    )


def _is_sane_again(version: str) -> str:
    """SQL: the version there is from the future, that of the staged row is not.

    No clock can have meant it when it was loaded: a day is more than clocks differ.
    """
    day = "interval '1 day'"
    return (
        f'coalesce(target.{version} > target."_LOADED_AT" + {day} '
        f'and staged.{version} <= staged."_STARTED_AT" + {day}, false)'
    )


def _assigned(session: Session, names: Sequence[str]) -> str:
    return ", ".join(f"{session.quoted(n)} = staged.{session.quoted(n)}" for n in names)


def _mark_the_others(session: Session, raw: str, stamp: Stamp) -> None:
    """Mark rows that a full refresh has not brought, unless another load has since it began."""
    session.execute(
        f'update {raw} set "_DELETED_AT" = ?, "_LOAD_ID" = ?, "_LOADED_AT" = ?, "_DAY" = ? '
        'where "_DELETED_AT" is null and "_LOAD_ID" <> ? and "_LOADED_AT" <= ?',
        [
            *(stamp.started_at, stamp.load_id, stamp.loaded_at, stamp.day),
            *(stamp.load_id, stamp.started_at),
        ],
    )


def mark_deleted(
    session: Session, table: RawTable, pieces: Sequence[str], seen_at: datetime, stamp: Stamp
) -> int:
    """Mark rows with these keys, unless a load has changed them since ``seen_at``; how many."""
    raw = address(session, table)
    same_key = " and ".join(
        f"target.{session.quoted(name)} = gone.{session.quoted(name)}" for name in table.key
    )
    _drop_copies(session, table, pieces, seen_at, stamp)
    session.execute(
        f'update {raw} target set "_DELETED_AT" = ?, "_LOAD_ID" = ?, "_LOADED_AT" = ?, "_DAY" = ? '
        f"from (select distinct * from ({_all(pieces)}) keys) gone "
        f'where {same_key} and target."_DELETED_AT" is null and target."_LOADED_AT" <= ?',
        [seen_at, stamp.load_id, stamp.loaded_at, stamp.day, seen_at],
    )
    ((marked,),) = session.rows(f'select count(*) from {raw} where "_LOAD_ID" = ?', [stamp.load_id])
    return int(marked)


def _drop_copies(
    session: Session, table: RawTable, pieces: Sequence[str], seen_at: datetime, stamp: Stamp
) -> None:
    """Of rows with these keys that are there twice leave the newest, marked as deleted.

    No load writes a key twice; a hand or a tool did. A MERGE would keep every copy.
    """
    raw, key = address(session, table), session.listed(table.key)
    own = {name.lower() for name in METADATA}
    names = [as_stored(n) for n in stored_columns(session, table) if n.lower() not in own]
    session.execute(
        f"insert into {raw} ({', '.join(names)}, "
        '"_LOAD_ID", "_LOADED_AT", "_DAY", "_DELETED_AT") '
        f"select {', '.join(names)}, ?, ?, ?, ? from {raw} "
        f'where ({key}) in ({_all(pieces)}) and "_LOADED_AT" <= ? '
        f"qualify count(*) over (partition by {key}) > 1 and row_number() over "
        f"(partition by {key} order by {session.quoted(table.version)} desc nulls last) = 1",
        [stamp.load_id, stamp.loaded_at, stamp.day, seen_at, seen_at],
    )
    session.execute(
        f'delete from {raw} where "_LOAD_ID" <> ? '
        f'and ({key}) in (select {key} from {raw} where "_LOAD_ID" = ?)',
        [stamp.load_id, stamp.load_id],
    )
