"""Opens sessions of Snowflake: the role, each query's tag, Snowflake's words."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal

import snowflake.connector
import snowflake.connector.errors

from pipeline.contracts import ColumnType
from pipeline.errors import PermanentError
from warehouse.session import RAW, Row, Session, utc_now
from warehouse.snowflake.errors import explain
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.sign_in import mask_logs, sign_in
from warehouse.tables import as_stored

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Purpose = Literal["load", "transform"]
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_NO_SUCH_OBJECT = 2003
_TYPES = {
    "integer": "NUMBER(10,0)",
    "bigint": "NUMBER(19,0)",
    "string": "VARCHAR",
    "json": "VARIANT",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP_NTZ",
    "date": "DATE",
}


class SnowflakeSession(Session):
    """Statements end on the server after ``SNOWFLAKE_STATEMENT_TIMEOUT_SECONDS``.

    The connector is told the same limit: else it cancels a statement after its network timeout.
    """

    def __init__(self, connection: SnowflakeConnection, settings: SnowflakeSettings) -> None:
        self._connection, self._settings = connection, settings

    def table(self, sql: str, parameters: Sequence[object] = ()) -> tuple[list[str], list[Row]]:
        cursor = self._connection.cursor()
        values = list(parameters) if parameters else None
        cursor.execute(sql, values, timeout=self._settings.statement_timeout_seconds)
        names = [column.name.lower() for column in cursor.description or ()]
        return names, [tuple(row) for row in cursor.fetchall()]

    def table_if_there(
        self, sql: str, parameters: Sequence[object] = ()
    ) -> tuple[list[str], list[Row]] | None:
        try:
            return self.table(sql, parameters)
        except snowflake.connector.errors.ProgrammingError as error:
            if error.errno == _NO_SUCH_OBJECT:
                return None
            raise

    @contextmanager
    def transaction(self, lock: str) -> Iterator[None]:
        """One transaction; ``lock`` holds the row ``LOADS.LOCK_<lock>`` until it ends.

        What was committed before is visible from then on.
        """
        self.execute("begin")
        try:
            name = f"LOADS.LOCK_{lock.upper()}"
            ((locked, *_),) = self.rows(f"update {name} set held_since = ?", [utc_now()])  # noqa: S608
            if locked != 1:
                raise PermanentError(
                    f"The table {name} has {locked} rows instead of one, so nobody can hold it. "
                    "Drop it: the next load makes it again."
                )
            yield
            self.execute("commit")
        except BaseException:
            with suppress(Exception):
                self.execute("rollback")
            raise

    def database(self, name: str) -> str:
        return self._settings.named(name)

    def quoted(self, name: str) -> str:
        """Quote a name so that writing it plainly means the same; others stay as they are."""
        return as_stored(name.upper() if _PLAIN.fullmatch(name) else name)

    def type_name(self, of: ColumnType) -> str:
        if of.name == "decimal":
            return f"NUMBER({of.precision},{of.scale})"
        return _TYPES[of.name]

    def shown_type(self, data_type: str, precision: int | None, scale: int | None) -> str:
        if data_type == "NUMBER":
            return f"NUMBER({precision},{scale})"
        return {"TEXT": "VARCHAR"}.get(data_type, data_type)

    def json(self, text: str) -> str:
        return f"parse_json({text})"

    def json_text(self, value: str) -> str:
        return f"to_json({value})"

    def retype(self, address: str, existing: dict[str, str], wanted: dict[str, str]) -> None:
        """One statement, so that nobody sees the table in between."""
        definitions = [
            f"{as_stored(name)} {wanted.get(name, has)}" for name, has in existing.items()
        ]
        values = [_cast(as_stored(name), wanted.get(name)) for name in existing]
        self.execute(
            f"create or replace table {address} ({', '.join(definitions)}) copy grants "  # noqa: S608
            f"as select {', '.join(values)} from {address}"
        )


def _cast(name: str, type_: str | None) -> str:
    if type_ is None:
        return name
    if type_ == "VARIANT":
        return f"try_parse_json(to_varchar({name}))"
    if type_ == "VARCHAR":
        return f"to_varchar({name})"
    return f"try_cast(to_varchar({name}) as {type_})"


def query_tag(**more: str | None) -> str:
    """The tag of a session's queries as JSON: DAG, task, day and try of Airflow, if any."""
    environment = os.environ
    said = {
        "app": "ecommerce_pipeline",
        "dag": environment.get("AIRFLOW_CTX_DAG_ID"),
        "task": environment.get("AIRFLOW_CTX_TASK_ID"),
        "run": environment.get("AIRFLOW_CTX_DAG_RUN_ID"),
        "try": environment.get("AIRFLOW_CTX_TRY_NUMBER"),
        **more,
    }
    return json.dumps(
        {name: value for name, value in said.items() if value}, separators=(",", ":")
    )[:2000]  # Snowflake's limit


def connect(
    settings: SnowflakeSettings,
    purpose: Purpose = "load",
    *,
    database: str | None = RAW,
    tag: str = "",
) -> Any:
    """A new session in the role and warehouse of its purpose. Errors are the connector's own.

    Every use that ends with an error of ours goes through ``session``, which also chooses the user.
    """
    given = sign_in(settings)
    mask_logs(settings, given)
    address = {"host": settings.host, "port": settings.port, "protocol": settings.protocol}
    return snowflake.connector.connect(
        account=settings.account,
        user=settings.user,
        role=settings.named(settings.load_role if purpose == "load" else settings.transform_role),
        warehouse=settings.named(
            settings.load_warehouse if purpose == "load" else settings.transform_warehouse
        ),
        database=settings.named(database) if database else None,
        schema="LOADS" if database == RAW else None,
        application="ecommerce_pipeline",
        paramstyle="qmark",
        login_timeout=settings.login_timeout_seconds,
        network_timeout=settings.network_timeout_seconds,
        client_session_keep_alive=False,
        enable_connection_diag=False,
        session_parameters={
            "QUERY_TAG": tag or query_tag(),
            "TIMEZONE": "UTC",
            "TIMESTAMP_TYPE_MAPPING": "TIMESTAMP_NTZ",
            "STATEMENT_TIMEOUT_IN_SECONDS": settings.statement_timeout_seconds,
            "ABORT_DETACHED_QUERY": True,  # of a process that was killed: its retry begins soon
            "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False,
            "CLIENT_TELEMETRY_ENABLED": False,
        },
        **{name: value for name, value in address.items() if value and settings.host},
        **given.arguments(),
    )


@contextmanager
def session(
    settings: SnowflakeSettings,
    purpose: Purpose = "load",
    *,
    doing: str,
    database: str | None = RAW,
    tag: str = "",
) -> Iterator[SnowflakeSession]:
    """A session that is closed when the block ends; the connector's errors become ours."""
    if purpose == "transform":
        settings = settings.as_transformer()
    connection = None
    try:
        connection = connect(settings, purpose, database=database, tag=tag)
        yield SnowflakeSession(connection, settings)
    except snowflake.connector.errors.Error as error:
        raise explain(
            error, settings, doing
        ) from None  # the connector's traceback holds requests with their headers
    finally:
        if connection is not None:
            with suppress(Exception):
                connection.close()
