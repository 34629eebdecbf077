"""Where the shop's life is written down: PostgreSQL by COPY, Stripe by the emulator's import."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING

import requests
from psycopg2 import sql

if TYPE_CHECKING:
    from psycopg2 import extensions

    from sandbox.shop.payments import Item

STRIPE_CHUNK = 5_000  # objects per request


class ShopError(RuntimeError):
    """The demo shop cannot be filled; the text says why and what to do."""


def copy_rows(
    cursor: extensions.cursor, table: str, columns: Mapping[str, Iterable[object]]
) -> int:
    """Append rows, given column by column (None is NULL); returns their number."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(*columns.values(), strict=True))
    rows = text.tell()
    text.seek(0)
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    cursor.copy_expert(
        sql.SQL("copy {} ({}) from stdin (format csv)").format(sql.Identifier(table), names), text
    )
    return int(cursor.rowcount) if rows else 0


def update_rows(
    cursor: extensions.cursor, table: str, key: str, columns: Mapping[str, Iterable[object]]
) -> int:
    """Set columns of the rows that have these keys, the key included; returns their number."""
    names = {name: sql.Identifier(name) for name in columns}
    changed = sql.Identifier(f"changed_{table}")
    parts = {
        "table": sql.Identifier(table),
        "changed": changed,
        "key": names[key],
        "columns": sql.SQL(", ").join(names.values()),
        "assignments": sql.SQL(", ").join(
            sql.SQL("{} = {}.{}").format(column, changed, column)
            for name, column in names.items()
            if name != key
        ),
    }
    begin = "create temporary table {changed} on commit drop as select {columns} from {table} "
    cursor.execute(sql.SQL(begin + "with no data").format(**parts))
    copy_rows(cursor, f"changed_{table}", columns)
    update = "update {table} set {assignments} from {changed} where {table}.{key} = {changed}.{key}"
    cursor.execute(sql.SQL(update).format(**parts))
    updated = int(cursor.rowcount)
    cursor.execute(sql.SQL("drop table {changed}").format(**parts))
    return updated


def import_into_stripe(url: str, items: Iterable[Item]) -> None:
    """Send objects to the emulator at ``url``, in chunks, in their order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, STRIPE_CHUNK)):
        body = "\n".join(json.dumps(item, separators=(",", ":")) for item in chunk)
        ndjson = {"Content-Type": "application/x-ndjson"}
        try:
            answer = requests.post(
                f"{url.rstrip('/')}/_emulator/import", body.encode(), headers=ndjson, timeout=120
            )
        except requests.RequestException as error:
            raise ShopError(
                f"The Stripe emulator at {url} does not answer ({error}). Start it first."
            ) from error
        if not answer.ok:
            raise ShopError(f"The Stripe emulator refused the shop's payments: {answer.text[:500]}")
