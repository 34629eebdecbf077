"""Checks the Stripe key: whether it may read each list that a load reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

from ingestion.stripe_api.client import StripeApi
from ingestion.stripe_api.settings import StripeSettings
from pipeline.checks import Finding, tried
from pipeline.settings import settings

PATHS = ("/v1/charges", "/v1/refunds", "/v1/disputes", "/v1/events")
TIMEOUT_SECONDS = 15


def check() -> Iterator[Finding]:
    """The key, then each list: one request each, without retries."""
    key = tried("stripe", "key", _key)
    yield key
    if not key.works:
        return
    impatient = {"max_retries": 0, "timeout_seconds": TIMEOUT_SECONDS}
    with closing(StripeApi(settings(StripeSettings).model_copy(update=impatient))) as api:
        for path in PATHS:
            name = path.removeprefix("/v1/")
            yield tried("stripe", f"list {name}", partial(_read, api, path))


def _key() -> str:
    configured = settings(StripeSettings)
    kind = configured.api_key.get_secret_value()[:8]  # sk_live_, sk_test_, rk_live_ or rk_test_
    return f"A key {kind}... for {configured.api_base}."


def _read(api: StripeApi, path: str) -> str:
    found = api.get(path, {"limit": 1}).body.get("data")
    return "readable." if found else "readable, and empty."
