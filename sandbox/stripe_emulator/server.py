"""The emulator as an HTTP server in threads of this process: keep-alive, faults on request."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from sandbox.local_requests import refusal
from sandbox.stripe_emulator.account import Account, StripeError
from sandbox.stripe_emulator.api import Api
from sandbox.stripe_emulator.faults import Fault, Faults
from sandbox.stripe_emulator.objects import API_VERSION, new_id
from sandbox.stripe_emulator.store import Object, Store, encode

LARGEST_BODY = 64 * 2**20  # bytes: the demo shop imports 5,000 objects at once


class StripeEmulator:
    """A running emulator between ``start()`` and ``stop()``, or inside a ``with`` block.

    Args:
        port: 0 takes a free one.
        store: folder that keeps the objects; None keeps them in memory only.
        api_key: the only key let in; None lets in every secret key of the mode: ``sk_test_``, or
            ``sk_live_`` with ``livemode``.
        now: the clock, in seconds since 1970; the ``Date`` of each answer tells it.
        livemode: whether it is the account's live mode, whose objects say so.
        host: another address than the loopback one only where others cannot reach it, as in a
            container.
    """

    def __init__(
        self,
        port: int = 0,
        store: Path | None = None,
        *,
        api_key: str | None = None,
        now: Callable[[], float] = time.time,
        livemode: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.faults = Faults()
        self.requests: deque[dict[str, Any]] = deque(maxlen=20_000)
        self.account = Account(Store(store), now, livemode=livemode)
        self.api = Api(self.account, api_key)
        self._server = _Server(self, (host, port))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="stripe-emulator", daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> StripeEmulator:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Close the port and every open connection; the store is complete."""
        if self._thread.is_alive():
            self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()
        self.account.store.close()

    def wait(self) -> None:
        """Until somebody else stops it."""
        self._thread.join()

    def import_objects(self, items: list[Object]) -> dict[str, int]:
        """The same as ``POST /_emulator/import``."""
        return self.account.import_objects(items)

    def add_fault(self, fault: Fault) -> None:
        """The same as ``POST /_emulator/faults``."""
        self.faults.add(fault)

    def request_counts(self) -> Counter[tuple[str, int]]:
        """How often each (path without query, status) was answered of late; status 0: no answer."""
        return Counter(
            (urlsplit(request["path"]).path, request["status"]) for request in list(self.requests)
        )

    def __enter__(self) -> StripeEmulator:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, emulator: StripeEmulator, address: tuple[str, int]) -> None:
        self.emulator = emulator
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of the server."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "StripeEmulator"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body leave in one packet

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The ``Date`` of an answer, by the emulator's clock."""
        return super().date_time_string(self.server.emulator.account.now())

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are kept in memory, not printed."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        if refused := refusal(self.command, self.headers, LARGEST_BODY):
            self.close_connection = True  # its body is not read
            self._send(refused[0], encode(StripeError(*refused).body()), {})
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/_emulator/"):
            self._control(urlsplit(self.path).path.removeprefix("/_emulator/"), body)
            return
        seen = {
            "at": time.time(),
            "method": self.command,
            "path": self.path,
            "status": 0,
            "fault": None,
        }
        self.server.emulator.requests.append(seen)
        fault = self.server.emulator.faults.next(self.path)
        if fault is not None:
            seen["fault"] = fault.kind
        if fault is not None and fault.kind == "timeout":
            time.sleep(fault.seconds)
            self.close_connection = True
            return
        status, answer, headers = (
            self._faulty(fault) if fault is not None and fault.kind != "cut" else self._answer(body)
        )
        cut = fault is not None and fault.kind == "cut"
        seen["status"] = 0 if cut else status
        self._send(status, answer, headers, cut=cut)

    def _answer(self, body: bytes) -> tuple[int, bytes, dict[str, str]]:
        api = self.server.emulator.api
        url = urlsplit(self.path)
        try:
            api.authorize(self.headers.get("Authorization", ""))
            key = self.headers.get("Idempotency-Key")
            return 200, api.answer(self.command, url.path, url.query, body.decode(), key), {}
        except StripeError as error:
            return error.status, encode(error.body()), {}
        except Exception as problem:
            traceback.print_exc()
            return (
                500,
                encode(
                    StripeError(500, f"The emulator has a defect: {problem!r}", "api_error").body()
                ),
                {},
            )

    def _faulty(self, fault: Fault) -> tuple[int, bytes, dict[str, str]]:
        status = int(fault.kind)
        headers = (
            {}
            if fault.retry_after is None or status == 500
            else {"Retry-After": f"{fault.retry_after:g}"}
        )
        if status == 429:
            error = StripeError(
                429, "Too many requests in a period of time.", "invalid_request_error", "rate_limit"
            )
        else:
            error = StripeError(status, "An unknown error occurred.", "api_error")
        return status, encode(error.body()), headers

    def _control(self, action: str, body: bytes) -> None:
        emulator = self.server.emulator
        try:
            match (self.command, action):
                case ("POST", "import"):
                    result: Any = emulator.import_objects(_lines(body))
                case ("POST", "faults"):
                    emulator.add_fault(Fault.from_json(json.loads(body)))
                    result = {}
                case ("DELETE", "faults"):
                    emulator.faults.clear()
                    result = {}
                case ("GET", "requests"):
                    result = list(emulator.requests)
                case ("GET", "health"):
                    result = {
                        kind: len(found)
                        for kind, found in emulator.account.store.collections.items()
                    }
                case _:
                    raise StripeError(
                        404, f"The emulator has no {self.command} /_emulator/{action}."
                    )
            self._send(200, encode(result), {})
        except StripeError as error:
            self._send(error.status, encode(error.body()), {})
        except (ValueError, TypeError) as problem:
            self._send(400, encode(StripeError(400, str(problem)).body()), {})

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Request-Id", new_id("req"))
        self.send_header("Stripe-Version", API_VERSION)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.wfile.flush()
        if cut:
            self.close_connection = True


def _lines(body: bytes) -> list[Object]:
    items = []
    for number, line in enumerate(body.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as problem:
            raise StripeError(400, f"Line {number} is not JSON: {problem}") from None
        if not isinstance(item, dict):
            raise StripeError(400, f"Line {number} is not a JSON object.")
        items.append(item)
    return items
