"""The inbox's HTTP server: receives webhooks as Slack does, shows them, and fails on request."""

from __future__ import annotations

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from sandbox.slack_inbox.page import ASSETS, message_list, page
from sandbox.slack_inbox.rules import RefusedError, check
from sandbox.slack_inbox.store import MessageStore

LOG = logging.getLogger(__name__)
LARGEST_BODY = 1_000_000  # bytes
SECURITY = (
    "default-src 'none'; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'; "
    "img-src data:"
)
Answer = int | Literal["never"]


class Faults:
    """What the next webhooks get instead of ``ok``: an HTTP status, or no answer at all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Answer, int]] = []

    def plan(self, answer: Answer, times: int, retry_after: int) -> None:
        """The next ``times`` webhooks get ``answer``; ``retry_after`` (seconds) goes with a 429. 0
        times: forget all plans.
        """
        with self._lock:
            self._waiting = self._waiting + [(answer, retry_after)] * times if times else []

    def next(self) -> tuple[Answer, int] | None:
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None


class InboxServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], store: MessageStore) -> None:
        super().__init__(address, _Handler)
        self.store = store
        self.faults = Faults()
        self.stopping = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "SlackInbox"
    server: InboxServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._answer(200, page(self.server.store.all()), "text/html; charset=utf-8")
        elif path == "/_inbox/list":
            self._answer(200, message_list(self.server.store.all()), "text/html; charset=utf-8")
        elif path == "/messages":
            messages = [message.as_json() for message in self.server.store.all()]
            self._answer(200, json.dumps(messages, indent=1), "application/json")
        elif path in ASSETS:
            kind, content = ASSETS[path]
            self._answer(200, content, kind)
        else:
            self._answer(
                404, "There is nothing here. The page is at /, the messages are at /messages."
            )

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        body = self._body()
        if body is None:
            self._answer(413, "too large")
        elif path.startswith("/services/"):
            self._receive(body)
        elif path == "/_inbox/faults":
            self._plan(body)
        else:
            self._answer(404, "no_team")

    def _body(self) -> bytes | None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > LARGEST_BODY:
            self.close_connection = True
            return None
        return self.rfile.read(length)

    def _receive(self, body: bytes) -> None:
        fault = self.server.faults.next()
        if fault is not None:
            answer, retry_after = fault
            if answer == "never":
                self.server.stopping.wait()
                self.close_connection = True
            elif answer == 429:
                self._answer(429, "rate_limited", headers={"Retry-After": str(retry_after)})
            else:
                self._answer(answer, "rollup_error")
            return
        try:
            message = self.server.store.add(check(self._payload(body)))
        except RefusedError as refusal:
            LOG.warning("Refused a message as Slack would: %s.", refusal)
            self._answer(400, refusal.answer)
            return
        LOG.info("Received message %d.", message.id)
        self._answer(200, "ok")

    def _payload(self, body: bytes) -> Any:
        try:
            text = body.decode("utf-8")
            if "form-urlencoded" in (self.headers.get("Content-Type") or ""):
                text = parse_qs(text)["payload"][0]
            return json.loads(text)
        except (ValueError, KeyError):
            raise RefusedError("invalid_payload", "the body is no JSON in UTF-8") from None

    def _plan(self, body: bytes) -> None:
        try:
            plan = json.loads(body)
            answer, times, retry_after = (
                plan["answer"],
                int(plan.get("times", 1)),
                int(plan.get("retry_after", 1)),
            )
            if answer != "never" and not (isinstance(answer, int) and 400 <= answer < 600):
                raise ValueError(answer)
        except (ValueError, KeyError, TypeError):
            self._answer(
                400, 'Send {"answer": 429 | 500 | "never", "times": 1, "retry_after": 1} (seconds).'
            )
            return
        self.server.faults.plan(answer, times, retry_after)
        self._answer(200, "ok")

    def _answer(
        self,
        status: int,
        content: str | bytes,
        kind: str = "text/plain; charset=utf-8",
        headers: dict[str, str] | None = None,
    ) -> None:
        body = content.encode() if isinstance(content, str) else content
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", SECURITY)
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not per request: a webhook's path is a secret, and the page asks every two seconds."""
