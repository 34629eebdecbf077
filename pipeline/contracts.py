"""What a contract is made of: column types, columns, raw tables, sources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

TypeName = Literal["integer", "bigint", "decimal", "string", "boolean", "timestamp", "date", "json"]
SourceKind = Literal["postgres", "stripe", "csv"]


@dataclass(frozen=True)
class ColumnType:
    """A column's type, free of any dialect. Timestamps are UTC without a zone, in microseconds."""

    name: TypeName
    precision: int | None = None
    scale: int | None = None
    length: int | None = None

    def __str__(self) -> str:
        if self.name == "decimal":
            return f"decimal({self.precision},{self.scale})"
        if self.name == "string" and self.length:
            return f"string({self.length})"
        return self.name


INTEGER = ColumnType("integer")
BIGINT = ColumnType("bigint")
BOOLEAN = ColumnType("boolean")
TIMESTAMP = ColumnType("timestamp")
DATE = ColumnType("date")
JSON = ColumnType("json")
TEXT = ColumnType("string")


def decimal(precision: int, scale: int) -> ColumnType:
    return ColumnType("decimal", precision=precision, scale=scale)


def string(length: int) -> ColumnType:
    return ColumnType("string", length=length)


@dataclass(frozen=True)
class Column:
    name: str
    type: ColumnType
    nullable: bool = True


@dataclass(frozen=True)
class RawTable:
    """One raw table.

    Attributes:
        name: what the source calls it, lower case; the raw table is ``RAW_<NAME>``.
        schema: schema in the raw database: POSTGRES, STRIPE or CSV_UPLOADS.
        columns: the source's columns in order; the load's metadata columns (``METADATA_COLUMNS``)
            come on top.
        key: the columns that identify a row.
        version: the column that orders two versions of a row; an older version never replaces a
            newer one.
        append_only: ``version`` is the time of a row's creation: it stays when the row changes.
        part_of: the table whose rows own these, by a column called like its key: when one of them
            is touched, those it owns are read again, as an order's lines are.
    """

    name: str
    schema: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    version: str
    append_only: bool = False
    part_of: RawTable | None = None

    @property
    def raw_name(self) -> str:
        return f"RAW_{self.name.upper()}"

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    def column(self, name: str) -> Column:
        return next(column for column in self.columns if column.name == name)


METADATA_COLUMNS: tuple[Column, ...] = (
    Column("_load_id", TEXT, nullable=False),  # the load that last changed the row
    Column("_loaded_at", TIMESTAMP, nullable=False),  # when that load committed its rows
    Column("_day", DATE, nullable=False),  # the day that load was for
    Column("_deleted_at", TIMESTAMP),  # set when the row is gone from the source
)


@dataclass(frozen=True)
class Source:
    """One source: one extraction DAG, one Dataset, one load a day.

    Attributes:
        name: the name in load records, alerts and the shell, for example ``orders``.
        kind: postgres, stripe or csv.
        dag_id: the DAG, and its main task, that loads it.
        tables: the raw tables it fills, together, in one transaction.
    """

    name: str
    kind: SourceKind
    dag_id: str
    tables: tuple[RawTable, ...]
    description: str = field(default="", compare=False)

    @property
    def dataset_uri(self) -> str:
        """Address of the Dataset whose events say that a day of this source is loaded."""
        return f"ecommerce://raw/{self.name}"

    def table(self, name: str) -> RawTable:
        return next(table for table in self.tables if table.name == name)
