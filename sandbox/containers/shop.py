"""The demo shop in a container: opened once, then living on, so that tomorrow's run has something
to load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg2
from dotenv import dotenv_values
from psycopg2 import errors, sql

from ingestion.postgres.settings import PostgresSettings
from ingestion.stripe_api.settings import StripeSettings
from pipeline.settings import env_file, settings
from sandbox.containers.settings import READER, RealSystems
from sandbox.demo import fill
from sandbox.shop import ShopError

LIVES_EVERY_SECONDS = 900
STATE = Path("/opt/airflow/shop/shop.json")
CSV_INBOX = "/opt/airflow/csv_inbox"


def embedded(real: RealSystems) -> bool:
    """Whether all three of the shop's systems are our own: a real one is never written to."""
    return (
        real.source_is_embedded
        and real.stripe_api_key is None
        and real.csv_inbox in ("", CSV_INBOX)
    )


def keep_open(scale: float, opened: Callable[[], object], say: Callable[[str], None]) -> None:
    """Open the shop, or let it catch up, call ``opened``, then live on for ever."""
    source, stripe = settings(PostgresSettings), settings(StripeSettings)
    password = quote(source.password.get_secret_value(), safe="")
    address = (
        f"postgresql://{source.user}:{password}@{source.host}:{source.port}/{source.db}",
        stripe.api_base,
        Path(CSV_INBOX),
    )
    fill(STATE, address, scale, say)
    admit_reader(address[0], str(dotenv_values(env_file())["READER_PASSWORD"]))
    opened()
    while True:
        time.sleep(LIVES_EVERY_SECONDS)
        try:
            fill(STATE, address, scale, say)
        except (psycopg2.OperationalError, ShopError) as error:
            say(f"The shop stands still until its systems are back: {error}")


def admit_reader(dsn: str, password: str) -> None:
    """The pipeline's role, which may read every table and see other sessions, and nothing else."""
    role = sql.Identifier(READER)
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("savepoint before")
        try:
            cursor.execute(sql.SQL("create role {} login").format(role))
        except errors.DuplicateObject:
            cursor.execute("rollback to savepoint before")
        cursor.execute(sql.SQL("alter role {} password {}").format(role, sql.Literal(password)))
        cursor.execute(sql.SQL("grant pg_read_all_data, pg_read_all_stats to {}").format(role))
