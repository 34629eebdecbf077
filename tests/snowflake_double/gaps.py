"""What fakesnow lacks and the pipeline uses, put into words that it knows.

REMOVE, ALTER SCHEMA ... SWAP WITH and RENAME TO (by moving tables), hexadecimal numbers, SYSDATE,
bound decimals; temporary views and tables in a schema stay until they are dropped; what a MERGE
inserts may go without its table's name, as dbt writes it; USE WAREHOUSE and GRANT answer and do
nothing here (``rights`` does it).
"""

from __future__ import annotations

import importlib
import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import sqlglot
from fakesnow import arrow as fake_arrow
from fakesnow import cursor as fake_cursor
from fakesnow.transforms import stage as fake_stage
from sqlglot import exp

_REMOVE = re.compile(r"\s*remove\s+@([\w.]+)/(\S*)", re.IGNORECASE)
_NOTHING = re.compile(r"\s*(?:grant|use\s+warehouse|use\s+role)\s", re.IGNORECASE)
_SWAP = re.compile(
    r"\s*alter\s+schema\s+(?:if\s+exists\s+)?(\S+)\s+swap\s+with\s+(\S+)", re.IGNORECASE
)
_RENAME = re.compile(
    r"\s*alter\s+schema\s+(?:if\s+exists\s+)?(\S+)\s+rename\s+to\s+(\S+)", re.IGNORECASE
)
_TEMPORARY = re.compile(
    r'(\s*create\s+or\s+replace\s+)temporary(?=\s+(?:view|table)\s+[\w"]+\.[\w"]+\.)', re.IGNORECASE
)
_MERGE = re.compile(r"\s*(?:--[^\n]*\n\s*)*merge\s+into\s", re.IGNORECASE)
_WAREHOUSE = re.compile(r"current_warehouse\(\)", re.IGNORECASE)
_SYSDATE = re.compile(r"sysdate\(\)", re.IGNORECASE)
_HEX = re.compile(r"to_number\(left\(md5\((.*?)\), 15\), 'X{15}'\)")


def translated(cursor: Any, command: str) -> tuple[str, bool]:
    """The statement as fakesnow takes it, and whether its parameters still belong to it."""
    if match := _REMOVE.match(command):
        _remove(cursor._conn.database, *match.groups())
        return "select 'removed' as result", False
    if match := _SWAP.match(command) or _RENAME.match(command):
        _exchange(cursor._duck_conn, cursor._conn.database, *match.groups())
        return "select 'done' as result", True
    if _NOTHING.match(command):
        return "select 'done' as result", True
    if _MERGE.match(command):
        command = _qualified(command)
    command = _TEMPORARY.sub(r"\1", command)
    command = _SYSDATE.sub("cast(current_timestamp() as timestamp_ntz)", command)
    command = _HEX.sub(r"cast('0x' || left(md5(\1), 15) as bigint)", command)
    return _WAREHOUSE.sub("'A_WH'", command), True


def mend_fakesnow() -> None:
    """What is wrong in it whatever the statement."""
    # It notes the comment of each new table in a database of its own: an error inside a
    # transaction, where MERGE makes one.
    fake_cursor.info_schema.insert_table_comment_sql = lambda *names: "select 1"
    fake_arrow.timestamp_to_sf_struct = _with_nulls(fake_arrow.timestamp_to_sf_struct)
    # It takes a bound decimal for an integer, and answers 500, which the connector asks again for.
    server: Any = importlib.import_module("fakesnow.server")
    bound = server.from_binding
    server.from_binding = lambda binding: (
        Decimal(binding["value"])
        if binding["type"] == "FIXED" and binding["value"] and "." in binding["value"]
        else bound(binding)
    )
    # It sums decimals as doubles.
    fake_cursor.transforms.numeric_agg_implicit_cast = lambda expression: expression


def _with_nulls(to_struct: Callable[[Any], pa.StructArray]) -> Callable[[Any], pa.StructArray]:
    """fakesnow answers 1970-01-01 for a timestamp that is null."""

    def convert(times: Any) -> pa.StructArray:
        found = to_struct(times)
        whole = times.combine_chunks() if isinstance(times, pa.ChunkedArray) else times
        return pa.StructArray.from_arrays(
            found.flatten(), fields=list(found.type), mask=pc.is_null(whole)
        )

    return convert


def _qualified(merge: str) -> str:
    """Name the source before each inserted value: fakesnow finds these ambiguous."""
    statement = sqlglot.parse_one(merge, dialect="snowflake")
    source = statement.args["using"].alias_or_name
    for insert in statement.find_all(exp.Insert):
        for column in insert.expression.find_all(exp.Column):
            if not column.table:
                column.set("table", exp.to_identifier(source))
    return statement.sql(dialect="snowflake")


def _remove(database: str, stage: str, path: str) -> None:
    name = f"{database}.{stage}" if stage.count(".") == 1 else stage
    folder = Path(fake_stage.internal_dir(name.upper())) / path
    shutil.rmtree(folder, ignore_errors=True)


def _exchange(connection: Any, database: str, first: str, second: str) -> None:
    """Swap the tables of two schemas; if the second is missing, the first gets its name."""
    names = [re.sub(r'[";]', "", name).upper().split(".")[-1] for name in (first, second)]
    known = "select table_name from duckdb_tables() where database_name = ? and schema_name = ?"
    schemas = "select 1 from duckdb_schemas() where database_name = ? and schema_name = ?"
    renamed = not connection.execute(schemas, [database, names[1]]).fetchall()
    if renamed:
        connection.execute(f'create schema "{database}"."{names[1]}"')
    connection.execute(f'create schema "{database}"."__BETWEEN"')
    for source, target in ((names[0], "__BETWEEN"), (names[1], names[0]), ("__BETWEEN", names[1])):
        for (table,) in connection.execute(known, [database, source]).fetchall():
            connection.execute(
                f'create table "{database}"."{target}"."{table}" as '
                f'select * from "{database}"."{source}"."{table}"'
            )
            connection.execute(f'drop table "{database}"."{source}"."{table}"')
    connection.execute(f'drop schema "{database}"."__BETWEEN"')
    if renamed:
        connection.execute(f'drop schema "{database}"."{names[0]}" cascade')
