"""A Snowflake account to test with: fakesnow behind the real connector, with what the loader needs
and fakesnow lacks.

Added here: REMOVE, ALTER SCHEMA ... SWAP WITH and RENAME TO (by moving tables), hexadecimal
numbers, the name of the warehouse, and GRANT, which does nothing; temporary views and tables in a
schema stay until they are dropped, and what a MERGE inserts may go without its table's name, as dbt
writes it. Not to be trusted on it: rights, sums and precision, locks, duplicates in a MERGE. ``make
test-snowflake`` shows those on a real account.
"""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import snowflake.connector.errors
import sqlglot
import uvicorn
from fakesnow import arrow as fake_arrow
from fakesnow import cursor as fake_cursor
from fakesnow import (
    # the function: it has the name of the module, which hides it once that is imported
    server as _start,
)
from fakesnow.transforms import stage as fake_stage
from sqlglot import exp

__all__ = ["FakeAccount", "fake_account"]
assert callable(_start)

_REMOVE = re.compile(r"\s*remove\s+@([\w.]+)/(\S*)", re.IGNORECASE)
_GRANT = re.compile(r"\s*grant\s", re.IGNORECASE)
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
_HEX = re.compile(r"to_number\(left\(md5\((.*?)\), 15\), 'X{15}'\)")


@dataclass
class FakeAccount:
    """Where the account answers, and every statement it was sent since the last ``reset``."""

    port: int
    statements: list[str]

    @property
    def variables(self) -> dict[str, str]:
        """What a process sets to use it."""
        return {
            "WAREHOUSE_KIND": "snowflake",
            "SNOWFLAKE_ACCOUNT": "fakesnow",
            "SNOWFLAKE_USER": "loader",
            "SNOWFLAKE_PASSWORD": "Fake-Pass-4711",
            "SNOWFLAKE_HOST": "127.0.0.1",
            "SNOWFLAKE_PORT": str(self.port),
            "SNOWFLAKE_PROTOCOL": "http",
            "SNOWFLAKE_NETWORK_TIMEOUT_SECONDS": "5",
            "SNOWFLAKE_LOGIN_TIMEOUT_SECONDS": "5",
        }

    def reset(self) -> None:
        """An account whose three databases are empty, but for the loader's own empty tables, if
        they were there.
        """
        import sys

        module: Any = sys.modules["fakesnow.server"]
        connection = module.shared_fs.duck_conn.cursor()
        tables = connection.execute(
            "select database_name, schema_name, table_name from duckdb_tables()"
        ).fetchall()
        for database, schema, table in tables:
            if (
                database.startswith("ECOMMERCE_")
                and not schema.startswith("_FS")
                and not schema.startswith("_fs")
            ):
                address = f'"{database}"."{schema}"."{table}"'
                if schema != "LOADS" or table.startswith("INCOMING_"):
                    connection.execute(f"drop table {address}")
                elif not table.startswith("LOCK_"):
                    connection.execute(f"delete from {address}")
        module.sessions.clear()
        self.statements.clear()
        shutil.rmtree(fake_stage.LOCAL_BUCKET_PATH, ignore_errors=True)
        Path(fake_stage.LOCAL_BUCKET_PATH).mkdir()

    def execute(self, sql: str) -> None:
        """Change something behind everybody's back, in DuckDB's SQL."""
        import sys

        module: Any = sys.modules["fakesnow.server"]
        module.shared_fs.duck_conn.cursor().execute(sql)

    def staged_files(self) -> list[str]:
        """Names of the files that lie on stages."""
        root = Path(fake_stage.LOCAL_BUCKET_PATH)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


@contextmanager
def fake_account() -> Iterator[FakeAccount]:
    """A running account; only one per process."""
    import importlib

    server_module = importlib.import_module("fakesnow.server")
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "fakesnow.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(server_module.app, host="127.0.0.1", port=port, log_level="critical")
    )
    thread = threading.Thread(target=server.run, name="fake snowflake", daemon=True)
    account = FakeAccount(port, [])
    plain = fake_cursor.FakeSnowflakeCursor.execute

    def execute(self: Any, command: str, *arguments: Any, **named: Any) -> Any:
        account.statements.append(command)
        try:
            if match := _REMOVE.match(command):
                _remove(self._conn.database, *match.groups())
                command, arguments, named = (
                    "select 'removed' as result",
                    (),
                    {"server": named.get("server", False)},
                )
            elif match := _SWAP.match(command) or _RENAME.match(command):
                _exchange(self._duck_conn, self._conn.database, *match.groups())
                command = "select 'done' as result"
            elif _GRANT.match(command):
                command = "select 'granted' as result"
            elif _MERGE.match(command):
                command = _qualified(command)
            command = _TEMPORARY.sub(r"\1", command)
            command = _WAREHOUSE.sub(
                "'A_WH'", _HEX.sub(r"cast('0x' || left(md5(\1), 15) as bigint)", command)
            )
            return plain(self, command, *arguments, **named)
        except snowflake.connector.errors.Error:
            raise
        except (
            Exception
        ) as error:  # else an answer of 500, which the connector asks for again and again
            raise snowflake.connector.errors.ProgrammingError(
                msg=f"fakesnow: {type(error).__name__}: {error} in {command!r}",
                errno=9998,
                sqlstate="99999",
            ) from error

    fake_cursor.FakeSnowflakeCursor.execute = execute  # type: ignore[method-assign]
    # It notes the comment of each new table in a database of its own: an error inside a
    # transaction, where MERGE makes one.
    fake_cursor.info_schema.insert_table_comment_sql = lambda *names: "select 1"
    fake_arrow.timestamp_to_sf_struct = _with_nulls(fake_arrow.timestamp_to_sf_struct)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield account
    finally:
        fake_cursor.FakeSnowflakeCursor.execute = plain  # type: ignore[method-assign]
        server.should_exit = True
        thread.join()


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
    """The statement with the source's name before each value that it inserts: fakesnow finds these
    ambiguous.
    """
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
    """Swap the tables of two schemas; a second one that is not there yet is created, and the first
    is gone: a new name.
    """
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
