"""Reads Stripe's API by the official client, without its objects: one answer, one parse.

Errors become ours.
"""

from __future__ import annotations

import json
import logging
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import stripe
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

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
FIRST_WAIT, LONGEST_WAIT = 0.25, 8.0  # seconds before a page is asked for again
HALF_A_PAIR = re.compile("[\ud800-\udfff]")

# The client writes two lines for each request, thousands for a first load. Its own STRIPE_LOG=info
# still prints them.
logging.getLogger("stripe").setLevel(logging.WARNING)


@dataclass(frozen=True)
class Answer:
    """A parsed body, and the moment before it was asked for by Stripe's clock (UTC, no zone)."""

    body: Item
    fetched_at: datetime


@dataclass(frozen=True)
class ListPage:
    """Up to 100 objects, newest first; ``fetched_at`` as in ``Answer``.

    ``next_after`` is the cursor of the next page, None on the last one.
    """

    items: list[Item]
    fetched_at: datetime
    next_after: str | None


class ObjectGoneError(SourceUnavailableError):
    """Stripe does not know the object (404), as after its test data was deleted."""


class BrokenPageError(SourceUnavailableError):
    """A page that contradicts itself: it promises more and shows nothing to go on from."""


@dataclass(frozen=True)
class _Clock:
    """Stripe's clock: what it showed at a moment of ``time.monotonic()``."""

    showed: datetime
    then: float

    def at(self, monotonic: float) -> datetime:
        return self.showed + timedelta(seconds=monotonic - self.then)


class _Body:
    """A body that shows nothing: the client formats each for its debug log, even if off."""

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
        self._clock: _Clock | None = None

    def close(self) -> None:
        self._session.close()

    def now(self) -> datetime:
        """The time by Stripe's clock, UTC without a zone; never later than it is.

        Bounds and versions are Stripe's times, so a worker's clock must not decide about them: it
        would let a day end before it has, or an old version win over a newer one.
        """
        if self._clock is None:
            self.get("/v1/charges", {"limit": 1})
        assert self._clock is not None
        return self._clock.at(time.monotonic())

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """One object or list page.

        Raises:
            CredentialsError: 401 or 403.
            ObjectGoneError: Stripe does not know the object.
            RateLimitedError: still 429 after all retries, or a ``Retry-After`` too long to sit out.
            ContractError: Stripe finds the request itself wrong.
            SourceUnavailableError: everything else that went wrong.
        """
        asked_at = time.monotonic()
        try:
            content, status, headers = self._requestor.request_raw(
                "get", path, parameters, base_address="api", api_mode="V1", usage=["raw_request"]
            )
            if not isinstance(content, _Body):
                self._requestor._interpret_response(content, status, headers, "V1")
                raise SourceUnavailableError(
                    f"Stripe answered {path} with status {status}. Try again later."
                )
            body = _parsed(content.content)
        except stripe.StripeError as error:
            raise self._translated(error, path) from None
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise SourceUnavailableError(
                f"What answers at {self._host} for {path} does not speak Stripe's API. Check "
                "STRIPE_API_BASE, or try again later."
            )
        if self._clock is None:
            self._clock = _Clock(_date_of(headers), time.monotonic())
        return Answer(body, self._clock.at(asked_at))

    def page(self, path: str, parameters: Mapping[str, Any]) -> ListPage:
        """One page of a list, asked for again while it contradicts itself.

        ``BrokenPageError`` if it still does after ``STRIPE_MAX_RETRIES`` further tries: to end the
        list there would lose what Stripe says is there. Otherwise raises as ``get`` does.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(BrokenPageError),
            stop=stop_after_attempt(self._settings.max_retries + 1),
            wait=wait_exponential_jitter(multiplier=FIRST_WAIT, max=LONGEST_WAIT),
            reraise=True,
        )
        return retrying(self._page, path, parameters)

    def _page(self, path: str, parameters: Mapping[str, Any]) -> ListPage:
        answer = self.get(path, {"limit": PAGE_SIZE, **parameters})
        items: Any = answer.body.get("data")
        more = answer.body.get("has_more")
        objects = isinstance(items, list) and all(isinstance(item, dict) for item in items)
        if not objects or not isinstance(more, bool):
            raise BrokenPageError(
                f"Stripe answered {path} with something that is no list. Try again later."
            )
        if not more:
            return ListPage(items, answer.fetched_at, None)
        last = items[-1].get("id") if items else None
        if not last or last == parameters.get("starting_after"):
            raise BrokenPageError(
                f"A page of {path} says that there is more and shows nothing to go on from "
                f"({len(items)} objects). Nothing was loaded; try again later."
            )
        return ListPage(items, answer.fetched_at, last)

    @property
    def _host(self) -> str:
        address = urlsplit(self._settings.api_base)
        return f"{address.hostname}:{address.port}" if address.port else str(address.hostname)

    def _translated(self, error: stripe.StripeError, path: str) -> PipelineError:
        """The same failure in our words.

        Stripe's own text is not passed on where it may show parts of the key.
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
            one_object = path.count("/") > 2
            if error.code == "resource_missing" or (error.http_status == 404 and one_object):
                return ObjectGoneError(f"Stripe no longer has what {path} asked for. Try again.")
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


def _parsed(content: bytes) -> Any:
    """A body as Python values; ``ValueError`` where it is no JSON.

    Stripe passes on what a shop once sent, also text that is none: half of a surrogate pair, or
    bytes that are no UTF-8, become U+FFFD.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return _whole(json.loads(content.decode("utf-8", "replace")))


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return HALF_A_PAIR.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return value


def _date_of(headers: Mapping[str, str]) -> datetime:
    """The ``Date`` of an answer; our own clock where a proxy has taken it away."""
    try:
        date = parsedate_to_datetime(headers.get("Date", ""))
    except ValueError:
        date = datetime.now(UTC)
    return date.astimezone(UTC).replace(tzinfo=None)
