"""The HTTP session under the Stripe client: each try is rate limited, and retried whole or not."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, SSLError, Timeout
from requests.utils import get_environ_proxies
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry

logger = logging.getLogger(__name__)

RETRIED = frozenset({409, 429, 500, 502, 503, 504})
READ_SIZE = 2**20
LONGEST_WAIT = 60.0  # seconds; a longer Retry-After is left to whoever runs the load


class RateLimit:
    """Lets requests of all threads pass at an even pace; holds all back when Stripe asks."""

    def __init__(self, requests_per_second: float) -> None:
        self._interval = 1 / requests_per_second
        self._lock = threading.Lock()
        self._next = 0.0

    def wait(self) -> None:
        with self._lock:
            turn = max(time.monotonic(), self._next)
            self._next = turn + self._interval
        delay = turn - time.monotonic()
        if delay > 0:
            time.sleep(delay)

    def hold(self, seconds: float) -> None:
        """Nobody passes for that long."""
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)


class PatientAdapter(HTTPAdapter):
    """Retries refused, failed and broken-off requests, as urllib3's ``Retry`` counts and waits.

    urllib3 itself would retry up to the head of an answer only: reading the body here lets a
    connection that is cut in its middle count as a failed try, too. When no try is left, the last
    answer is returned or the last error raised.
    """

    def __init__(self, limit: RateLimit, *, retries: int, connections: int) -> None:
        super().__init__(pool_maxsize=connections, max_retries=Retry(0, read=False))
        self._limit = limit
        self._policy = Retry(
            total=retries,
            status_forcelist=RETRIED,
            respect_retry_after_header=True,
            backoff_factor=0.25,
            backoff_jitter=0.25,
            backoff_max=8,
        )

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        policy = self._policy
        while True:
            self._limit.wait()
            response: requests.Response | None = None
            failure: requests.ConnectionError | ChunkedEncodingError | Timeout | None = None
            try:
                response = super().send(request, True, timeout, verify, cert, proxies)
                # By itself, requests reads 10 KB at a time.
                response._content = b"".join(response.iter_content(READ_SIZE))
            except SSLError:
                raise
            except (requests.ConnectionError, ChunkedEncodingError, Timeout) as error:
                response, failure = None, error
            if response is not None and response.status_code not in RETRIED:
                return response
            raw = None if response is None else response.raw
            asked = None if raw is None else policy.get_retry_after(raw)
            if response is not None and asked is not None and asked > LONGEST_WAIT:
                return response
            try:
                policy = policy.increment(
                    request.method, request.path_url, response=raw, error=failure
                )
            except MaxRetryError:
                if response is None:
                    assert failure is not None
                    raise failure from None
                return response
            wait = policy.get_backoff_time() if asked is None else asked
            reason = (
                f"answered {response.status_code}"
                if response is not None
                else f"broke off ({type(failure).__name__})"
            )
            logger.info(
                "Stripe %s on %s; trying again in %.1f s.",
                reason,
                request.path_url.split("?")[0],
                wait,
            )
            if response is not None and response.status_code == 429:
                self._limit.hold(wait)
            else:
                time.sleep(wait)


def session(base: str, limit: RateLimit, *, retries: int, connections: int) -> requests.Session:
    """A session with a ``PatientAdapter``, through the proxy that the environment names."""
    made = requests.Session()
    adapter = PatientAdapter(limit, retries=retries, connections=connections)
    made.mount("https://", adapter)
    made.mount("http://", adapter)
    made.proxies.update(get_environ_proxies(base))
    made.trust_env = False  # read once, above; and no .netrc may replace the API key
    return made
