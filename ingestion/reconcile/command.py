"""The shell's side of reconciliation: ``python -m ingestion reconcile [SOURCE] [--repair]``."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ingestion.reconcile import RECONCILABLE, reconcile
from pipeline.errors import PassingError, PipelineError
from pipeline.masking import mask

EQUAL, DIFFERENT, TRY_AGAIN = 0, 1, 75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        choices=RECONCILABLE,
        help=f"one of {', '.join(RECONCILABLE)}; without it, all of them",
    )
    parser.add_argument(
        "--repair",
        action="store_true",
        help="read what differs again, and mark rows that the source has deleted",
    )


def run(source: str | None, repair: bool, say: Callable[[str], None] = print) -> int:
    """Reconcile one source, or all of them; 0 if source and warehouse agree now, 1 if not.

    With all of them, one that cannot be compared does not hide the others: its error is said in its
    place. Then 75 stands for passing errors only.
    """
    if source:
        return _reconciled(source, repair, say)
    codes = set()
    for name in RECONCILABLE:
        try:
            codes.add(_reconciled(name, repair, say))
        except PipelineError as error:
            say(mask(f"{name}: {error}"))
            codes.add(TRY_AGAIN if isinstance(error, PassingError) else DIFFERENT)
    return next((code for code in (DIFFERENT, TRY_AGAIN) if code in codes), EQUAL)


def _reconciled(name: str, repair: bool, say: Callable[[str], None]) -> int:
    report = reconcile(name, repair)
    say(str(report))
    return EQUAL if report.is_equal else DIFFERENT
