"""Reads Stripe's API through the official client, without its objects: one answer, one parse, our
errors.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import stripe

from ingestion.stripe_api.settings import StripeSettings
from ingestion.stripe_api.transport import RateLimit, session
from pipeline.errors import (
    ContractError,
    CredentialsError,
    PipelineError,
    RateLimitedError,
    SourceUnavailableError,
)

Item = dict[str, Any]
PAGE_SIZE = 100  # the most that Stripe gives: https://docs.stripe.com/api/pagination

# The client writes two lines for each request, thousands for a first load. Its own STRIPE_LOG=info
# still prints them.
logging.getLogger("stripe").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Answer:
    """A parsed body, and the moment just before it was asked for (UTC without a zone)."""

    body: Item
    fetched_at: datetime


class _Body:
    """A body with nothing to show: the client formats each one for its debug log, even where that
    is off.
    """

    __slots__ = ("content",)

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __str__(self) -> str:
        return f"({len(self.content)} bytes)"


class _QuietClient(stripe.RequestsClient):
    """The client's own HTTP layer, but its good answers reach no log: they hold customers' data."""

    def request(  # type: ignore[override]  # the body is handed through as it is
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> tuple[Any, int, Mapping[str, str]]:
        content, status, answered = super().request(method, url, headers, post_data)
        return _Body(content) if status == 200 else content, status, answered


class StripeApi:
    """Authenticated, rate limited reads. Safe to use from several threads."""

    def __init__(self, settings: StripeSettings) -> None:
        self._settings = settings
        limit = RateLimit(settings.max_requests_per_second)
        self._session = session(
            settings.api_base,
            limit,
            retries=settings.max_retries,
            connections=settings.parallel_windows,
        )
        http = _QuietClient(timeout=settings.timeout_seconds, session=self._session)
        client = stripe.StripeClient(
            settings.api_key.get_secret_value(),
            base_addresses={"api": settings.api_base.rstrip("/")},
            # the session's business: the client would neither retry a 429 nor read Retry-After
            max_network_retries=0,
            http_client=http,
        )
        # raw_request() parses each body with the standard library before it is handed out; its
        # requestor does not.
        self._requestor = client._requestor

    def close(self) -> None:
        self._session.close()

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """One object or list page.

        Raises:
            CredentialsError: 401 or 403.
            RateLimitedError: still 429 after all retries, or a ``Retry-After`` too long to sit out.
            ContractError: Stripe finds the request itself wrong.
            SourceUnavailableError: everything else that went wrong.
        """
        fetched_at = datetime.now(UTC).replace(tzinfo=None)
        try:
            content, status, headers = self._requestor.request_raw(
                "get", path, parameters, base_address="api", api_mode="V1", usage=["raw_request"]
            )
            if not isinstance(content, _Body):
                self._requestor._interpret_response(content, status, headers, "V1")
                raise SourceUnavailableError(
                    f"Stripe answered {path} with status {status}. Try again later."
                )
            body = orjson.loads(content.content)
        except stripe.StripeError as error:
            raise self._translated(error, path) from None
        except orjson.JSONDecodeError:
            raise SourceUnavailableError(
                f"What answers at {self._host} for {path} does not speak Stripe's API. Check "
                "STRIPE_API_BASE, or try again later."
            ) from None
        return Answer(body, fetched_at)

    @property
    def _host(self) -> str:
        address = urlsplit(self._settings.api_base)
        return f"{address.hostname}:{address.port}" if address.port else str(address.hostname)

    def _translated(self, error: stripe.StripeError, path: str) -> PipelineError:
        """The same failure in our words. Stripe's own text is not passed on where it may show parts
        of the key.
        """
        if isinstance(error, stripe.AuthenticationError):
            return CredentialsError(
                "Stripe refused the API key (401). Set STRIPE_API_KEY to a secret key that is "
                "valid."
            )
        if isinstance(error, stripe.PermissionError):
            return CredentialsError(
                f"Stripe does not let this API key read {path} (403). Give the key read access to "
                "charges, refunds, disputes "
                "and events, or set STRIPE_API_KEY to one that has it."
            )
        if isinstance(error, stripe.RateLimitError):
            retry_after = _seconds((error.headers or {}).get("Retry-After"))
            when = "later" if retry_after is None else f"in {retry_after:g} seconds"
            return RateLimitedError(
                f"Stripe limits the rate of requests (429 on {path}). Try again {when}, or lower "
                "STRIPE_MAX_REQUESTS_PER_SECOND.",
                retry_after,
            )
        if isinstance(error, stripe.InvalidRequestError):
            said = str(error.user_message or "").replace(
                self._settings.api_key.get_secret_value(), "***"
            )
            return ContractError(
                f"Stripe refused the request for {path} ({error.http_status}): {said}"
            )
        if error.http_status:
            return SourceUnavailableError(
                f"Stripe answered {path} with an error ({error.http_status}). Try again later."
            )
        return SourceUnavailableError(
            f"Stripe cannot be reached at {self._host}, or breaks off ({path}). Check the network "
            "and STRIPE_API_BASE, or try "
            "again later."
        )


def _seconds(text: str | None) -> float | None:
    try:
        seconds = float(text or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None
