"""Run the inbox: ``python -m sandbox.slack_inbox --port 8555 --store FOLDER``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from sandbox.slack_inbox import SlackInbox


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.slack_inbox", description="Receives and shows Slack webhooks."
    )
    parser.add_argument(
        "--port", type=int, default=0, help="TCP port; 0 takes a free one (default)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)"
    )
    parser.add_argument(
        "--store", type=Path, required=True, help="folder in which the messages are kept"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    inbox = SlackInbox(arguments.store, arguments.port, arguments.host)
    try:
        inbox.start()
    except OSError as error:
        print(
            f"The Slack inbox cannot use port {arguments.port}: {error.strerror}.", file=sys.stderr
        )
        return 1
    logging.info("The Slack inbox is at %s, its webhook is %s", inbox.url, inbox.webhook_url)
    ended.wait()
    inbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
