"""What the transformation needs of Snowflake beside dbt: dbt's sign-in, rows per model, failing
rows, the history of runs.

The same functions as in ``transform.duckdb``. No lock: Snowflake's readers and writers do not
exclude each other.
"""

# ruff: noqa: S608 - names are dbt's own or fixed here, values are bound

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

from pipeline.settings import settings as configured
from transform.duckdb import RawState, Run
from warehouse.settings import WarehouseSettings
from warehouse.snowflake.settings import SnowflakeSettings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

_HISTORY = "TRANSFORM.RUNS"
_CREATE_HISTORY = f"""create table if not exists {_HISTORY} (
    step varchar not null, day date not null, started_at timestamp_ntz not null, finished_at timestamp_ntz not null,
    succeeded boolean not null, project varchar not null,
    raw_state varchar not null, load_ids varchar not null, rows_loaded varchar not null, results varchar not null)"""
_NO_SUCH_OBJECT = 2003


def environment(settings: SnowflakeSettings | None = None) -> dict[str, str]:
    """What the profile reads by ``env_var``: the loader's own settings, so that both mean the same
    account and sign-in.

    Empty texts stand for what is not set: dbt takes the first of key pair, token and password that
    is, as the loader does.
    """
    from warehouse.snowflake.session import private_key_pem, sign_in

    settings = (settings or configured(SnowflakeSettings)).as_transformer()
    method = sign_in(settings).method
    passphrase = settings.private_key_file_pwd
    from_file = method == "key pair" and settings.private_key_file is not None
    pem = private_key_pem(settings) if method == "key pair" and not from_file else None
    return {
        "SNOWFLAKE_ACCOUNT": settings.account,
        "SNOWFLAKE_DBT_USER": settings.user,
        "SNOWFLAKE_DBT_ROLE": settings.named(settings.transform_role),
        "SNOWFLAKE_DBT_WAREHOUSE": settings.named(settings.transform_warehouse),
        "SNOWFLAKE_NAME_PREFIX": settings.name_prefix,
        "SNOWFLAKE_HOST": settings.host or "",
        "SNOWFLAKE_PORT": str(settings.port or (443 if settings.host else "")),
        "SNOWFLAKE_PROTOCOL": settings.protocol,
        "SNOWFLAKE_PRIVATE_KEY_FILE": str(settings.private_key_file) if from_file else "",
        "SNOWFLAKE_PRIVATE_KEY": pem or "",
        "SNOWFLAKE_PRIVATE_KEY_FILE_PWD": passphrase.get_secret_value()
        if passphrase and method == "key pair"
        else "",
        "SNOWFLAKE_TOKEN": settings.token.get_secret_value()
        if settings.token and method == "token"
        else "",
        "SNOWFLAKE_PASSWORD": settings.password.get_secret_value()
        if settings.password and method == "password"
        else "",
        "SNOWFLAKE_MARTS_WAREHOUSE": settings.named(settings.marts_warehouse)
        if settings.marts_warehouse
        else "",
    }


def run_tag(day: date | None = None) -> dict[str, str]:
    """The query tag of one dbt run: DAG, task, day and try of the Airflow task, if it runs in one."""
    from warehouse.snowflake.session import query_tag

    return {"ECOMMERCE_QUERY_TAG": query_tag(step="dbt", day=str(day) if day else None)}


@contextmanager
def connect(
    settings: WarehouseSettings | None = None, *, read_only: bool = True
) -> Iterator[SnowflakeConnection]:
    """A session of the transformer in the database of the marts. Both arguments are the other
    warehouse's business.
    """
    from warehouse.snowflake.session import ANALYTICS, session

    with session(
        configured(SnowflakeSettings), "transform", database=ANALYTICS, doing="look after the marts"
    ) as connection:
        yield connection


def count_rows(connection: SnowflakeConnection, relation: str) -> int | None:
    """Rows of a relation, None where it is gone."""
    found = _rows_or_none(connection, f"select count(*) from {relation}")
    return int(found[0][0]) if found else None


def first_rows(connection: SnowflakeConnection, relation: str, limit: int) -> list[dict[str, Any]]:
    """The first rows of a table of failures, column name (in lower case) to value."""
    from warehouse.snowflake.session import execute

    cursor = execute(connection, f"select * from {relation} limit {limit}")
    names = [column.name.lower() for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def raw_state(connection: SnowflakeConnection, day: date) -> RawState:
    raw = configured(SnowflakeSettings).named("ECOMMERCE_RAW")
    rows = _rows_or_none(
        connection,
        f"select source, load_id, committed_at, day, rows_extracted from {raw}.LOADS.LOAD_RECORDS "
        "order by committed_at, load_id",
    )
    if not rows:
        return RawState("empty", {}, {})
    newest = f"{len(rows)} loads, newest {rows[-1][1]} at {rows[-1][2]}"
    of_day = {row[0]: row for row in rows if row[3] == day}
    ids = {source: row[1] for source, row in of_day.items()}
    return RawState(newest, ids, {source: int(row[4]) for source, row in of_day.items()})


def record_run(connection: SnowflakeConnection, run: Run) -> None:
    from warehouse.snowflake.session import execute, rows

    if not rows(
        connection, "select 1 from information_schema.schemata where schema_name = 'TRANSFORM'"
    ):
        execute(connection, "create schema if not exists TRANSFORM")
    execute(connection, _CREATE_HISTORY)
    values = [
        run.step,
        run.day,
        run.started_at,
        run.finished_at,
        run.succeeded,
        run.project,
        run.raw.state,
    ]
    texts = map(json.dumps, (run.raw.load_ids, run.raw.rows_loaded, run.results))
    execute(connection, f"insert into {_HISTORY} values ({', '.join('?' * 10)})", [*values, *texts])


def a_whole_build_is_unfinished(connection: SnowflakeConnection) -> bool:
    """Whether the last build began as a full refresh and has not reached its end, which the table
    `built_until` notes.
    """
    sql = (
        "select 1 from INTERMEDIATE.INT_BUILD_WINDOW "
        "where is_whole and build_number > (select coalesce(max(build_number), 0) from "
        "INTERMEDIATE.BUILT_UNTIL)"
    )
    return bool(_rows_or_none(connection, sql))


def latest_run(
    connection: SnowflakeConnection, step: str | None = None, *, succeeded: bool = False
) -> Run | None:
    """The run that finished last, of one step or of all; the last that succeeded, if asked for."""
    found = _rows_or_none(
        connection,
        "select step, day, started_at, finished_at, succeeded, project, raw_state, load_ids, "
        "rows_loaded, results "
        f"from {_HISTORY} where (step = ? or ? is null) and (succeeded or not ?) order by "
        "finished_at desc limit 1",
        [step, step, succeeded],
    )
    if not found:
        return None
    step_, day, started_at, finished_at, succeeded, project, state, *texts = found[0]
    load_ids, rows_loaded, results = map(json.loads, texts)
    return Run(
        step_,
        day,
        started_at,
        finished_at,
        succeeded,
        project,
        RawState(state, load_ids, rows_loaded),
        results,
    )


def _rows_or_none(
    connection: SnowflakeConnection, sql: str, parameters: list[Any] | None = None
) -> list[tuple[Any, ...]] | None:
    """None where a table or its schema does not exist."""
    import snowflake.connector.errors

    from warehouse.snowflake.session import rows

    try:
        return rows(connection, sql, parameters or [])
    except snowflake.connector.errors.ProgrammingError as error:
        if error.errno == _NO_SUCH_OBJECT:
            return None
        raise
