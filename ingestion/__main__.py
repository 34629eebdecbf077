"""The shell of ingestion.

``python -m ingestion orders --day 2026-11-22`` loads one day of one source, ``all`` loads the six
of them, ``reconcile [SOURCE] [--repair]`` compares what was loaded with its source, ``doctor``
checks every connection and says what to do about those that fail.

Exit codes: 0 loaded, equal, or healthy; 1 somebody has to act first, or different; 2 the command
was not understood; 75 (EX_TEMPFAIL of sysexits.h) worth another try in some minutes; 130
interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial

from ingestion.load import load
from ingestion.reconcile import reconcile
from pipeline.days import current_day, past_day
from pipeline.errors import PassingError, PipelineError
from pipeline.masking import mask
from pipeline.sources import SOURCES
from warehouse import open_warehouse

DONE, ACT_FIRST, TRY_AGAIN, INTERRUPTED = 0, 1, 75, 130
NAMES = [source.name for source in SOURCES]


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

    def command(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        return commands.add_parser(name, parents=[*parents, common], help=text, description=text)

    for source in SOURCES:
        command(source.name, source.description, day)
    command("all", "All six, one after the other; one that fails does not stop the rest.", day)
    reconciling = command(
        "reconcile", "Compare a source with what was loaded of it, row by row where they differ."
    )
    reconciling.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        choices=NAMES,
        help=f"one of {', '.join(NAMES)}; without it, all of them",
    )
    reconciling.add_argument(
        "--repair",
        action="store_true",
        help="read what differs again, and mark rows that the source has deleted",
    )
    going_without = command(
        "go-without",
        "Load the marketing files that are there, whatever is late: the run that waits for the "
        "others announces the day then.",
    )
    going_without.add_argument("--day", metavar="YYYY-MM-DD", help="default: the latest one")
    command(
        "doctor",
        "Check every connection with its rights: what works, what fails, what to do. Loads "
        "nothing, posts nothing.",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Results go to standard output, a line per source; an error is one sentence on standard error.
    """
    options = _parser().parse_args(arguments)
    os.umask(0o077)  # the warehouse is for its owner only
    logging.basicConfig(
        level=logging.INFO if options.verbose else logging.WARNING,
        format="%(levelname)s %(name)s: %(message)s",
    )
    if options.command == "doctor":
        from ingestion.doctor import run as examine

        return examine(partial(print, flush=True))
    if options.command == "reconcile":
        names = [options.source] if options.source else NAMES
        return _each(names, "reconcile", partial(_reconcile, options.repair), options.verbose)
    try:
        day = past_day(options.day) if options.day else current_day()
    except PipelineError as error:
        print(error, file=sys.stderr)
        return ACT_FIRST
    if options.command == "go-without":
        return _each(["marketing"], str(day), partial(_go_without, day), options.verbose)
    names = NAMES if options.command == "all" else [options.command]
    return _each(names, str(day), partial(_load, day, options.full_refresh), options.verbose)


def _load(day: date, full_refresh: bool, name: str) -> int:
    print(load(name, day, full_refresh=full_refresh).summary, flush=True)
    return DONE


def _go_without(day: date, name: str) -> int:
    from ingestion.csv_uploads.load import load_what_is_there

    print(load_what_is_there(day, open_warehouse()).summary, flush=True)
    return DONE


def _reconcile(repair: bool, name: str) -> int:
    report = reconcile(name, repair)
    print(report, flush=True)
    return DONE if report.is_equal else ACT_FIRST


def _each(names: Sequence[str], what: str, run: Callable[[str], int], verbose: bool) -> int:
    """Run something for each source; one that fails does not stop the rest."""
    codes = set()
    for name in names:
        try:
            codes.add(run(name))
        except PipelineError as error:
            _explain(f"{name} {what}: {error}", verbose)
            codes.add(TRY_AGAIN if isinstance(error, PassingError) else ACT_FIRST)
        except Exception as error:
            hint = "" if verbose else " Run it with --verbose to see where."
            said = f"nobody foresaw this: {type(error).__name__}: {error}.{hint}"
            _explain(f"{name} {what}: {said}", verbose)
            codes.add(ACT_FIRST)
    return next((code for code in (ACT_FIRST, TRY_AGAIN) if code in codes), DONE)


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
