"""Runs `airflow` commands one after the other in one process: each would import Airflow anew, which
takes longer than most do.

python -m sandbox.airflow_commands '[["db", "migrate"], ["pools", "set", "publish", "1",
"announcements"]]'
"""

from __future__ import annotations

import json
import sys


def main(commands: list[list[str]]) -> None:
    from airflow.__main__ import main as airflow

    for arguments in commands:
        sys.argv = ["airflow", *arguments]
        airflow()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
