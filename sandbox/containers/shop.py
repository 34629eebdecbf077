"""The demo shop in a container: opened once, then living on, so that tomorrow's run has something
to load.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import psycopg2

from ingestion.postgres.settings import PostgresSettings
from ingestion.stripe_api.settings import StripeSettings
from pipeline.settings import settings
from sandbox.containers.settings import RealSystems
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
    opened()
    while True:
        time.sleep(LIVES_EVERY_SECONDS)
        try:
            fill(STATE, address, scale, say)
        except (psycopg2.OperationalError, ShopError) as error:
            say(f"The shop stands still until its systems are back: {error}")
