"""`python -m dashboard --port 8501`: serves the business view.

Settings as for everything else: environment or `.env`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

APP = Path(__file__).resolve().with_name("app.py")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m dashboard", description=__doc__)
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument(
        "--address", default="127.0.0.1", help="0.0.0.0 in a container (default: this machine only)"
    )
    options = parser.parse_args()
    # Streamlit puts the folder of app.py on the path, not the project; a bound port is an error,
    # not a reason for another.
    path = os.pathsep.join(filter(None, [str(APP.parent.parent), os.environ.get("PYTHONPATH")]))
    arguments = [
        "run",
        str(APP),
        "--server.port",
        str(options.port),
        "--server.address",
        options.address,
    ]
    command = [sys.executable, "-m", "streamlit", *arguments]
    os.execve(sys.executable, command, {**os.environ, "PYTHONPATH": path})  # noqa: S606


if __name__ == "__main__":
    main()
