"""Settings of the Stripe source."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pipeline.settings import FromEnvironment, is_this_machine

# "#131", "133.0", " 134 ", "ORDER-135", "Order No. 136": a number, alone or after a word for it.
ORDER_NUMBER = r"(?:(?:order|ord|number|num|nr|no|id)[\s._:#-]*|#\s*)*([0-9]+)(?:\.0{1,2})?"
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
        max_reject_ratio: share of the objects of a load that may be set aside.
        max_wait_seconds: how long a load waits for the end of its day by Stripe's clock, where
            ours is ahead.
        order_keys: keys of a charge's metadata that name its order, the first of them that does;
            ``orderId`` is taken for ``order_id``.
        order_pattern: what such a text must be from end to end, in any case; its first group is
            the order's number.
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
    max_reject_ratio: float = Field(default=0.10, ge=0, le=1)
    max_wait_seconds: float = Field(default=120, ge=0)
    order_keys: str = "order_id,order_number,order_no,order"
    order_pattern: str = ORDER_NUMBER

    @model_validator(mode="after")
    def _a_live_key_travels_encrypted(self) -> StripeSettings:
        live = self.api_key.get_secret_value().startswith(("sk_live_", "rk_live_"))
        address = urlsplit(self.api_base)
        if live and address.scheme != "https" and not is_this_machine(address.hostname or "?"):
            raise ValueError("STRIPE_API_BASE is not https, and STRIPE_API_KEY is a live key")
        return self

    @field_validator("order_pattern")
    @classmethod
    def _has_a_group(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groups
        except re.error as problem:
            raise ValueError(f"it is no regular expression: {problem}") from None
        if not groups:
            raise ValueError("it needs a group, in brackets, around the order's number")
        return pattern
