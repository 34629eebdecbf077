"""The transformation from a shell: ``python -m transform marts --day 2026-11-22``.

``python -m transform dbt build --select fct_orders+`` runs dbt itself, in a place of one's own.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from pipeline.days import current_day, parse_day, past_day
from pipeline.errors import PipelineError
from pipeline.masking import mask
from transform import (
    publish_marts,
    read_publication,
    read_published,
    restatements,
    rollback,
    run_layer,
    source_freshness,
    test_all,
    write_docs,
)
from transform.dev import prepare
from transform.project import project
from transform.results import Layer

LAYERS: tuple[Layer, ...] = get_args(Layer)
STEPS = (*LAYERS, "test", "publish", "docs")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m transform", description="dbt layers, tests and publication of one day."
    )
    parser.add_argument(
        "--verbose", action="store_true", help="show a traceback when something fails"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    helps = {
        "staging": "build seeds and staging views",
        "intermediate": "build the intermediate models",
        "marts": "build snapshots and marts",
        "test": "run every test",
        "publish": "publish the tested marts",
        "docs": "write the documentation of models and columns as a web page",
        "all": "the six of them, one after the other",
        "freshness": "check how old the raw tables are",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("--day", help="YYYY-MM-DD, default: the current day")
        if name in (*LAYERS, "all"):
            command.add_argument(
                "--full-refresh",
                action="store_true",
                help="build incremental models whole, after their SQL changed",
            )
    dev = commands.add_parser(
        "dev", help="set up one's own place to try dbt in; prints what a shell needs for plain dbt"
    )
    dev.add_argument("--fresh", action="store_true", help="throw away what was built there")
    dbt = commands.add_parser("dbt", help="run dbt there: dbt build --select fct_orders+")
    dbt.add_argument("arguments", nargs=argparse.REMAINDER)
    why = commands.add_parser("why", help="say why the figures of a day have changed since")
    why.add_argument("day", help="YYYY-MM-DD, as in the column order_date")
    as_of = commands.add_parser("as-of", help="show a day's figures as a publication had them")
    as_of.add_argument("day", help="YYYY-MM-DD")
    as_of.add_argument("publication", help="its id (see `published`)")
    back = commands.add_parser("rollback", help="bring the publication before the current one back")
    back.add_argument("--to", metavar="ID", help="a publication's id instead (see `published`)")
    published = commands.add_parser(
        "published", help="show the current publication, or the rows of a query on it"
    )
    published.add_argument("sql", nargs="?")
    return parser.parse_args(arguments)


def _step(name: str, day_text: str | None, full_refresh: bool) -> Any:
    day = past_day(day_text) if day_text else current_day()
    if name == "test":
        return test_all(day)
    if name == "publish":
        return publish_marts(day)
    if name == "docs":
        return write_docs()
    if name == "freshness":
        return source_freshness(day)
    return run_layer(name, day, full_refresh=full_refresh)  # type: ignore[arg-type]


def _run_dbt(arguments: Sequence[str]) -> None:
    """Become dbt, with the environment of one's own place."""
    here = project()
    dbt = str(Path(sys.executable).with_name("dbt"))
    os.execve(dbt, [dbt, *arguments], {**os.environ, **here.environment, **prepare(here)})  # noqa: S606


def _run(options: argparse.Namespace) -> None:
    if options.command == "dbt":
        _run_dbt(options.arguments)
    if options.command == "dev":
        for name, value in prepare(project(), fresh=options.fresh).items():
            print(f"export {name}={shlex.quote(value)}")
        return
    if options.command == "why":
        told = restatements.sentences(restatements.of_day(read_published, parse_day(options.day)))
        print("\n".join(told) or f"No figure of {options.day} has changed since it was settled.")
    elif options.command == "as-of":
        figures = restatements.as_of(read_published, parse_day(options.day), options.publication)
        for measure, figure in figures.items():
            print(f"{measure}\t{figure:,.2f}")
    elif options.command == "rollback":
        print(json.dumps(rollback(options.to).as_dict(), indent=2))
    elif options.command == "published" and options.sql:
        for row in read_published(options.sql):
            print(*row, sep="\t")
    elif options.command == "published":
        publication = read_publication()
        print(
            json.dumps(publication.as_dict(), indent=2)
            if publication
            else "Nothing has been published yet."
        )
    else:
        for name in STEPS if options.command == "all" else (options.command,):
            _step(name, options.day, getattr(options, "full_refresh", False))


def main(arguments: Sequence[str] | None = None) -> int:
    options = _arguments(arguments)
    os.umask(0o077)  # the warehouse is for its owner only
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr
    )
    try:
        _run(options)
    except PipelineError as error:
        if options.verbose:
            raise
        print(mask(str(error)), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
