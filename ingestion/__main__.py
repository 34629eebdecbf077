"""The shell: ``python -m ingestion orders --day 2026-11-22`` loads one day of one source, ``all``
loads the six of them, ``python -m ingestion reconcile [SOURCE] [--repair]`` compares what was
loaded with its source, ``python -m ingestion doctor`` checks every connection and says what to do
about those that fail.

Exit codes: 0 loaded, equal, or healthy; 1 somebody has to act first, or different; 2 the command
was not understood; 75 (EX_TEMPFAIL of sysexits.h) worth another try in some minutes; 130
interrupted.
"""

from __future__ import annotations

import argparse
import logging
import sys
import traceback
from collections.abc import Sequence
from datetime import date

from ingestion.load import load, summary
from ingestion.reconcile.command import add_arguments as add_reconcile_arguments
from ingestion.reconcile.command import run as reconcile
from pipeline.days import current_day, past_day
from pipeline.errors import PassingError, PipelineError
from pipeline.masking import mask
from pipeline.sources import SOURCES

LOADED, ACT_FIRST, TRY_AGAIN, INTERRUPTED = 0, 1, 75, 130


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--verbose",
        action="store_true",
        help="log what happens, and show the traceback of an error",
    )
    day = argparse.ArgumentParser(add_help=False)
    day.add_argument(
        "--day",
        metavar="YYYY-MM-DD",
        help="the day to load (default: the latest one, which begins at 06:00 UTC)",
    )
    day.add_argument(
        "--full-refresh", action="store_true", help="read the whole source again and swap it in"
    )

    parser = argparse.ArgumentParser(
        prog="python -m ingestion", description="Load one day of one source into the warehouse."
    )
    commands = parser.add_subparsers(dest="command", metavar="SOURCE", required=True)
    for source in SOURCES:
        commands.add_parser(
            source.name,
            parents=[day, common],
            help=source.description,
            description=source.description,
        )
    commands.add_parser(
        "all",
        parents=[day, common],
        help="All six, one after the other; one that fails does not stop the rest.",
    )
    reconciling = "Compare a source with what was loaded of it, row by row where they differ."
    add_reconcile_arguments(
        commands.add_parser(
            "reconcile", parents=[common], help=reconciling, description=reconciling
        )
    )
    examining = "Check every connection with its rights: what works, what fails, what to do. Loads nothing, posts nothing."
    commands.add_parser("doctor", parents=[common], help=examining, description=examining)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; results go to standard output, one line per source, errors as one sentence
    to standard error.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    if options.command == "doctor":
        from ingestion.doctor import run as examine

        return examine(lambda text: print(text, flush=True))
    if options.command == "reconcile":
        return _reconcile(options.source, options.repair, options.verbose)
    try:
        day = past_day(options.day) if options.day else current_day()
    except PipelineError as error:
        print(error, file=sys.stderr)
        return ACT_FIRST
    names = [source.name for source in SOURCES] if options.command == "all" else [options.command]
    codes = {_load_one(name, day, options.full_refresh, options.verbose) for name in names}
    return next((code for code in (ACT_FIRST, TRY_AGAIN) if code in codes), LOADED)


def _load_one(name: str, day: date, full_refresh: bool, verbose: bool) -> int:
    try:
        print(summary(load(name, day, full_refresh=full_refresh)), flush=True)
    except PipelineError as error:
        _explain(f"{name} {day}: {error}", verbose)
        return TRY_AGAIN if isinstance(error, PassingError) else ACT_FIRST
    except Exception as error:
        hint = "" if verbose else " Run it with --verbose to see where."
        _explain(
            f"{name} {day}: nobody foresaw this: {type(error).__name__}: {error}.{hint}", verbose
        )
        return ACT_FIRST
    return LOADED


def _reconcile(name: str | None, repair: bool, verbose: bool) -> int:
    try:
        return reconcile(name, repair)
    except PipelineError as error:
        _explain(f"reconcile: {error}", verbose)
        return TRY_AGAIN if isinstance(error, PassingError) else ACT_FIRST


def _explain(sentence: str, verbose: bool) -> None:
    text = f"{traceback.format_exc()}{sentence}" if verbose else sentence
    print(mask(text), file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print(
            "Interrupted. A load that had not committed has left nothing behind.", file=sys.stderr
        )
        sys.exit(INTERRUPTED)
