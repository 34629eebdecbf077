"""Columns that nobody declared: which of them need all rows to be read again."""

from __future__ import annotations

from collections.abc import Collection

from psycopg2 import sql

from ingestion.postgres.snapshot import Snapshot
from ingestion.reconcile.dialect import dialect
from warehouse import Warehouse


def columns_to_fill(snapshot: Snapshot, warehouse: Warehouse, known: Collection[str]) -> list[str]:
    """Columns with values in the source, but with none in the raw table.

    Either the source has gained them, or it had lost them and has them back, or somebody has filled
    them without a new version. Their rows did not change, so no window would bring the values.

    Args:
        known: columns of the raw table.
    """
    names = [column.name for column in snapshot.table.gained]
    empty = {name for name in names if name in known and not _has_values(warehouse, snapshot, name)}
    return [
        name
        for name in names
        if name not in known or (name in empty and _is_filled(snapshot, name))
    ]


def _has_values(warehouse: Warehouse, snapshot: Snapshot, name: str) -> bool:
    words = dialect(warehouse.dialect)
    address, column = words.address(snapshot.table.contract), words.quoted(name)
    return bool(warehouse.query(f"select 1 from {address} where {column} is not null limit 1"))  # noqa: S608


def _is_filled(snapshot: Snapshot, name: str) -> bool:
    query = sql.SQL("select exists (select from {} where {} is not null)").format(
        snapshot.table.address, snapshot.table.by_name[name].identifier
    )
    with snapshot.connection.cursor() as cursor:
        cursor.execute(query)
        ((is_filled,),) = cursor.fetchall()
    return bool(is_filled)
