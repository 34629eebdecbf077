"""Breaks the code on purpose, one contract rule at a time: a test must notice each.

    make test-mutants                      all of them
    make test-mutants ARGS="older money"   those named

A mutant is one edit in a copy of the project, and the tests of ``make test`` that have to fail on
it. An edit that finds no place is an error: the code has moved, and its mutant has to follow.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
TESTS_FAILED = 1  # https://docs.pytest.org/en/stable/reference/exit-codes.html


@dataclass(frozen=True)
class Mutant:
    """One wrong edit. ``sound`` stands once in ``file``; ``tests`` are arguments of pytest."""

    name: str
    rule: str
    file: str
    sound: str
    broken: str
    tests: str


MUTANTS = (
    Mutant(
        "gate",
        "3: dbt waits for the load records of all six sources",
        "pipeline/gate.py",
        "if source.name not in loaded]",
        "if source.name not in loaded and source.kind != 'csv']",
        "tests/dags/test_days_and_announcements.py",
    ),
    Mutant(
        "older",
        "7: an older version never replaces a newer one",
        "warehouse/merge.py",
        "{one}.{version} > {other}.{version}, false)",
        "{one}.{version} <> {other}.{version}, false)",
        "tests/warehouse/test_warehouse.py -k duckdb",
    ),
    Mutant(
        "watermark",
        "8: the watermark never passes a transaction that is open in the source",
        "ingestion/postgres/window.py",
        "            marks.append(self.oldest_open)",
        "            pass",
        "tests/ingestion/test_postgres_windows.py",
    ),
    Mutant(
        "record",
        "9: rows and load record commit together",
        "warehouse/duckdb/warehouse.py",
        """                session.execute("begin")
                create_record_tables(session)
                yield session
                session.execute("commit")""",
        """                create_record_tables(session)
                yield session""",
        "tests/warehouse/test_kill.py",
    ),
    Mutant(
        "money",
        "11: money is exact from the source on",
        "ingestion/stripe_api/money.py",
        "return 0 if lower in ZERO_DECIMAL else",
        "return 2 if lower in ZERO_DECIMAL else",
        "tests/ingestion/test_stripe_load.py",
    ),
    Mutant(
        "threshold",
        "13: over the threshold nothing loads",
        "pipeline/rejects.py",
        "if rejected > ratio * total:",
        "if rejected > total:",
        "tests/ingestion/test_csv_load.py",
    ),
    Mutant(
        "retry-after",
        "14: Stripe's Retry-After is respected",
        "ingestion/stripe_api/transport.py",
        "wait = policy.get_backoff_time() if asked is None else asked",
        "wait = policy.get_backoff_time()",
        "tests/ingestion/test_stripe_load.py",
    ),
    Mutant(
        "moved",
        "14: a refund is money that moved",
        "dbt_ecommerce/models/intermediate/int_refunds_matched.sql",
        "when touched_balance or",
        "when amount_succeeded >= 0 or",
        "tests/transform/test_stripe_morning.py",
    ),
    Mutant(
        "one-account",
        "14: one account, one mode",
        "ingestion/stripe_api/identity.py",
        "if not any(_is_known(api, str(charge_id)) for charge_id, _ in newest):",
        "if not newest:",
        "tests/ingestion/test_stripe_load.py",
    ),
    Mutant(
        "promised",
        "15: a page that promises more ends no list",
        "ingestion/stripe_api/client.py",
        'if not last or last == parameters.get("starting_after"):',
        "if not parameters:",
        "tests/ingestion/test_stripe_load.py",
    ),
    Mutant(
        "seen",
        "15a: a model has seen no more than the least of its parents",
        "dbt_ecommerce/macros/state.sql",
        "'seen_until': seen | min})",
        "'seen_until': seen | max})",
        "tests/dbt/test_unlucky_days.py",
    ),
    Mutant(
        "tested",
        "15b: only marts that have passed their tests are published",
        "warehouse/publication.py",
        "if tests is None or not tests.succeeded or",
        "if tests is None or",
        "tests/transform/test_publication.py",
    ),
    Mutant(
        "once",
        "16: no alert is sent twice",
        "alerting/slack.py",
        "        if not store.claim(alert):",
        "        if not store.claim(alert) and not alert:",
        "tests/alerting/test_delivery.py",
    ),
    Mutant(
        "permanent",
        "17: a permanent error is not retried",
        "alerting/policy.py",
        "action=RetryAction.FAIL",
        "action=RetryAction.RETRY",
        "tests/alerting/test_policy.py",
    ),
    Mutant(
        "secrets",
        "20: no secret reaches an alert",
        "pipeline/masking.py",
        "            text = text.replace(form, MASK)",
        "            pass",
        "tests/pipeline",
    ),
)


def main(arguments: list[str]) -> int:
    """Exit code 0 if every mutant was noticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("names", nargs="*", help=", ".join(mutant.name for mutant in MUTANTS))
    names = parser.parse_args(arguments).names
    if unknown := set(names) - {mutant.name for mutant in MUTANTS}:
        parser.error(f"There is no mutant {', '.join(sorted(unknown))}.")
    survived = []
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copy = Path(folder)
        _copy_project(copy)
        for mutant in MUTANTS:
            if names and mutant.name not in names:
                continue
            began = time.monotonic()
            noticed = _is_noticed(mutant, copy)
            survived += [] if noticed else [mutant.name]
            print(
                f"{'noticed ' if noticed else 'SURVIVED'} {mutant.name:12} rule {mutant.rule} "
                f"({time.monotonic() - began:.0f} s)",
                flush=True,
            )
    if survived:
        print(f"No test noticed: {', '.join(survived)}.")
    return 1 if survived else 0


def _copy_project(copy: Path) -> None:
    """What is tracked or about to be."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    found = subprocess.run(listed, cwd=PROJECT, capture_output=True, check=True, text=True).stdout
    for name in found.split("\0"):
        if name and (PROJECT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, copy / name)


def _is_noticed(mutant: Mutant, copy: Path) -> bool:
    file = copy / mutant.file
    sound = file.read_text()
    if sound.count(mutant.sound) != 1:
        raise SystemExit(f"{mutant.name}: its text stands {sound.count(mutant.sound)} times.")
    file.write_text(sound.replace(mutant.sound, mutant.broken))
    try:
        command = [sys.executable, "-m", "pytest", "-q", "-x", *mutant.tests.split()]
        done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    finally:
        file.write_text(sound)
    if done.returncode not in (0, TESTS_FAILED):
        raise SystemExit(f"{mutant.name}: the tests did not run.\n{done.stdout}{done.stderr}")
    return done.returncode == TESTS_FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
