"""The few expressions of a comparison in which the warehouses' SQL differs."""

from __future__ import annotations

import re

from pipeline.contracts import Column, RawTable

HEX_DIGITS = 15  # 60 bits of each MD5: fits a bigint


class Dialect:
    """DuckDB's SQL: that of the embedded warehouse, and of fingerprints held on this machine."""

    name = "duckdb"

    def quoted(self, name: str) -> str:
        """A column as the loader names it."""
        return '"' + name.replace('"', '""') + '"'

    def address(self, table: RawTable) -> str:
        """The raw table; sessions begin in the raw database."""
        return f"{self.quoted(table.schema.lower())}.{self.quoted(table.raw_name.lower())}"

    def hash(self, text: str) -> str:
        """The first 60 bits of a text's MD5, as a whole number."""
        return f"('0x' || left(md5({text}), {HEX_DIGITS}))::bigint"

    def text(self, column: Column) -> str:
        """A value as text: numbers as they are written, moments as whole microseconds."""
        name = self.quoted(column.name)
        match column.type.name:
            case "timestamp":
                return f"{self.microseconds(name)}::varchar"
            case "boolean":
                return f"{name}::int::varchar"
            case "json":
                return self.json(name)
        return f"{name}::varchar"

    def microseconds(self, moment: str) -> str:
        return f"epoch_us({moment})"

    def json(self, value: str) -> str:
        return f"{value}::varchar"

    def json_text(self, column: str, path: tuple[str, ...]) -> str:
        return f"{self.quoted(column)} ->> '$.{'.'.join(path)}'"


class SnowflakeDialect(Dialect):
    """Snowflake's SQL. Plain names are upper case there; others are kept as they are."""

    name = "snowflake"

    def quoted(self, name: str) -> str:
        plain = re.fullmatch(r"[a-z_][a-z0-9_$]*", name)
        return super().quoted(name.upper() if plain else name)

    def hash(self, text: str) -> str:
        return f"to_number(left(md5({text}), {HEX_DIGITS}), '{'X' * HEX_DIGITS}')"

    def microseconds(self, moment: str) -> str:
        return f"date_part(epoch_microsecond, {moment})"

    def json(self, value: str) -> str:
        return f"to_json({value})"

    def json_text(self, column: str, path: tuple[str, ...]) -> str:
        return f"{self.quoted(column)}:{'.'.join(path)}::varchar"


DUCKDB, SNOWFLAKE = Dialect(), SnowflakeDialect()


def dialect(name: str) -> Dialect:
    """The dialect that a warehouse names."""
    return {each.name: each for each in (DUCKDB, SNOWFLAKE)}[name]
