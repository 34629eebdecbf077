"""Sessions of the double: transactions that DDL commits, waiting locks, orphaned statements.

https://docs.snowflake.com/en/sql-reference/transactions says of each rule:

- "Executing a DDL statement within an open transaction commits the open transaction" before it.
- "Most INSERT and COPY statements write only new partitions"; UPDATE, DELETE and MERGE wait for
  each other on one table until the other transaction ends, at most LOCK_TIMEOUT seconds (43200).
- A session that is closed rolls its transaction back. One whose client is gone keeps its locks; "if
  it blocks another transaction from acquiring a lock on the same table and is idle for 5 minutes,
  it is automatically aborted and rolled back".

https://docs.snowflake.com/en/sql-reference/parameters: without ABORT_DETACHED_QUERY a statement
whose client is gone runs to its end. https://docs.snowflake.com/en/developer-guide/python-connector:
``timeout`` of ``execute`` sends a request to abort the statement, which then fails with 000604.
"""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import snowflake.connector.errors
from sqlglot import exp
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

IDLE_SECONDS = 300.0
LOCK_TIMEOUT_SECONDS = 43200.0
LOCK_TIMEOUT, CANCELLED = 625, 604
_DDL = (exp.Create, exp.Drop, exp.Alter)


@dataclass(eq=False)
class OpenSession:
    """One session: who it is, and what it is doing."""

    user: str = ""
    role: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    connection: Any = None
    in_transaction: bool = False
    busy: bool = False
    idle_since: float = field(default_factory=time.monotonic)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def stop_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise snowflake.connector.errors.ProgrammingError(
                msg="SQL execution canceled", errno=CANCELLED, sqlstate="57014"
            )


class Sessions:
    def __init__(self) -> None:
        self.open: dict[str, OpenSession] = {}  # by token
        self.opened: list[OpenSession] = []  # all, in order, those that are closed too
        self._locks: dict[str, OpenSession] = {}
        self._changed = threading.Condition()
        self.idle_seconds = IDLE_SECONDS

    def clear(self) -> None:
        for session in list(self.open.values()):
            self._end_transaction(session, "rollback")
        self.open.clear()
        self.opened.clear()
        self._locks.clear()
        self.idle_seconds = IDLE_SECONDS

    def of(self, connection: Any) -> OpenSession:
        for session in list(self.open.values()):
            if session.connection is connection:
                return session
        return OpenSession(connection=connection)

    @contextmanager
    def running(
        self, session: OpenSession, cursor: Any, statement: exp.Expr | None, command: str
    ) -> Iterator[None]:
        """Around one statement: what it commits and locks, and what it leaves."""
        session.busy, session.cancelled = True, threading.Event()
        try:
            if (isinstance(statement, _DDL) and _is_ddl(statement)) or _is_ddl_command(command):
                self._end_transaction(session, "commit")
            table = _locked_table(statement, cursor._conn.database)
            if table:
                self._lock(session, table)
            if isinstance(statement, exp.Transaction):
                session.in_transaction = True
            yield
            session.stop_if_cancelled()
        finally:
            session.busy, session.idle_since = False, time.monotonic()
            if isinstance(statement, exp.Commit | exp.Rollback):
                session.in_transaction = False
            if not session.in_transaction:
                self._release(session)

    def close(self, token: str) -> None:
        if session := self.open.pop(token, None):
            self._end_transaction(session, "rollback")

    def abort(self, token: str) -> None:
        if session := self.open.get(token):
            session.cancelled.set()
            with suppress(Exception):
                session.connection._duck_conn.interrupt()

    def _end_transaction(self, session: OpenSession, how: str) -> None:
        if session.in_transaction:
            with suppress(Exception):
                session.connection._duck_conn.execute(how)
            session.in_transaction = False
        self._release(session)

    def _release(self, session: OpenSession) -> None:
        with self._changed:
            for table in [table for table, holder in self._locks.items() if holder is session]:
                del self._locks[table]
            self._changed.notify_all()

    def _lock(self, session: OpenSession, table: str) -> None:
        limit = float(session.parameters.get("LOCK_TIMEOUT", LOCK_TIMEOUT_SECONDS))
        deadline = time.monotonic() + limit
        while True:
            with self._changed:
                holder = self._locks.get(table)
                if holder is None or holder is session:
                    self._locks[table] = session
                    return
                is_idle = not holder.busy and (
                    time.monotonic() - holder.idle_since > self.idle_seconds
                )
                if not is_idle:
                    self._changed.wait(0.05)
            if is_idle:
                self._end_transaction(holder, "rollback")
            session.stop_if_cancelled()
            if time.monotonic() > deadline:
                raise snowflake.connector.errors.ProgrammingError(
                    msg=f"Lock on {table} was not released within LOCK_TIMEOUT ({limit:g} seconds)",
                    errno=LOCK_TIMEOUT,
                    sqlstate="57014",
                )


def _is_ddl(statement: exp.Expr) -> bool:
    return not (isinstance(statement, exp.Alter) and str(statement.kind).upper() == "SESSION")


def _is_ddl_command(command: str) -> bool:
    first, *_ = command.lower().split() or [""]
    words = " ".join(command.lower().split()[:2])
    return first in ("grant", "revoke") or words in ("alter schema", "alter user")


def _locked_table(statement: exp.Expr | None, database: str | None) -> str | None:
    if not isinstance(statement, exp.Update | exp.Delete | exp.Merge):
        return None
    table = statement.this
    return f"{table.catalog or database}.{table.db}.{table.name}".upper()


def routes(sessions: Sessions, module: Any) -> list[Route]:
    """fakesnow's, with who signs in, who closes and who aborts noted."""

    async def log_in(request: Request) -> Response:
        body = await request.body()
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        said = json.loads(body)["data"]
        answer = await module.login_request(request)
        token = json.loads(answer.body)["data"]["token"]
        role = request.query_params.get("roleName")
        session = OpenSession(
            user=str(said.get("LOGIN_NAME", "")),
            role=role.upper() if role else None,
            parameters=dict(said.get("SESSION_PARAMETERS") or {}),
            connection=module.sessions[token],
        )
        sessions.open[token] = session
        sessions.opened.append(session)
        return answer

    async def session(request: Request) -> Response:
        if request.query_params.get("delete"):
            await run_in_threadpool(sessions.close, module.to_token(request))
        return await module.session(request)

    async def abort(request: Request) -> Response:
        await run_in_threadpool(sessions.abort, module.to_token(request))
        return JSONResponse({"success": True})

    own = {
        "/session/v1/login-request": log_in,
        "/session": session,
        "/queries/v1/abort-request": abort,
    }
    return [
        Route(route.path, own.get(route.path, route.endpoint), methods=list(route.methods or ()))
        for route in module.routes
    ]
