"""How many statements an ordinary day sends to Snowflake, beside the release before the rework.

    python -m benchmarks.snowflake_statements [--before 5d54376]

Both checkouts run the same two days of a small shop (sandbox, SCALE=0.001) against the double of
Snowflake that each of them tests with: the six loads, dbt's three layers and its tests. The first
day creates; the second is counted. The number does not grow with the shop. What the double cannot
run counts as far as it came: it sums decimals as floats, so a test of sums may fail, and it does
not narrow the type of a column, which stops the old ``dim_customers`` and what follows it, in
favour of the old release. Publication needs tests that passed, so it is left out.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.report import ratio

PROJECT = Path(__file__).resolve().parent.parent
BEFORE = "5d54376"  # the last commit whose incremental models followed a window
SCALE = 0.001
GOAL = 0.6


def _first(*places: str) -> Any:
    """The first of some ``module:name`` that this checkout has."""
    for place in places:
        module, _, name = place.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise SystemExit(f"None of {', '.join(places)} is in {Path.cwd()}.")


def count_here(folder: Path) -> dict[str, int]:
    """Statements of the second day by step, in the checkout that this process imports."""
    fake_account = _first(
        "tests.snowflake_double.server:fake_account", "tests.fake_snowflake:fake_account"
    )
    stack_class, layout = _first("sandbox.stack:Stack"), _first("sandbox.layout:Layout")
    open_shop, load = _first("sandbox.shop:open_shop"), _first("ingestion.load:load")
    current_day = _first("pipeline.days:current_day", "ingestion.days:current_day")
    upper_bound = _first("pipeline.days:upper_bound", "ingestion.days:upper_bound")
    sources = _first("pipeline.sources:SOURCES", "ingestion.sources:SOURCES")
    settings = _first("pipeline.settings:settings", "ingestion.settings:settings")
    read, account_names = (
        _first(f"infrastructure.snowflake.statements:{name}") for name in ("read", "Account")
    )
    databases = _first("infrastructure.snowflake.statements:FOLDER") / "02_databases.sql"
    run_layer, test_all = _first("transform:run_layer"), _first("transform:test_all")
    failed = _first("transform:TransformError")

    counted: dict[str, int] = {}
    with fake_account() as account:
        extra = {
            **account.variables,
            "SNOWFLAKE_STAGING_DIR": str(folder / "staged"),
            "DBT_THREADS": "1",
            "DBT_TARGET_PATH": str(folder / "target"),
            "DBT_LOG_PATH": str(folder / "logs"),
        }
        stack = stack_class(layout(folder / "sandbox"), extra_env=extra)
        _create(account, [one for one in read(databases, account_names()) if "create " in one[:7]])
        try:
            stack.start_stand_ins(lambda text: None)
            os.environ.update(stack.pipeline_settings())
            settings.cache_clear()
            days = (current_day() - timedelta(days=1), current_day())
            open_shop(*stack.shop_address, scale=SCALE, until=upper_bound(days[1]))
            for day in days:
                steps = [(f"load {one.name}", partial(load, one.name)) for one in sources]
                steps += [
                    (f"dbt {layer}", partial(run_layer, layer))
                    for layer in ("staging", "intermediate", "marts")
                ]
                for name, step in [*steps, ("dbt tests", test_all)]:
                    account.statements.clear()
                    with suppress(failed):
                        step(day)
                    counted[name] = len(account.statements)
        finally:
            stack.stop(lambda text: None)
    return counted


def _create(account: Any, statements: list[str]) -> None:
    import snowflake.connector

    where = {"host": "127.0.0.1", "port": account.port, "protocol": "http"}
    with snowflake.connector.connect(
        account="fakesnow", user="x", password="x", **where
    ) as connection:
        for statement in statements:
            connection.cursor().execute(statement)


def count(checkout: Path) -> dict[str, int]:
    """``count_here`` in a process of its own, whose modules are those of the checkout."""
    code = (
        "import json, pathlib, runpy, sys\n"
        f"sys.path.insert(0, {str(checkout)!r})\n"
        f"count = runpy.run_path({str(Path(__file__).resolve())!r})['count_here']\n"
        "print(json.dumps(count(pathlib.Path(sys.argv[1]))))"
    )
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, folder],
            cwd=checkout,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            capture_output=True,
            text=True,
        )
    if done.returncode:
        raise SystemExit(f"The day of {checkout} failed:\n{done.stdout}{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", default=BEFORE)
    options = parser.parse_args()
    git = ("git", "-C", str(PROJECT), "worktree")
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "before"
        subprocess.run([*git, "add", "--detach", str(checkout), options.before], check=True)
        try:
            before = count(checkout)
        finally:
            subprocess.run([*git, "remove", "--force", str(checkout)], check=True)
    now = count(PROJECT)
    print(f"{'statements of':22} {options.before:>8} {'now':>8}")
    for step in dict.fromkeys((*before, *now)):
        print(f"{step:22} {before.get(step, 0):8,} {now.get(step, 0):8,}")
    print(f"{'a day':22} {sum(before.values()):8,} {sum(now.values()):8,}")
    ratio("snowflake_statements", sum(now.values()) / sum(before.values()), "<=", GOAL)


if __name__ == "__main__":
    main()
