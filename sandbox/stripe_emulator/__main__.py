"""``python -m sandbox.stripe_emulator``: serve until SIGTERM or Ctrl-C."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from sandbox.stripe_emulator import StripeEmulator


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox.stripe_emulator", description="Serve a Stripe emulator."
    )
    parser.add_argument("--port", type=int, default=0, help="0 (default) takes a free one")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)"
    )
    parser.add_argument(
        "--store", type=Path, help="folder that keeps the objects; without it they live in memory"
    )
    arguments = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    with StripeEmulator(arguments.port, arguments.store, host=arguments.host) as emulator:
        print(f"Stripe emulator on {emulator.url}", flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
