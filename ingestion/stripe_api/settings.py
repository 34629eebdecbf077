"""Settings of the Stripe source."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from pipeline.settings import FromEnvironment

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class StripeSettings(FromEnvironment):
    """Stripe. ``STRIPE_API_BASE`` points at the emulator in the sandbox.

    Attributes:
        max_requests_per_second: Stripe allows 100 in live mode and 25 in test mode, shared by all
            users of the account.
        parallel_windows: how many requests are under way at a time.
        max_retries: further tries of one request before the load fails.
        relist_days: how far back a re-list reaches, for changes that no event told of.
        relist_weekday: whose loads re-list in any case; ``never``: only when the cursor is older
            than Stripe's events.
        reconcile_days: how far back a reconciliation compares; 0: everything there ever was.
    """

    model_config = SettingsConfigDict(env_prefix="STRIPE_")

    api_key: SecretStr
    api_base: str = "https://api.stripe.com"
    overlap_minutes: int = Field(default=60, ge=0)
    max_requests_per_second: float = Field(default=80, gt=0)
    parallel_windows: int = Field(default=4, ge=1, le=32)
    max_retries: int = Field(default=6, ge=0)
    timeout_seconds: float = Field(default=60, gt=0)
    relist_days: int = Field(default=180, ge=0)
    relist_weekday: Literal[
        "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "never"
    ] = "sunday"
    reconcile_days: int = Field(default=400, ge=0)
