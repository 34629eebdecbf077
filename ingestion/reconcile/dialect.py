"""The few expressions of a comparison in which the warehouses' SQL differs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pipeline.contracts import Column, RawTable

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_HEX_DIGITS = 15  # 60 bits of each MD5: fits a bigint


@dataclass(frozen=True)
class Dialect:
    """SQL of one warehouse; ``DUCKDB`` is also that of fingerprints held on this machine."""

    name: Literal["duckdb", "snowflake"]

    def quoted(self, name: str) -> str:
        """As the loader names its columns: in Snowflake plain names are upper case, others are kept
        as they are.
        """
        if self.name == "snowflake" and _PLAIN.fullmatch(name):
            return f'"{name.upper()}"'
        return '"' + name.replace('"', '""') + '"'

    def address(self, table: RawTable) -> str:
        """The raw table; sessions begin in the raw database."""
        return f"{self.quoted(table.schema.lower())}.{self.quoted(table.raw_name.lower())}"

    def hash(self, text: str) -> str:
        """The first 60 bits of a text's MD5, as a whole number."""
        if self.name == "snowflake":
            return f"to_number(left(md5({text}), {_HEX_DIGITS}), '{'X' * _HEX_DIGITS}')"
        return f"('0x' || left(md5({text}), {_HEX_DIGITS}))::bigint"

    def text(self, column: Column) -> str:
        """A value as text: whole numbers and exact decimals as they are written, moments as whole
        microseconds.
        """
        name = self.quoted(column.name)
        if column.type.name == "timestamp":
            microseconds = (
                f"date_part(epoch_microsecond, {name})"
                if self.name == "snowflake"
                else f"epoch_us({name})"
            )
            return f"{microseconds}::varchar"
        if column.type.name == "boolean":
            return f"{name}::int::varchar"
        if column.type.name == "json" and self.name == "snowflake":
            return f"to_json({name})"
        return f"{name}::varchar"

    def json_text(self, column: str, path: tuple[str, ...]) -> str:
        if self.name == "snowflake":
            return f"{self.quoted(column)}:{'.'.join(path)}::varchar"
        return f"{self.quoted(column)} ->> '$.{'.'.join(path)}'"


DUCKDB, SNOWFLAKE = Dialect("duckdb"), Dialect("snowflake")


def dialect(name: Literal["duckdb", "snowflake"]) -> Dialect:
    return SNOWFLAKE if name == "snowflake" else DUCKDB
