"""A column of a source table: what the catalog says of it, and how its values are selected.

A declared column fits if its values can arrive exactly:

- text: any type of strings, an enumeration, a UUID, XML, or a domain over one, of any length;
- decimal: any exact number. One that is wider than declared loads value by value: those with more
  digits than declared are set aside (``ingestion.postgres.values``);
- integer, bigint: a whole number; a wider one loads value by value as well;
- timestamp: with time zone too (it arrives in UTC); date, boolean, json: the type itself.

Everything else is a changed type and stops the load. A column that nobody declared arrives as the
text that PostgreSQL writes for it, whatever its type: so it can change, or hold anything, without
stopping the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from psycopg2 import sql

from ingestion.postgres.zone import first_wall_after, last_wall_until
from pipeline.contracts import (
    BIGINT,
    BOOLEAN,
    DATE,
    INTEGER,
    JSON,
    TEXT,
    TIMESTAMP,
    Column,
    ColumnType,
    decimal,
)

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
    "uuid": TEXT,
    "xml": TEXT,
}
_UNBOUNDED = ColumnType("decimal")
_STRINGS, _ENUMERATIONS = "S", "E"  # categories of types

# A domain may be one over another domain: the type below all of them counts. Its modifier stands
# in the innermost domain.
CATALOG = """
with recursive base (number, type, modifier) as (
    select attnum, atttypid, atttypmod from pg_attribute
    where attrelid = %(table)s and attnum > 0 and not attisdropped
    union all
    select base.number, t.typbasetype, t.typtypmod
    from base join pg_type t on t.oid = base.type and t.typtype = 'd'
)
select a.attname, t.typname, t.typcategory, base.modifier, format_type(a.atttypid, a.atttypmod)
from base
join pg_type t on t.oid = base.type and t.typtype <> 'd'
join pg_attribute a on a.attrelid = %(table)s and a.attnum = base.number
order by a.attnum
"""


@dataclass(frozen=True)
class SourceColumn:
    """A column as it is in the source.

    Attributes:
        name: as the source writes it.
        type: in this project's terms; None if nothing but its text would be exact.
        spelled: the type as PostgreSQL spells it, for messages.
        has_zone: a timestamp with time zone.
        zone: of the local times in a timestamp without.
        is_wider: it may hold values that the declared type cannot.
        is_undeclared: it arrives as text.
        is_gone: the source had it once: it arrives empty.
    """

    name: str
    type: ColumnType | None
    spelled: str
    has_zone: bool = False
    zone: str = "UTC"
    is_wider: bool = False
    is_undeclared: bool = False
    is_gone: bool = False

    @property
    def raw_name(self) -> str:
        """The name of the column in the raw table."""
        return self.name.lower()

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.name)

    @property
    def selected(self) -> sql.Composable:
        """The column in a select list; a timestamp as UTC without time zone."""
        if self.is_gone:
            return sql.SQL("null::text")
        if self.is_undeclared:
            is_flag = self.type == BOOLEAN  # which COPY would write as t and f
            return sql.SQL("{}::text").format(self.identifier) if is_flag else self.identifier
        if self.has_zone:
            return sql.SQL("{} at time zone 'UTC'").format(self.identifier)
        if self.is_local:
            # The first and the last day of all stand for "always" and "never"; the last moments
            # that PostgreSQL knows are none any more in another zone.
            return sql.SQL(
                "case when {column} between '0001-01-02' and '9999-12-31' "
                "then {column} at time zone {zone} at time zone 'UTC' else {column} end"
            ).format(column=self.identifier, zone=sql.Literal(self.zone))
        if self.is_wider and self.type and self.type.name == "decimal":
            return sql.SQL("trim_scale({})").format(self.identifier)
        return self.identifier

    @property
    def is_local(self) -> bool:
        return self.type == TIMESTAMP and not self.has_zone and self.zone != "UTC"

    def after(self, moment: datetime) -> sql.Composable:
        """The condition for values later than a UTC timestamp, for which an index can be used."""
        local = first_wall_after(moment, self.zone) if self.is_local else moment
        return sql.SQL("{} > {}").format(self.identifier, self._literal(local))

    def up_to(self, moment: datetime) -> sql.Composable:
        """The same for values up to and including it."""
        local = last_wall_until(moment, self.zone) if self.is_local else moment
        return sql.SQL("{} <= {}").format(self.identifier, self._literal(local))

    def _literal(self, moment: datetime) -> sql.Composable:
        return sql.Literal(moment.replace(tzinfo=UTC) if self.has_zone else moment)


def found_column(
    zone: str, name: str, type_name: str, category: str, modifier: int, spelled: str
) -> SourceColumn:
    """A row of ``CATALOG``; ``zone`` is that of local times in the source."""
    has_zone = type_name == "timestamptz"
    return SourceColumn(name, _type(type_name, category, modifier), spelled, has_zone, zone)


def gone_column(name: str) -> SourceColumn:
    return SourceColumn(name, None, "", is_undeclared=True, is_gone=True)


def declaration(column: SourceColumn) -> Column:
    """Of a column that nobody declared."""
    return Column(column.raw_name, TEXT)


def fits(actual: ColumnType | None, declared: ColumnType) -> bool:
    """Whether values of a type can arrive exactly in the declared one."""
    if actual is None:
        return False
    if declared.name == "decimal":
        return actual.name in ("decimal", "integer", "bigint")
    whole = ("integer", "bigint")
    return actual.name == declared.name or (actual.name in whole and declared.name in whole)


def is_wider(actual: ColumnType | None, declared: ColumnType) -> bool:
    """Whether a type that fits has values that the declared one cannot hold."""
    if actual is None or actual.name == declared.name != "decimal":
        return False
    if declared.name != "decimal":
        return actual == BIGINT
    if actual.precision is None or actual.scale is None:
        return True
    scale = declared.scale or 0
    whole = (declared.precision or 0) - scale
    return actual.scale > scale or actual.precision - actual.scale > whole


def _type(name: str, category: str, modifier: int) -> ColumnType | None:
    if name == "numeric":
        if modifier < 0:
            return _UNBOUNDED
        return decimal((modifier - 4) >> 16 & 0xFFFF, ((modifier - 4 & 0x7FF) ^ 0x400) - 0x400)
    if category in (_STRINGS, _ENUMERATIONS):
        return TEXT
    return _PLAIN.get(name)
