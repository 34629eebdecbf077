"""The inbox's HTTP server: receives webhooks as Slack does, shows them, and fails on request."""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from sandbox.local_requests import refusal
from sandbox.slack_inbox.messages import Message, MessageStore
from sandbox.slack_inbox.page import page
from sandbox.slack_inbox.rules import RefusedError, check

LOG = logging.getLogger(__name__)
WEBHOOK_PATH = "/services/T00000000/B00000000/sandbox"
MOST_FAULTS = 1000  # planned at once
LONGEST_RETRY_AFTER = 3600  # seconds
SECURITY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"
PLAN = f'{{"answer": 429 | 500 | "never", "times": 0 to {MOST_FAULTS}, "retry_after": seconds}}'
Answer = int | Literal["never"]


class SlackInbox:
    """The inbox in a thread of this process. ``port`` 0: a free one.

    Messages are kept in ``store/messages.jsonl``. ``host`` is another address than the loopback one
    only where others cannot reach it, as in a container.
    """

    def __init__(self, store: Path, port: int = 0, host: str = "127.0.0.1") -> None:
        self._store = MessageStore(store)
        self._address = (host, port)
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Address of the page; known once started."""
        return f"http://127.0.0.1:{self._running.server_port}"

    @property
    def webhook_url(self) -> str:
        """What belongs into SLACK_WEBHOOK_URL."""
        return self.url + WEBHOOK_PATH

    def start(self) -> None:
        """Serve; ``OSError`` if the port is taken."""
        self._server = _Server(self._address, self._store)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._running.stopping.set()
        self._running.shutdown()
        self._running.server_close()
        self._server = None

    def messages(self) -> list[Message]:
        """All messages so far, oldest first."""
        return self._store.all()

    def fail(self, answer: Answer, times: int = 1, retry_after: int = 1) -> None:
        """The next webhooks get this HTTP status, or ``"never"`` an answer.

        ``retry_after`` (seconds) goes with a 429. 0 times: forget all plans.
        """
        self._running.fail(answer, times, retry_after)

    @property
    def _running(self) -> _Server:
        if self._server is None:
            raise RuntimeError("The Slack inbox is not started.")
        return self._server

    def __enter__(self) -> SlackInbox:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], store: MessageStore) -> None:
        super().__init__(address, _Handler)
        self.store = store
        self.faults: deque[tuple[Answer, int]] = deque(maxlen=MOST_FAULTS)
        self.stopping = threading.Event()

    def fail(self, answer: Answer, times: int, retry_after: int) -> None:
        if times == 0:
            self.faults.clear()
        self.faults.extend([(answer, retry_after)] * times)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "SlackInbox"
    timeout = 30  # seconds without a word from the other side
    server: _Server

    def do_GET(self) -> None:
        if refused := refusal("GET", self.headers):
            self._answer(*refused)
        elif self.path == "/":
            self._answer(200, page(self.server.store.all()), HTML)
        elif self.path == "/messages":
            messages = [message.as_json() for message in self.server.store.all()]
            self._answer(200, json.dumps(messages, indent=1), "application/json")
        else:
            self._answer(404, "The page is at /, the messages are at /messages.")

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if refused := refusal("POST", self.headers):
            self.close_connection = True  # its body is not read
            self._answer(*refused)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/services/"):
            self._receive(body)
        elif path == "/_inbox/faults":
            self._plan(body)
        else:
            self._answer(404, "no_team")

    def _receive(self, body: bytes) -> None:
        try:
            answer, retry_after = self.server.faults.popleft()
        except IndexError:
            self._keep(body)
            return
        if answer == "never":
            self.server.stopping.wait()
            self.close_connection = True
        elif answer == 429:
            self._answer(429, "rate_limited", headers={"Retry-After": str(retry_after)})
        else:
            self._answer(answer, "rollup_error")

    def _keep(self, body: bytes) -> None:
        try:
            message = self.server.store.add(check(self._payload(body)))
        except RefusedError as refused:
            LOG.warning("Refused a message as Slack would: %s.", refused)
            self._answer(400, refused.answer)
            return
        LOG.info("Received message %d.", message.id)
        self._answer(200, "ok")

    def _payload(self, body: bytes) -> Any:
        try:
            text = body.decode()
            if "form-urlencoded" in (self.headers.get("Content-Type") or ""):
                text = parse_qs(text)["payload"][0]
            return json.loads(text)
        except (ValueError, KeyError, RecursionError):
            raise RefusedError("invalid_payload", "the body is no JSON in UTF-8") from None

    def _plan(self, body: bytes) -> None:
        try:
            plan = json.loads(body)
            answer, times, after = plan["answer"], plan.get("times", 1), plan.get("retry_after", 1)
            if not (
                (answer == "never" or 400 <= answer < 600)
                and 0 <= times <= MOST_FAULTS
                and 0 <= after <= LONGEST_RETRY_AFTER
            ):
                raise ValueError(plan)
            self.server.fail(answer, int(times), int(after))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._answer(400, f"Send {PLAN}.")
            return
        self._answer(200, "ok")

    def _answer(
        self, status: int, text: str, kind: str = TEXT, headers: dict[str, str] | None = None
    ) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "Content-Security-Policy": SECURITY,
            "X-Content-Type-Options": "nosniff",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Not per request: a webhook's path is a secret, and the page asks every few seconds."""
