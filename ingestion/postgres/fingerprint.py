"""Fingerprints of rows in PostgreSQL's SQL: the same for a row as the warehouse gives for it.

Whole numbers and exact decimals count as they are written, moments as whole microseconds, and NULL
is apart from everything else. No value stops a comparison: one that the declared type cannot hold
has a text of its own, and a moment outside the years 1 to 9999 counts as no version.
``ingestion/reconcile/comparison.py`` has the warehouse's side.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg2 import sql

from ingestion.postgres.columns import SourceColumn
from ingestion.postgres.contract import SourceTable
from ingestion.reconcile.comparison import BUCKET_KEYS, BY_BUCKET
from ingestion.reconcile.dialect import HEX_DIGITS
from pipeline.contracts import Column, ColumnType


def buckets(table: SourceTable, compared: Sequence[Column], watermark: datetime) -> sql.Composable:
    """The rows that are due, by bucket: count, key sum, newest version and content sum."""
    return sql.SQL(
        "{by_bucket} from (select {row} from {table} where {due}) fingerprinted group by 1"
    ).format(
        by_bucket=sql.SQL(BY_BUCKET),
        row=_row(table, compared),
        table=table.address,
        due=due(table, watermark),
    )


def rows(table: SourceTable, compared: Sequence[Column], numbers: Sequence[int]) -> sql.Composable:
    """Key, bucket, version, time of birth and content of the rows in some buckets."""
    return sql.SQL(
        "select id, bucket, version, born, content from (select {} from {} where {}) fingerprinted"
    ).format(_row(table, compared), table.address, in_buckets(table, numbers))


def in_buckets(table: SourceTable, numbers: Sequence[int]) -> sql.Composable:
    """The condition for the keys of some buckets, so written that the key's index can be used."""
    key = table.by_name[table.contract.key[0]].identifier
    return sql.SQL(" or ").join(
        sql.SQL("({key} >= {low} and {key} < {high})").format(
            key=key,
            low=sql.Literal(number * BUCKET_KEYS),
            high=sql.Literal((number + 1) * BUCKET_KEYS),
        )
        for number in numbers
    )


def _row(table: SourceTable, compared: Sequence[Column]) -> sql.Composable:
    """Select list: bucket, id, version, newest, born (UTC, may be null), content."""
    contract, columns = table.contract, table.by_name
    born = columns.get("created_at")
    texts = [_text(columns[column.name], column.type) for column in compared]
    return sql.SQL(
        "floor({key} / {size}.0)::bigint as bucket, {key} as id, {version} as version, "
        "{version} as newest, {born} as born, "
        "('x' || left(md5(convert_to(array_to_string(array[{texts}], chr(1)), 'UTF8')), {digits}))"
        "::bit(60)::bigint as content"
    ).format(
        key=columns[contract.key[0]].identifier,
        size=sql.Literal(BUCKET_KEYS),
        version=_moment(columns[contract.version]),
        born=_moment(born) if born else sql.SQL("null::timestamp"),
        texts=sql.SQL(", ").join(texts),
        digits=sql.Literal(HEX_DIGITS),
    )


def _text(column: SourceColumn, declared: ColumnType) -> sql.Composable:
    name = column.identifier
    text = column.selected
    match declared.name:
        case "decimal":
            text = sql.SQL("round({}, {})").format(name, sql.Literal(declared.scale))
        case "timestamp":
            text = sql.SQL(
                "case when {is_held} then (extract(epoch from {moment}) * 1000000)::bigint::text "
                "else {name}::text end"
            ).format(is_held=_is_held(column), moment=column.selected, name=name)
        case "boolean":
            text = sql.SQL("{}::int").format(name)
    # concat writes a value as COPY does; a cast to text would cut the blanks of a char(n)
    return sql.SQL("case when {} is null then chr(2) else concat({}) end").format(name, text)


def _moment(column: SourceColumn) -> sql.Composable:
    return sql.SQL("case when {} then {} end").format(_is_held(column), column.selected)


def _is_held(column: SourceColumn) -> sql.Composable:
    """Whether a moment is one of the years 1 to 9999, as raw tables hold them."""
    return sql.SQL("{} between '0001-01-01' and '9999-12-31 23:59:59.999999'").format(
        column.selected
    )


def due(table: SourceTable, until: datetime) -> sql.Composable:
    """The rows that a load up to that moment must have brought, in whatever version."""
    version, born = table.by_name[table.contract.version], table.by_name.get("created_at")
    conditions = [version.up_to(until)]
    if born is None or born == version:
        conditions.append(sql.SQL("{} is null").format(version.identifier))
    else:
        conditions.append(born.up_to(until))
        conditions.append(
            sql.SQL("({} is null and {} is null)").format(version.identifier, born.identifier)
        )
    return sql.SQL(" or ").join(conditions)
