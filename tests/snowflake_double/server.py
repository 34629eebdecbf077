"""A Snowflake account to test with: fakesnow behind a server that is stricter than reality.

It is so where it must choose. Each rule is in a module of this folder, with its source in
Snowflake's documentation beside it, and has a test in ``test_double.py``.

    refusals      what Snowflake's compiler does not know          rules.py, vocabulary.py
    types         of literals, COUNT and SUM                       result_types.py
    sessions      DDL commits, locks wait, statements outlive      sessions.py
    rights        of roles, from infrastructure/snowflake          rights.py
    what fakesnow lacks                                            gaps.py

Not to be trusted on it: time, cost, duplicates in a MERGE, AVG. ``make test-snowflake`` shows those
on a real account.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import snowflake.connector.errors
import sqlglot.errors
import uvicorn
from fakesnow import cursor as fake_cursor
from fakesnow.transforms import stage as fake_stage
from starlette.applications import Starlette

from infrastructure.snowflake.statements import FOLDER, Account, read, statements
from tests.snowflake_double.gaps import mend_fakesnow, translated
from tests.snowflake_double.result_types import typed
from tests.snowflake_double.rights import Rights
from tests.snowflake_double.rules import parsed, refused
from tests.snowflake_double.sessions import Sessions, routes
from warehouse.records import TABLES

DATABASES = ("ECOMMERCE_RAW", "ECOMMERCE_STAGING", "ECOMMERCE_ANALYTICS")


@dataclass
class FakeAccount:
    """Where the account answers, and every statement it was sent since the last ``reset``.

    Attributes:
        slow: a pattern of statements and the seconds that they take.
    """

    port: int
    statements: list[str]
    sessions: Sessions = field(default_factory=Sessions)
    rights: Rights = field(default_factory=lambda: Rights(statements(Account())))
    slow: tuple[str, float] | None = None

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
        """An account as infrastructure/snowflake leaves it; the loader's own tables stay, empty."""
        self.sessions.clear()
        self.slow = None
        connection = _shared().cursor()
        for statement in read(FOLDER / "02_databases.sql", Account()):
            if match := re.match(r"create database if not exists (\w+)", statement):
                if not _found(connection, "duckdb_databases", database_name=match[1]):
                    _create_database(match[1])
            elif (match := re.match(r"create schema if not exists (\w+)\.(\w+)", statement)) and (
                not _found(
                    connection, "duckdb_schemas", database_name=match[1], schema_name=match[2]
                )
            ):
                connection.execute(f'create schema "{match[1]}"."{match[2]}"')
        kept = []
        for kind in ("view", "table"):
            found = connection.execute(
                f"select database_name, schema_name, {kind}_name from duckdb_{kind}s() "
                f"where not internal"
            ).fetchall()
            for database, schema, name in found:
                if database not in DATABASES or schema.lower().startswith(("_fs", "information")):
                    continue
                address = f'"{database}"."{schema}"."{name}"'
                if schema != "LOADS" or not (name in TABLES or name.startswith("LOCK_")):
                    connection.execute(f"drop {kind} if exists {address} cascade")
                else:
                    kept.append((database, schema, name))
                    if not name.startswith("LOCK_"):
                        connection.execute(f"delete from {address}")
        for database, schema in connection.execute(
            "select database_name, schema_name from duckdb_schemas() "
            "where starts_with(schema_name, 'PUBLISHED')"
        ).fetchall():
            connection.execute(f'drop schema "{database}"."{schema}" cascade')
        self.rights.forget(kept)
        self.statements.clear()
        shutil.rmtree(fake_stage.LOCAL_BUCKET_PATH, ignore_errors=True)
        Path(fake_stage.LOCAL_BUCKET_PATH).mkdir()

    def execute(self, sql: str) -> None:
        """Change something behind everybody's back, in DuckDB's SQL."""
        _shared().cursor().execute(sql)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """What is stored, asked in DuckDB's SQL."""
        return list(_shared().cursor().execute(sql).fetchall())

    def staged_files(self) -> list[str]:
        """Names of the files that lie on stages."""
        root = Path(fake_stage.LOCAL_BUCKET_PATH)
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())

    def run(self, plain: Any, cursor: Any, command: str, *arguments: Any, **named: Any) -> Any:
        """One statement of a client, as fakesnow's cursor runs it."""
        self.statements.append(command)
        session = self.sessions.of(cursor._conn)
        try:
            statement = parsed(command)
        except sqlglot.errors.ParseError:
            statement = None  # fakesnow says what is wrong with it
        if statement is not None:
            if why := refused(statement):
                raise _error(1003, f"SQL compilation error: {why} in {command!r}")
            self.rights.check(session, cursor._conn.database, statement, command)
        with self.sessions.running(session, cursor, statement, command):
            if self.slow and re.search(self.slow[0], command, re.IGNORECASE):
                session.cancelled.wait(self.slow[1])
                session.stop_if_cancelled()
            if statement is not None and (text := typed(statement)):
                command = text
            command, with_parameters = translated(cursor, command)
            if not with_parameters:
                arguments, named = (), {"server": named.get("server", False)}
            return plain(cursor, command, *arguments, **named)


def _error(number: int, text: str) -> snowflake.connector.errors.ProgrammingError:
    return snowflake.connector.errors.ProgrammingError(msg=text, errno=number, sqlstate="42000")


def _module() -> Any:
    return importlib.import_module("fakesnow.server")


def _shared() -> Any:
    return _module().shared_fs.duck_conn


def _create_database(name: str) -> None:
    _module().shared_fs.connect(name)


def _found(connection: Any, function: str, **names: str) -> bool:
    where = " and ".join(f"{column} = ?" for column in names)
    sql = f"select 1 from {function}() where {where}"
    return bool(connection.execute(sql, list(names.values())).fetchall())


@contextmanager
def fake_account() -> Iterator[FakeAccount]:
    """A running account; only one per process."""
    module = _module()
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "fakesnow.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    account = FakeAccount(port, [])
    app = Starlette(routes=routes(account.sessions, module))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical"))
    thread = threading.Thread(target=server.run, name="snowflake double", daemon=True)
    plain = fake_cursor.FakeSnowflakeCursor.execute

    def execute(self: Any, command: str, *arguments: Any, **named: Any) -> Any:
        if not named.get("server"):  # fakesnow's own
            return plain(self, command, *arguments, **named)
        try:
            return account.run(plain, self, command, *arguments, **named)
        except snowflake.connector.errors.Error:
            raise
        except (
            Exception
        ) as error:  # else an answer of 500, which the connector asks for again and again
            raise _error(
                9998, f"fakesnow: {type(error).__name__}: {error} in {command!r}"
            ) from error

    fake_cursor.FakeSnowflakeCursor.execute = execute  # type: ignore[method-assign]
    mend_fakesnow()
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield account
    finally:
        fake_cursor.FakeSnowflakeCursor.execute = plain  # type: ignore[method-assign]
        server.should_exit = True
        thread.join()
