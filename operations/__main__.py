"""Load days again, or for the first time.

``python -m operations backfill orders --from 2026-11-01 --to 2026-11-05``

Works on any deployment whose REST API it reaches (``AIRFLOW_API_URL`` and who to sign in as, see
`.env.example`); beside a running sandbox there is nothing to set. Exit codes: 0 everything loaded,
and built where all six sources are there; 1 something failed; 2 refused; 130 interrupted, the
back-fill goes on in Airflow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import requests

from operations.airflow_api import AirflowApi, AirflowApiError
from operations.backfill import ALL, BackfillRefused, asked_range, asked_sources, start
from operations.following import Following
from operations.settings import AirflowApiSettings
from pipeline.errors import SettingsError
from pipeline.settings import settings

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130
DAYS_AT_A_TIME = 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m operations", description="What people do to a running deployment."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    backfill = commands.add_parser(
        "backfill",
        help="load a range of days, for one source or all six; dbt follows day by day",
        description="Load a range of days, for one source or all six, on a running Airflow. Days "
        "that were loaded before are loaded again; a load changes nothing that is right already. "
        "dbt runs for each day that all six sources have loaded, and once more for a day that was "
        "built before.",
        epilog="AIRFLOW_API_URL, AIRFLOW_API_USER and AIRFLOW_API_PASSWORD (or AIRFLOW_API_TOKEN) "
        "say which Airflow; beside a running sandbox there is nothing to set.",
    )
    backfill.add_argument("source", help=f"orders, customers, ... or {ALL} for the six of them")
    backfill.add_argument(
        "--from", dest="first", required=True, metavar="YYYY-MM-DD", help="the first day"
    )
    backfill.add_argument(
        "--to",
        dest="last",
        metavar="YYYY-MM-DD",
        help="the last day, included (default: the first)",
    )
    backfill.add_argument("--backwards", action="store_true", help="the last day first")
    backfill.add_argument(
        "--days-at-a-time",
        type=_at_least_one,
        default=DAYS_AT_A_TIME,
        metavar="N",
        help=f"days of one source that are loaded side by side (default {DAYS_AT_A_TIME})",
    )
    backfill.add_argument(
        "--no-wait", action="store_true", help="start it, say where to watch it, and leave"
    )
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def connect() -> AirflowApi:
    """Airflow's REST API as the settings say; ``BackfillRefused`` if nobody is set to sign in."""
    found = settings(AirflowApiSettings)
    token = found.token.get_secret_value() if found.token else None
    if not token and not (found.user and found.password):
        raise BackfillRefused(
            "Who is to sign in to Airflow? Set AIRFLOW_API_URL with AIRFLOW_API_USER and "
            "AIRFLOW_API_PASSWORD, or "
            "AIRFLOW_API_TOKEN, in the environment or in .env. Beside a running sandbox (make "
            "demo) there is nothing to set."
        )
    password = found.password.get_secret_value() if found.password else ""
    return AirflowApi(found.url.rstrip("/"), found.user or "", password, token)


def backfill(options: argparse.Namespace) -> int:
    sources, days = asked_sources(options.source), asked_range(options.first, options.last)
    api = connect()
    started = start(
        api, sources, days, backwards=options.backwards, days_at_a_time=options.days_at_a_time
    )
    names = ", ".join(source.name for source in sources)
    _say(
        f"Back-fill of {names}, {days}, {'last' if options.backwards else 'first'} day first, has "
        "started."
    )
    for source in sources:
        _say(f"  {api.url}/dags/{source.dag_id}/backfills")
    if options.no_wait:
        _say(f"Watch it there; dbt follows day by day: {api.url}/dags/ecommerce_dbt")
        return DONE
    _say(
        "Ctrl-C stops watching, not the back-fill; that is cancelled in Airflow, on the pages "
        "above."
    )
    outcomes = Following(api, days, started, _say).watch()
    for outcome in outcomes:
        _say(str(outcome))
    return FAILED if any(outcome.failed for outcome in outcomes) else DONE


def _say(sentence: str) -> None:
    print(sentence, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return backfill(options)
    except (BackfillRefused, SettingsError, AirflowApiError) as error:
        print(error, file=sys.stderr)
    except requests.RequestException as error:
        print(
            f"Airflow did not answer on {settings(AirflowApiSettings).url}: "
            f"{type(error).__name__}.",
            file=sys.stderr,
        )
    return REFUSED


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("Nobody watches any more; the back-fill goes on in Airflow.", file=sys.stderr)
        sys.exit(INTERRUPTED)
