"""The shell's side of reconciliation: ``python -m ingestion reconcile [SOURCE] [--repair]``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ingestion.errors import MissingInputError
from ingestion.reconcile import RECONCILABLE, reconcile

EQUAL, DIFFERENT = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        choices=RECONCILABLE,
        help=f"one of {', '.join(RECONCILABLE)}; without it, all of them",
    )
    parser.add_argument(
        "--repair", action="store_true", help="read what differs again, and mark rows that the source has deleted"
    )


def run(source: str | None, repair: bool, say: Callable[[str], None] = print) -> int:
    """Reconcile one source, or all that were loaded; 0 if source and warehouse agree now, 1 if not."""
    if source:
        report = reconcile(source, repair)
        say(str(report))
        return EQUAL if report.is_equal else DIFFERENT
    codes = set()
    for name in RECONCILABLE:
        try:
            report = reconcile(name, repair)
        except MissingInputError as error:
            say(str(error))
            codes.add(DIFFERENT)
            continue
        say(str(report))
        codes.add(EQUAL if report.is_equal else DIFFERENT)
    return max(codes)
