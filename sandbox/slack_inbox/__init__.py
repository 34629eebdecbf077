"""A Slack inbox for the laptop: takes incoming webhooks, refuses what Slack refuses, keeps and
shows the rest.

with SlackInbox(store=folder) as inbox:
    ...                             # send to inbox.webhook_url, look at inbox.url
    inbox.messages()                # oldest first
    inbox.fail(429, retry_after=1)  # the next webhook gets 429
"""

from __future__ import annotations

import threading
from pathlib import Path
from types import TracebackType

from sandbox.slack_inbox.server import Answer, InboxServer
from sandbox.slack_inbox.store import Message, MessageStore

__all__ = ["Message", "SlackInbox"]

WEBHOOK_PATH = "/services/T00000000/B00000000/sandbox"


class SlackInbox:
    """The inbox in a thread of this process. ``port`` 0: a free one. Messages are kept in
    ``store/messages.jsonl``.

    ``host``: another address than the loopback one only where others cannot reach it, as in a
    container.
    """

    def __init__(self, store: Path, port: int = 0, host: str = "127.0.0.1") -> None:
        self._store = MessageStore(store)
        self._port = port
        self._host = host
        self._server: InboxServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the page; known once started."""
        if self._server is None:
            raise RuntimeError("The Slack inbox is not started.")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def webhook_url(self) -> str:
        """What belongs into SLACK_WEBHOOK_URL."""
        return self.url + WEBHOOK_PATH

    def start(self) -> None:
        """Serve; ``OSError`` if the port is taken."""
        if self._server is not None:
            return
        self._server = InboxServer((self._host, self._port), self._store)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self._server = self._thread = None

    def messages(self) -> list[Message]:
        """All messages so far, oldest first."""
        return self._store.all()

    def fail(self, answer: Answer, times: int = 1, retry_after: int = 1) -> None:
        """The next ``times`` webhooks get this HTTP status, or ``"never"`` an answer;
        ``retry_after`` is in seconds.
        """
        if self._server is None:
            raise RuntimeError("The Slack inbox is not started.")
        self._server.faults.plan(answer, times, retry_after)

    def __enter__(self) -> SlackInbox:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
