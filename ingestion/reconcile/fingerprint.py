"""Fingerprints of rows in SQL, so written that PostgreSQL and the warehouse give the same for the
same row.

A row's content is the MD5 of its columns' texts: whole numbers and exact decimals as they are
written, moments as whole microseconds, NULL apart from everything else. The sum of the contents
stands for a bucket, whatever the order of rows.
"""

# ruff: noqa: S608 - names come from the contract and are quoted, numbers are integers

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from psycopg2 import sql

from ingestion.postgres.contract import SourceColumn, SourceTable
from ingestion.reconcile.dialect import Dialect
from pipeline.contracts import Column, ColumnType, RawTable

BUCKET_KEYS = 10_000
_HEX_DIGITS = 15  # 60 bits of each MD5: fits a bigint


def source_row(table: SourceTable, compared: Sequence[Column]) -> sql.Composable:
    """Select list for PostgreSQL: key, version, time of birth (both UTC, may be null), content."""
    contract, columns = table.contract, table.by_name
    born = columns.get("created_at")
    texts = [_source_text(columns[column.name], column.type) for column in compared]
    content = sql.SQL(
        "('x' || left(md5(convert_to(concat({}), 'UTF8')), {}))::bit(60)::bigint"
    ).format(sql.SQL(", chr(1), ").join(texts), sql.Literal(_HEX_DIGITS))
    return sql.SQL(
        "{key} as key, {version} as version, {born} as born, {content} as content"
    ).format(
        key=columns[contract.key[0]].identifier,
        version=columns[contract.version].selected,
        born=born.selected if born else sql.SQL("null::timestamp"),
        content=content,
    )


def source_buckets(
    table: SourceTable, compared: Sequence[Column], due: sql.Composable
) -> sql.Composable:
    """PostgreSQL: bucket, count, key sum, newest version, content sum of the rows that are due, by
    bucket.
    """
    return sql.SQL(
        "select floor(key / {size}.0)::bigint, count(*), sum(key), max(version), sum(content) "
        "from (select {row} from {table} where {due}) fingerprinted group by 1"
    ).format(
        size=sql.Literal(BUCKET_KEYS), row=source_row(table, compared), table=table.address, due=due
    )


def warehouse_buckets(table: RawTable, columns: Sequence[Column], dialect: Dialect) -> str:
    """Warehouse: the same of the raw table's rows that are not marked as deleted."""
    return (
        f"select floor(key / {BUCKET_KEYS}.0)::bigint, count(*), sum(key), max(version), "
        "sum(content) "
        f"from (select {_warehouse_row(table, columns, dialect)} from {dialect.address(table)} "
        "where _deleted_at is null) fingerprinted group by 1"
    )


def warehouse_rows(
    table: RawTable, columns: Sequence[Column], ranges: Sequence[tuple[int, int]], dialect: Dialect
) -> str:
    """Warehouse: key, version, content, time of loading, whether marked as deleted, of the rows in
    ranges of keys.
    """
    key = dialect.quoted(table.key[0])
    wanted = " or ".join(f"({key} >= {low} and {key} < {high})" for low, high in ranges)
    return (
        f"select {_warehouse_row(table, columns, dialect)}, _loaded_at, _deleted_at is not null "
        f"from {dialect.address(table)} where {wanted}"
    )


def source_rows(
    table: SourceTable, compared: Sequence[Column], ranges: Sequence[tuple[int, int]]
) -> sql.Composable:
    """PostgreSQL: key, version, time of birth, content of the rows in ranges of keys."""
    return sql.SQL("select {} from {} where {}").format(
        source_row(table, compared), table.address, in_ranges(table, ranges)
    )


def in_ranges(table: SourceTable, ranges: Sequence[tuple[int, int]]) -> sql.Composable:
    """PostgreSQL: the condition for keys in any of the ranges ``[low, high)``."""
    key = table.by_name[table.contract.key[0]].identifier
    return sql.SQL(" or ").join(
        sql.SQL("({key} >= {low} and {key} < {high})").format(
            key=key, low=sql.Literal(low), high=sql.Literal(high)
        )
        for low, high in ranges
    )


def _source_text(column: SourceColumn, declared: ColumnType) -> sql.Composable:
    name = column.identifier
    text: sql.Composable
    match declared.name:
        case "decimal":
            text = sql.SQL("{}::numeric({},{})").format(
                name, sql.Literal(declared.precision), sql.Literal(declared.scale)
            )
        case "timestamp":
            text = sql.SQL("(extract(epoch from {}) * 1000000)::bigint").format(column.selected)
        case "boolean":
            text = sql.SQL("{}::int").format(name)
        case _:
            text = name
    # concat writes a value as COPY does; a cast to text would cut the blanks of a char(n)
    return sql.SQL("case when {} is null then chr(2) else concat({}) end").format(name, text)


def content_of(columns: Sequence[Column], dialect: Dialect, further: Sequence[str] = ()) -> str:
    """Warehouse: a row's content. ``further`` are expressions that count like columns."""
    texts = [*map(dialect.text, columns), *further]
    parts = ", chr(1), ".join(f"coalesce({text}, chr(2))" for text in texts)
    return dialect.hash(f"concat({parts})")


def _warehouse_row(table: RawTable, columns: Sequence[Column], dialect: Dialect) -> str:
    key, version = dialect.quoted(table.key[0]), dialect.quoted(table.version)
    return f"{key} as key, {version} as version, {content_of(columns, dialect)} as content"


def due(table: SourceTable, watermark: datetime) -> sql.Composable:
    """PostgreSQL: the rows that a load up to the watermark must have brought, in whatever version."""
    version, born = table.by_name[table.contract.version], table.by_name.get("created_at")
    conditions = [sql.SQL("{} <= {}").format(version.identifier, version.moment(watermark))]
    if born is None or born == version:
        conditions.append(sql.SQL("{} is null").format(version.identifier))
    else:
        conditions.append(sql.SQL("{} <= {}").format(born.identifier, born.moment(watermark)))
        conditions.append(
            sql.SQL("({} is null and {} is null)").format(version.identifier, born.identifier)
        )
    return sql.SQL(" or ").join(conditions)
