"""Arrow schemas of the raw tables: the form in which rows travel from a source to a warehouse."""

from __future__ import annotations

import pyarrow as pa

from pipeline.contracts import ColumnType, RawTable

_PLAIN: dict[str, pa.DataType] = {
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "string": pa.string(),
    "json": pa.string(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}


def arrow_type(column_type: ColumnType) -> pa.DataType:
    """Decimals are exact (decimal128); JSON travels as its text."""
    if column_type.name == "decimal":
        return pa.decimal128(column_type.precision, column_type.scale)
    return _PLAIN[column_type.name]


def schema_of(table: RawTable) -> pa.Schema:
    """One field per declared column, in order.

    Metadata columns are the warehouse's business and not among them.
    """
    return pa.schema(
        [
            pa.field(column.name, arrow_type(column.type), column.nullable)
            for column in table.columns
        ]
    )
