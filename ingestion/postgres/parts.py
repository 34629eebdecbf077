"""Splits a large table by ranges of its key, so that several tasks can read it for one load."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

from ingestion.postgres.contract import SourceTable
from pipeline.records import Window


@dataclass(frozen=True)
class Part:
    """One range of keys of one load; all parts of a load carry the same plan.

    Attributes:
        load_id: the shared load, the same for every part.
        further: names of the parts that the plan itself has staged.
        low, high: keys in ``[low, high)``; None: without bound, so that rows born after the plan
            have their part as well.
        columns: the columns of the plan: one gained since waits for the next load, one lost since
            is empty in the parts that have not been read yet.
        watermark: up to here the source is complete once all parts are committed. Taken before any
            part is read.
    """

    load_id: str
    table: str
    day: date
    window: Window
    watermark: datetime
    full_refresh: bool
    columns: tuple[str, ...]
    further: tuple[str, ...] = ()
    number: int = 0
    low: int | None = None
    high: int | None = None

    @property
    def name(self) -> str:
        return f"part-{self.number:05d}"

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values, fit for handing from task to task."""
        plain: dict[str, Any] = json.loads(
            json.dumps(asdict(self), default=lambda value: value.isoformat())
        )
        return plain

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Part:
        """The reverse of ``as_dict``."""
        start, end = plain["window"]["start"], plain["window"]["end"]
        return cls(
            **{
                **plain,
                "day": date.fromisoformat(plain["day"]),
                "window": Window(
                    datetime.fromisoformat(start) if start else None, datetime.fromisoformat(end)
                ),
                "watermark": datetime.fromisoformat(plain["watermark"]),
                "columns": tuple(plain["columns"]),
                "further": tuple(plain["further"]),
            }
        )


def estimated_rows(connection: Connection, query: sql.Composable) -> int:
    """What PostgreSQL's planner expects a query to give."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("explain (format json) {}").format(query))
        plan = cursor.fetchone()
    return int(plan[0][0]["Plan"]["Plan Rows"]) if plan else 0


def key_ranges(
    connection: Connection, table: SourceTable, count: int
) -> list[tuple[int | None, int | None]]:
    """``count`` equal ranges of the key; one without bounds unless it is a single integer."""
    if count > 1 and len(table.contract.key) == 1:
        key = table.by_name[table.contract.key[0]]
        if key.type is not None and key.type.name in ("integer", "bigint"):
            with connection.cursor() as cursor:
                extremes = sql.SQL("select min({key}), max({key}) from {table}")
                cursor.execute(extremes.format(key=key.identifier, table=table.address))
                low, high = cursor.fetchone() or (None, None)
            if low is not None and high - low >= count:
                inner = [low + (high - low + 1) * number // count for number in range(1, count)]
                return list(pairwise([None, *inner, None]))
    return [(None, None)]


def in_range(table: SourceTable, low: int | None, high: int | None) -> sql.Composable:
    """The SQL condition for the keys of a part."""
    key = table.by_name[table.contract.key[0]].identifier
    conditions = []
    if low is not None:
        conditions.append(sql.SQL("{} >= {}").format(key, sql.Literal(low)))
    if high is not None:
        conditions.append(sql.SQL("{} < {}").format(key, sql.Literal(high)))
    return sql.SQL(" and ").join(conditions) if conditions else sql.SQL("true")
