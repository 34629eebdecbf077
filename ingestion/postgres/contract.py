"""Holds a source table, as PostgreSQL's catalog describes it, against its contract.

A column fits if every value it can hold arrives exactly: a narrower integer or decimal does, text
of any length does, a timestamp with time zone does (it arrives in UTC). Everything else is a
changed type and stops the load.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

from ingestion.postgres.settings import PostgresSettings
from pipeline.contracts import (
    BIGINT,
    BOOLEAN,
    DATE,
    INTEGER,
    JSON,
    METADATA_COLUMNS,
    TEXT,
    TIMESTAMP,
    Column,
    ColumnType,
    RawTable,
    decimal,
    string,
)
from pipeline.errors import ContractError, MissingInputError

_PLAIN: dict[str, ColumnType] = {
    "int2": INTEGER,
    "int4": INTEGER,
    "int8": BIGINT,
    "bool": BOOLEAN,
    "timestamp": TIMESTAMP,
    "timestamptz": TIMESTAMP,
    "date": DATE,
    "json": JSON,
    "jsonb": JSON,
    "text": TEXT,
}
_WIDEST_DECIMAL = 38

_COLUMNS = """
select a.attname, coalesce(b.typname, t.typname),
       case when t.typtype = 'd' then t.typtypmod else a.atttypmod end,
       format_type(a.atttypid, a.atttypmod)
from pg_attribute a
join pg_type t on t.oid = a.atttypid
left join pg_type b on t.typtype = 'd' and b.oid = t.typbasetype
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
_UNIQUE_INDEXES = """
select array_agg(a.attname::text)
from pg_index i
join pg_attribute a on a.attrelid = i.indrelid
    and a.attnum = any (i.indkey[0:i.indnkeyatts - 1])
where i.indrelid = %s and i.indisunique and i.indisvalid
    and i.indpred is null and i.indexprs is null
group by i.indexrelid
"""


@dataclass(frozen=True)
class SourceColumn:
    """A column as it is in the source.

    Attributes:
        name: as the source writes it.
        type: in this project's terms; None if nothing but its text would be exact.
        spelled: the type as PostgreSQL spells it, for messages.
        has_zone: a timestamp with time zone.
    """

    name: str
    type: ColumnType | None
    spelled: str
    has_zone: bool = False

    @property
    def raw_name(self) -> str:
        """The name of the column in the raw table."""
        return self.name.lower()

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    @property
    def selected(self) -> sql.Composable:
        """The column in a select list; a timestamp with time zone as UTC without one."""
        return (
            sql.SQL("{} at time zone 'UTC'").format(self.identifier)
            if self.has_zone
            else self.identifier
        )

    def moment(self, value: datetime) -> sql.Composable:
        """A UTC timestamp in the type of this column, so that its index can be used."""
        return sql.Literal(value.replace(tzinfo=UTC) if self.has_zone else value)


@dataclass(frozen=True)
class SourceTable:
    """A table of the source that fits its contract.

    Attributes:
        contract: what it was declared to be.
        address: schema and table, quoted.
        columns: the columns to read: the declared ones in their order, then those the source has
            gained.
        gained: the declarations of the latter.
        has_unique_key: an index of the source vouches that no key comes twice.
    """

    contract: RawTable
    address: sql.Composable
    columns: tuple[SourceColumn, ...]
    gained: tuple[Column, ...]
    has_unique_key: bool

    @property
    def by_name(self) -> dict[str, SourceColumn]:
        return {column.raw_name: column for column in self.columns}

    @property
    def declared(self) -> tuple[Column, ...]:
        """The declaration of every column, in the order of ``columns``."""
        return (*self.contract.columns, *self.gained)


def address_of(table: RawTable, settings: PostgresSettings) -> sql.Composable:
    return sql.Identifier(settings.source_schema, table.name)


def look_up(
    connection: Connection, table: RawTable, settings: PostgresSettings
) -> tuple[int, bool]:
    """The table's oid, and whether it can be locked; ``MissingInputError`` if it is not there."""
    with connection.cursor() as cursor:
        cursor.execute(
            "select c.oid, c.relkind in ('r', 'p', 'v') from pg_class c join pg_namespace n on "
            "n.oid = c.relnamespace "
            "where n.nspname = %s and c.relname = %s and c.relkind in ('r', 'p', 'v', 'm', 'f')",
            (settings.source_schema, table.name),
        )
        found = cursor.fetchone()
    if found is None:
        raise MissingInputError(
            f"There is no table {settings.source_schema}.{table.name} in the PostgreSQL database "
            f"{settings.db!r} on "
            f"{settings.host}:{settings.port}. Check POSTGRES_DB and POSTGRES_SOURCE_SCHEMA, or "
            "restore the table."
        )
    return found[0], found[1]


