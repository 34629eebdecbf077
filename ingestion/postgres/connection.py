"""Opens connections to the source database, and says in a sentence what went wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

from ingestion.postgres.settings import PostgresSettings
from pipeline.errors import (
    ContractError,
    CredentialsError,
    MissingInputError,
    PipelineError,
    SourceUnavailableError,
)

APPLICATION_NAME = "ecommerce_ingestion"
# somebody alters the table just now: better to try again later than to queue before their
# statements
LOCK_TIMEOUT = "60s"

# A connection that is refused carries no SQLSTATE in psycopg2, only the server's text.
_REFUSED = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "permission denied for database",
    "is not permitted to log in",
    "certificate",
)


@contextmanager
def connect(settings: PostgresSettings) -> Iterator[Connection]:
    """A connection in autocommit mode, closed at the end of the block.

    Any database error inside the block becomes an ``PipelineError`` with the sentence of
    ``explain``.
    """
    try:
        with closing(_open(settings)) as connection:
            yield connection
    except psycopg2.Error as error:
        raise explain(error, settings) from error


def _open(settings: PostgresSettings) -> Connection:
    connection: Connection = psycopg2.connect(
        host=settings.host,
        port=settings.port,
        dbname=settings.db,
        user=settings.user,
        password=settings.password.get_secret_value(),
        sslmode=settings.sslmode,
        connect_timeout=settings.connect_timeout_seconds,
        application_name=APPLICATION_NAME,
        client_encoding="UTF8",
        keepalives_idle=30,  # a server that is gone without a word is noticed after a minute
        keepalives_interval=10,
        keepalives_count=3,
    )
    connection.autocommit = True
    return connection


def begin_read(connection: Connection, settings: PostgresSettings) -> None:
    """Begin one ``REPEATABLE READ READ ONLY`` transaction.

    Its snapshot is taken by the first statement that reads.
    """
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)
    with connection.cursor() as cursor:
        # For this transaction only, and not as connection options: poolers keep neither. Without
        # row_security off, a policy would hide rows silently.
        cursor.execute(
            "set local timezone to 'UTC'; set local datestyle to 'ISO'; set local intervalstyle to "
            "'postgres'; "
            "set local extra_float_digits to 1; set local bytea_output to 'hex'; set local "
            "row_security to off; "
            "set local lock_timeout to %s; set local statement_timeout to %s",
            (LOCK_TIMEOUT, settings.statement_timeout_seconds * 1000),
        )


def explain(
    error: psycopg2.Error, settings: PostgresSettings, table: str | None = None
) -> PipelineError:
    """The error in this project's terms: who must act, and how. The password is in none of them."""
    where = f"PostgreSQL database {settings.db!r} on {settings.host}:{settings.port}"
    of_table = f"Table {settings.source_schema}.{table}: " if table else ""
    said = _first_line(error, settings)
    code = error.pgcode or ""
    if code.startswith("28") or (not code and any(text in said for text in _REFUSED)):
        return CredentialsError(
            f"The {where} refused the user {settings.user!r}: {said}. Check POSTGRES_USER, "
            "POSTGRES_PASSWORD and POSTGRES_SSLMODE."
        )
    if code == "3D000" or (not code and 'database "' in said and "does not exist" in said):
        return MissingInputError(
            f"There is no database {settings.db!r} on {settings.host}:{settings.port}. Check "
            "POSTGRES_DB."
        )
    if not code and 'role "' in said and "does not exist" in said:
        return CredentialsError(
            f"The {where} knows no user {settings.user!r}. Check POSTGRES_USER."
        )
    if code == "42501":
        return CredentialsError(
            f"{of_table}The user {settings.user!r} may not read it: {said}. Grant USAGE on the "
            "schema, SELECT on the table "
            "and, where row security is on, BYPASSRLS."
        )
    if code in ("42P01", "3F000"):
        return MissingInputError(
            f"{of_table}It is not in the {where}: {said}. Check POSTGRES_DB and "
            "POSTGRES_SOURCE_SCHEMA, or restore the table."
        )
    if code in ("42703", "42804", "42883") or code.startswith("22"):
        return ContractError(f"{of_table}It is not as declared: {said}. Nothing was loaded.")
    if code == "57014":
        return SourceUnavailableError(
            f"{of_table}The {where} broke off a statement: {said}. If it needs longer, raise "
            "POSTGRES_STATEMENT_TIMEOUT_SECONDS."
        )
    if code == "55P03":
        return SourceUnavailableError(
            f"{of_table}Somebody has locked it for more than {LOCK_TIMEOUT}. Nothing was loaded."
        )
    return SourceUnavailableError(
        f"{of_table}The {where} did not answer, or broke off: {said}. Nothing was loaded."
    )


def _first_line(error: psycopg2.Error, settings: PostgresSettings) -> str:
    primary = error.diag.message_primary if error.diag else None
    line = primary or next(
        (text.strip() for text in str(error).splitlines() if text.strip()), type(error).__name__
    )
    password = settings.password.get_secret_value()
    if password:
        line = line.replace(password, "***")
    return line.rstrip(".")
