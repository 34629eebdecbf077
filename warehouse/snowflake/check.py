"""Checks a Snowflake account: sign-in, rights of the loader, rights of dbt."""

# ruff: noqa: S608 - names are fixed here

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.checks import Finding, tried
from pipeline.errors import CredentialsError
from pipeline.settings import settings
from pipeline.sources import SOURCES
from warehouse.session import ANALYTICS, RAW, STAGING
from warehouse.snowflake.session import Purpose, session
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.sign_in import fingerprint, sign_in
from warehouse.snowflake.uploads import STAGE
from warehouse.snowflake.warehouse import create_loads


def check() -> Iterator[Finding]:
    """One finding for each right; a failed sign-in of the loader ends the checks.

    What a check creates it drops again.
    """
    signed_in = tried("snowflake", "sign-in", partial(_signed_in, "load"))
    yield signed_in
    if not signed_in.works:
        return
    yield tried("snowflake", "loader: schemas", _schemas)
    yield tried("snowflake", "loader: tables, stage", _loader_writes)
    yield tried("snowflake", "dbt: sign-in", partial(_signed_in, "transform"))
    yield tried("snowflake", "dbt: raw tables", _transformer_reads)
    yield tried("snowflake", "dbt: marts", _transformer_writes)


def _signed_in(purpose: Purpose) -> str:
    configured = settings(SnowflakeSettings)
    own = configured.as_transformer() if purpose == "transform" else configured
    method = sign_in(own).method
    wanted = configured.named(
        configured.load_role if purpose == "load" else configured.transform_role
    )
    with session(configured, purpose, database=None, doing="sign in", tag="doctor") as connection:
        ((user, role, warehouse),) = connection.rows(
            "select current_user(), current_role(), current_warehouse()"
        )
    if warehouse is None:
        raise CredentialsError(
            f"{user} is signed in as {role}, but the role may not use its virtual warehouse."
        )
    key = fingerprint(own)
    return f"{user} as {wanted} on {configured.account} by {method}{f', key {key}' if key else ''}."


def _schemas() -> str:
    configured = settings(SnowflakeSettings)
    wanted = {table.schema for each in SOURCES for table in each.tables} | {"LOADS"}
    with session(configured, "load", doing="look at the raw database", tag="doctor") as connection:
        there = {
            name
            for (name,) in connection.rows("select schema_name from information_schema.schemata")
        }
    if missing := sorted(wanted - there):
        raise CredentialsError(
            f"{configured.named(RAW)} has no schema {', '.join(missing)} that "
            f"{configured.load_role} may see. "
            "Run: python -m infrastructure.snowflake apply"
        )
    return f"{configured.named(RAW)} has {', '.join(sorted(wanted))}."


def _loader_writes() -> str:
    """Creates a table in each schema and stages a file, as a load does; both are removed."""
    configured = settings(SnowflakeSettings)
    name = f"DOCTOR_{secrets.token_hex(4).upper()}"
    schemas = sorted({table.schema for each in SOURCES for table in each.tables})
    with (
        session(configured, "load", doing="write as the loader does", tag="doctor") as connection,
        TemporaryDirectory() as folder,
    ):
        create_loads(connection)
        for schema in schemas:
            connection.execute(f"create transient table {schema}.{name} (a number(1,0))")
            connection.execute(f"insert into {schema}.{name} values (1)")
            connection.execute(f"drop table {schema}.{name}")
        file = Path(folder) / f"{name}.txt"
        file.write_text("doctor")
        connection.execute(f"put 'file://{file}' @{STAGE}/{name} auto_compress = false")
        connection.execute(f"remove @{STAGE}/{name}/")
    return f"tables can be made in {', '.join(schemas)}, files staged in {STAGE}."


def _transformer_reads() -> str:
    configured = settings(SnowflakeSettings)
    with session(
        configured, "transform", doing="read the raw tables as dbt does", tag="doctor"
    ) as connection:
        ((loads,),) = connection.rows("select count(*) from LOADS.LOAD_RECORDS")
    return f"readable; {loads:,} loads so far."


def _transformer_writes() -> str:
    """Create a schema, as a publication does, and a view in staging; remove both."""
    configured = settings(SnowflakeSettings)
    name = f"DOCTOR_{secrets.token_hex(4).upper()}"
    with session(
        configured, "transform", database=ANALYTICS, doing="build marts as dbt does", tag="doctor"
    ) as connection:
        try:
            if configured.marts_warehouse:
                connection.execute(f"use warehouse {configured.named(configured.marts_warehouse)}")
            connection.execute(f"create transient schema {name}")
            connection.execute(f"create transient table {name}.A (a number(1,0))")
            connection.execute(
                f"create view {configured.named(STAGING)}.STAGING.{name} as select 1 as a"
            )
        finally:
            for drop in (
                f"schema if exists {name}",
                f"view if exists {configured.named(STAGING)}.STAGING.{name}",
            ):
                with suppress(Exception):
                    connection.execute(f"drop {drop}")
    analytics, staging = configured.named(ANALYTICS), configured.named(STAGING)
    return f"schemas can be made in {analytics}, views in {staging}."
