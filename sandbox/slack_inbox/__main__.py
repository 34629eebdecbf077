"""Run the inbox: ``python -m sandbox.slack_inbox --port 12180 --store FOLDER``."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from sandbox.slack_inbox import SlackInbox


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox.slack_inbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--host", default="127.0.0.1", help="to listen on (default 127.0.0.1)")
    parser.add_argument("--store", type=Path, required=True, help="folder of the messages")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        with SlackInbox(options.store, options.port, options.host) as inbox:
            logging.info("The Slack inbox is at %s, its webhook: %s", inbox.url, inbox.webhook_url)
            ended.wait()
    except OSError as error:
        problem = f"The Slack inbox cannot use port {options.port}: {error.strerror}."
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
