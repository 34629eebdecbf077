"""Rows set aside, as the warehouse keeps them: one entry from finding the fault to its healing.

A row found bad again for the same reason is not written again. It is healed when a load has staged
its key, or has read its file again, and did not reject it.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.contracts import RawTable, Source
from pipeline.rejects import Reject
from warehouse.records import missing_tables, with_columns
from warehouse.session import ROWS_AT_ONCE, Session

if TYPE_CHECKING:
    from warehouse.manifest import Manifest
    from warehouse.merge import Stamp


@dataclass(frozen=True)
class Aside:
    """What one load set aside: how many rows, and those that were not known before."""

    total: int
    new: tuple[Reject, ...]


def write(
    session: Session,
    source: Source,
    manifest: Manifest,
    pieces: dict[str, list[str]],
    stamp: Stamp,
    *,
    everything: bool,
) -> Aside:
    """Write new rejects, and mark as healed what is right now; in the transaction of the load.

    Args:
        pieces: queries that give the staged rows, by table name.
        everything: the load read all there is, so whatever it did not reject is healed.
    """
    standing = session.rows(
        "select reject_id, table_name, file, key from LOADS.REJECTED_ROWS "
        "where source = ? and healed_at is null",
        [source.name],
    )
    known = {reject_id for reject_id, *_ in standing}
    total, found, new = 0, set(), {}
    for said in manifest.rejected(session):
        table = said.pop("table_name")
        reject = Reject(**said)
        total += 1
        reject_id = reject.identity(table)
        found.add(reject_id)
        if reject_id not in known:
            new[reject_id] = (table, reject)
    session.insert(
        with_columns("REJECTED_ROWS"),
        [
            (
                *(stamp.load_id, source.name, table, stamp.day, r.file, r.line, r.key),
                *(r.column, r.reason, r.text, stamp.loaded_at, None, reject_id),
            )
            for reject_id, (table, r) in new.items()
        ],
    )
    healed: list[str] = []
    for table in source.tables:
        of_table = [s for s in standing if s[1] == table.raw_name.lower() and s[0] not in found]
        files, keys = manifest.was_reread(session, table)
        keys |= _staged(session, table, pieces[table.name], {k for *_, k in of_table if k})
        healed += [
            reject_id
            for reject_id, _, file, key in of_table
            if everything or file in files or key in keys
        ]
    for some in _some_at_once(healed):
        session.execute(
            "update LOADS.REJECTED_ROWS set healed_at = ? "
            f"where healed_at is null and reject_id in ({', '.join('?' * len(some))})",
            [stamp.loaded_at, *some],
        )
    return Aside(total, tuple(reject for _, reject in new.values()))


def standing_keys(session: Session, source: Source) -> dict[str, set[str]]:
    """Keys of rows that are set aside and not healed yet, by name of the table."""
    found: dict[str, set[str]] = {table.name: set() for table in source.tables}
    if "REJECTED_ROWS" not in missing_tables(session):
        names = {table.raw_name.lower(): table.name for table in source.tables}
        for table_name, key in session.rows(
            "select table_name, key from LOADS.REJECTED_ROWS "
            "where source = ? and healed_at is null and key is not null",
            [source.name],
        ):
            found[names[table_name]].add(key)
    return found


def _staged(
    session: Session, table: RawTable, pieces: Sequence[str], keys: Iterable[str]
) -> set[str]:
    """Which of these keys, as text, are among the staged rows."""
    key = " || ', ' || ".join(f"cast({session.quoted(name)} as varchar)" for name in table.key)
    found: set[str] = set()
    for some in _some_at_once(sorted(keys)):
        wanted = ", ".join("?" * len(some))
        rows = f"select {key} as k from ({' union all '.join(pieces)}) staged"
        found |= {k for (k,) in session.rows(f"{rows} where {key} in ({wanted})", some)}
    return found


def _some_at_once(values: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(values), ROWS_AT_ONCE):
        yield values[start : start + ROWS_AT_ONCE]
