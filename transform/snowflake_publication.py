"""Publishes the tested marts in Snowflake by zero-copy clones, all at once, and can bring an
earlier publication back.

Each publication is a schema of its own; what people read, ``PUBLISHED``, changes places with it by
one SWAP, which Snowflake
does as a whole: a query reads the old marts or the new ones, never a mix.

    ECOMMERCE_ANALYTICS.PUBLISHED                              the current publication
    ECOMMERCE_ANALYTICS.PUBLISHED_20261122T061502_123456Z      the ones before it, by their ids (DBT_KEEP_PUBLICATIONS)
"""

# ruff: noqa: S608 - names are dbt's own or made here, values are bound

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from pipeline.settings import settings as configured
from transform.errors import PublicationError
from transform.results import Publication
from warehouse.snowflake.settings import SnowflakeSettings

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

CURRENT = "PUBLISHED"
_COLUMNS = "publication_id, day, built_for, published_at, tested_at, tests_passed, tests_warned, models, load_ids, rows_loaded"
_CREATE = """create transient table {}.PUBLICATION (
    publication_id varchar not null, day date not null, built_for date not null, published_at timestamp_ntz not null,
    tested_at timestamp_ntz not null, tests_passed number(10,0) not null, tests_warned number(10,0) not null,
    models varchar not null, load_ids varchar not null, rows_loaded varchar not null)"""


def publish(day: date, keep: int) -> Publication:
    """Clone every mart as it was tested into a schema of its own, then swap that with what people
    read.
    """
    from transform.publication import tested_marts
    from transform.snowflake import connect, latest_run
    from warehouse.snowflake.session import execute, rows

    with connect() as connection:
        steps = {
            step: latest_run(connection, step)
            for step in ("staging", "intermediate", "marts", "test")
        }
        marts, tests = tested_marts(day, steps)
        before = _read(connection, CURRENT)
        now = datetime.now(UTC).replace(tzinfo=None)
        identity = f"{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}Z"
        schema = schema_of(identity)
        execute(connection, f"create or replace transient schema {schema}")
        models: dict[str, int] = {}
        for result in marts.results:
            if result["published"]:
                table = f"{schema}.{result['name'].upper()}"
                execute(connection, f"create transient table {table} clone {result['relation']}")
                models[result["name"]] = int(
                    rows(connection, f"select count(*) from {table}")[0][0]
                )
        if not models:
            raise PublicationError(f"The marts layer of {day} holds no model to publish.")
        statuses = [test["status"] for test in tests.results]
        publication = Publication(
            publication_id=identity,
            day=max(day, before.day) if before else day,
            built_for=day,
            published_at=now,
            tested_at=tests.finished_at,
            tests_passed=statuses.count("pass"),
            tests_warned=statuses.count("warn"),
            models=models,
            load_ids=marts.raw.load_ids,
            rows_loaded=marts.raw.rows_loaded,
        )
        execute(connection, _CREATE.format(schema))
        values = [
            identity,
            publication.day,
            day,
            now,
            publication.tested_at,
            publication.tests_passed,
            publication.tests_warned,
        ]
        texts = map(json.dumps, (models, publication.load_ids, publication.rows_loaded))
        execute(
            connection,
            f"insert into {schema}.PUBLICATION values ({', '.join('?' * 10)})",
            [*values, *texts],
        )
        _grant(connection, schema)
        _make_current(connection, schema, before)
        for old in sorted(_versions(connection), reverse=True)[
            keep - 1 :
        ]:  # the current one is none of them
            execute(connection, f"drop schema if exists {old}")
    return publication


def rollback(publication_id: str | None) -> Publication:
    """Bring back the publication before the current one, or the given one."""
    from transform.snowflake import connect

    with connect() as connection:
        current = _read(connection, CURRENT)
        known = sorted(_versions(connection))
        if publication_id is None:
            older = [
                schema
                for schema in known
                if current is not None and schema < schema_of(current.publication_id)
            ]
            if not older:
                raise PublicationError("There is no earlier publication to go back to.")
            wanted = older[-1]
        else:
            wanted = schema_of(publication_id)
            if wanted not in known:
                kept = ", ".join(
                    found.publication_id for schema in known if (found := _read(connection, schema))
                )
                raise PublicationError(
                    f"There is no publication {publication_id}. Kept: {kept or 'none'}."
                )
        _make_current(connection, wanted, current)
        publication = _read(connection, CURRENT)
    assert publication is not None
    return publication


def read(sql: str, parameters: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """Rows of a query on the published marts (schema ``published``)."""
    from transform.snowflake import connect
    from warehouse.snowflake.session import rows

    with connect() as connection:
        return rows(connection, sql, parameters)


def current() -> Publication | None:
    """The current publication, None before the first."""
    from transform.snowflake import connect

    with connect() as connection:
        return _read(connection, CURRENT)


def schema_of(publication_id: str) -> str:
    """``PUBLISHED_`` and the id; sorts by time. ``PublicationError`` for a text that is no id."""
    if not re.fullmatch(r"\d{8}T\d{6}\.\d{6}Z", publication_id):
        raise PublicationError(
            f"{publication_id!r} is no id of a publication; they look like 20261122T061502.123456Z."
        )
    return f"{CURRENT}_{publication_id.replace('.', '_')}"


def _read(connection: SnowflakeConnection, schema: str) -> Publication | None:
    from transform.snowflake import _rows_or_none

    found: list[tuple[Any, ...]] | None = _rows_or_none(
        connection, f"select {_COLUMNS} from {schema}.PUBLICATION"
    )
    if not found:
        return None
    identity, day, built_for, published_at, tested_at, passed, warned, *texts = found[0]
    models, load_ids, rows_loaded = map(json.loads, texts)
    return Publication(
        identity,
        day,
        built_for,
        published_at,
        tested_at,
        passed,
        warned,
        models,
        load_ids,
        rows_loaded,
    )


def _versions(connection: SnowflakeConnection) -> list[str]:
    from warehouse.snowflake.session import rows

    found = rows(
        connection,
        "select schema_name from information_schema.schemata where startswith(schema_name, "
        f"'{CURRENT}_2')",
    )
    return [name for (name,) in found]


def _make_current(connection: SnowflakeConnection, schema: str, before: Publication | None) -> None:
    from warehouse.snowflake.session import execute

    if before is None:
        execute(
            connection, f"drop schema if exists {CURRENT}"
        )  # an empty one, as the set-up of the account makes it
        execute(connection, f"alter schema {schema} rename to {CURRENT}")
        return
    execute(connection, f"alter schema {CURRENT} swap with {schema}")
    execute(connection, f"alter schema {schema} rename to {schema_of(before.publication_id)}")


def _grant(connection: SnowflakeConnection, schema: str) -> None:
    """The readers' rights come before the swap, which takes them along."""
    from warehouse.snowflake.session import execute

    analyst = configured(SnowflakeSettings).named("ANALYST")
    execute(connection, f"grant usage on schema {schema} to role {analyst}")
    execute(connection, f"grant select on all tables in schema {schema} to role {analyst}")