def check_contract(
    connection: Connection,
    table: RawTable,
    oid: int,
    settings: PostgresSettings,
    remembered: tuple[str, ...] = (),
) -> SourceTable:
    """The table as it is now, or ``ContractError`` with every column that does not fit.

    ``remembered`` are the columns of the raw table: one that the source had gained once and has
    lost is missing too.
    """
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS, (oid,))
        found = [_column(*row) for row in cursor.fetchall()]
        cursor.execute(_UNIQUE_INDEXES, (oid,))
        unique = [set(row[0]) for row in cursor.fetchall()]
    by_name = {column.raw_name: column for column in found}
    gained = [column for column in found if column.raw_name not in table.column_names]
    problems = [*_declared_problems(table, by_name), *_gained_problems(found, gained)]
    own = {column.name for column in METADATA_COLUMNS}
    problems += [
        f"column {name}, which it had gained once, is missing (if that is on purpose, a full "
        "refresh forgets it)"
        for name in remembered
        if name not in own and name not in by_name
    ]
    if problems:
        raise ContractError(
            f"The source table {settings.source_schema}.{table.name} is not as declared: "
            f"{'; '.join(problems)}. Nothing was "
            "loaded. Undo the change in the source, or declare it in pipeline/sources.py."
        )
    return SourceTable(
        contract=table,
        address=address_of(table, settings),
        columns=(*(by_name[name] for name in table.column_names), *gained),
        gained=tuple(Column(column.raw_name, column.type or TEXT) for column in gained),
        has_unique_key=any(columns <= set(table.key) for columns in unique),
    )


def check_keys(connection: Connection, table: SourceTable) -> None:
    """``ContractError`` if a key comes twice. Only asked where no unique index vouches for that."""
    if table.has_unique_key:
        return
    keys = [table.by_name[name].identifier for name in table.contract.key]
    query = sql.SQL(
        "select {keys} from {table} group by {keys} having count(*) > 1 limit 1"
    ).format(keys=sql.SQL(", ").join(keys), table=table.address)
    with connection.cursor() as cursor:
        cursor.execute(query)
        twice = cursor.fetchone()
    if twice:
        shown = ", ".join(
            f"{name} = {value}" for name, value in zip(table.contract.key, twice, strict=True)
        )
        raise ContractError(
            f"The source table {table.contract.name} has more than one row with the key {shown}. "
            "Nothing was loaded. "
            "Remove the duplicates and give the table its primary key back."
        )


def _column(name: str, type_name: str, modifier: int, spelled: str) -> SourceColumn:
    return SourceColumn(
        name, _type(type_name, modifier), spelled, has_zone=type_name == "timestamptz"
    )


def _type(name: str, modifier: int) -> ColumnType | None:
    if name == "numeric":
        if modifier < 0:
            return None
        precision, scale = (modifier - 4) >> 16 & 0xFFFF, ((modifier - 4 & 0x7FF) ^ 0x400) - 0x400
        return decimal(precision, scale) if 0 <= scale <= precision <= _WIDEST_DECIMAL else None
    if name in ("varchar", "bpchar"):
        return string(modifier - 4) if modifier >= 4 else TEXT
    return _PLAIN.get(name)


def _declared_problems(table: RawTable, found: dict[str, SourceColumn]) -> list[str]:
    problems = []
    for column in table.columns:
        if column.name not in found:
            problems.append(f"column {column.name} is missing")
        elif not _fits(found[column.name].type, column.type):
            problems.append(
                f"column {column.name} is {found[column.name].spelled} instead of {column.type}"
            )
    return problems


def _gained_problems(found: list[SourceColumn], gained: list[SourceColumn]) -> list[str]:
    names = [column.raw_name for column in found]
    own = {column.name for column in METADATA_COLUMNS}
    twice = {name for name in names if names.count(name) > 1}
    return [
        f"columns called {name} differ in upper and lower case only" for name in sorted(twice)
    ] + [
        f"column {column.name} has a name that the load itself uses"
        for column in gained
        if column.raw_name in own
    ]


def _fits(actual: ColumnType | None, declared: ColumnType) -> bool:
    if actual is None:
        return False
    if actual.name == declared.name == "decimal":
        whole = (actual.precision or 0) - (actual.scale or 0)
        return (actual.scale or 0) <= (declared.scale or 0) and whole <= (
            declared.precision or 0
        ) - (declared.scale or 0)
    return actual.name == declared.name or (actual.name, declared.name) == ("integer", "bigint")
