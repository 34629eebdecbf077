"""Where the shop's life is written down: PostgreSQL by COPY, the Stripe account by the emulator's
import.
"""

from __future__ import annotations

import csv
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING

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
    """Set columns of the rows that have these keys; ``columns`` includes the key. Returns the
    number of rows.
    """
    changed = sql.Identifier(f"changed_{table}")
    others = [sql.Identifier(name) for name in columns if name != key]
    cursor.execute(
        sql.SQL(
            "create temporary table {} on commit drop as select {} from {} with no data"
        ).format(changed, sql.SQL(", ").join(map(sql.Identifier, columns)), sql.Identifier(table))
    )
    copy_rows(cursor, f"changed_{table}", columns)
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}.{}").format(name, changed, name) for name in others
    )
    cursor.execute(
        sql.SQL(
            "update {table} set {assignments} from {changed} where {table}.{key} = {changed}.{key}"
        ).format(
            table=sql.Identifier(table),
            assignments=assignments,
            changed=changed,
            key=sql.Identifier(key),
        )
    )
    updated = int(cursor.rowcount)
    cursor.execute(sql.SQL("drop table {}").format(changed))
    return updated


def import_into_stripe(url: str, items: Iterable[Item]) -> None:
    """Send objects to the emulator at ``url``, in chunks, in their order."""
    for chunk in _chunks(items, STRIPE_CHUNK):
        body = "\n".join(json.dumps(item, separators=(",", ":")) for item in chunk).encode()
        request = urllib.request.Request(  # noqa: S310
            f"{url.rstrip('/')}/_emulator/import",
            data=body,
            headers={"Content-Type": "application/x-ndjson"},
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                answer.read()
        except urllib.error.HTTPError as error:
            raise ShopError(
                "The Stripe emulator refused the shop's payments: "
                f"{error.read(500).decode(errors='replace')}"
            ) from None
        except OSError as error:
            raise ShopError(
                f"The Stripe emulator at {url} does not answer ({error}). Start it first."
            ) from error


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
