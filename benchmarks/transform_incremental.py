"""A day built incrementally against a full refresh of the same marts, at SCALE=10.

    python -m benchmarks.transform_incremental [--copies 10] [--scale 1] [--rounds 4]

The shop is filled and loaded at SCALE=1, two days of it. Its raw tables are then copied ten times,
each copy with keys of
its own: ten times the orders, and ten times the changes of a day. The first day is built once.
Then, on copies of that warehouse, the second day is built by `dbt build` and by `dbt build
--full-refresh`, on the same nodes (seeds, views, snapshot, tables) in this process on a parsed
project; tests would take the same time in both and are in neither. Afterwards the marts must hold
the same in both. Processor seconds are printed beside: they say less of what else the machine does.
The second day is a weekday; how long it takes on a Sunday, when DuckDB is also rid of deleted rows,
is printed as well.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import tempfile
import time
from datetime import date, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.report import ratio
from benchmarks.transform_warehouse import THREADS, figures, fill, load, restore
from pipeline.contracts import RawTable
from pipeline.days import current_day
from pipeline.settings import PROJECT
from pipeline.sources import SOURCES
from sandbox.layout import Layout
from sandbox.stack import Stack
from transform.dbt_runner import parse, run
from transform.project import project
from transform.settings import TransformSettings
from warehouse.settings import WarehouseSettings

KEYS_APART = 10_000_000
SUNDAY = date(2026, 11, 22)
WEEKDAY = date(2026, 11, 23)
IN_EVERY_COPY = {
    "customer_id": f"customer_id + copy * {KEYS_APART}",
    "product_id": f"product_id + copy * {KEYS_APART}",
    "order_item_id": f"order_item_id + copy * {KEYS_APART}",
    "charge_id": "charge_id || '_' || copy",
    "refund_id": "refund_id || '_' || copy",
    "dispute_id": "dispute_id || '_' || copy",
    "campaign_id": "campaign_id || '_' || copy",
    "campaign_name": "campaign_name || ' ' || copy",
    "email": "copy || email",
}


def _column(table: RawTable, name: str) -> str | None:
    if name == "order_id":
        as_text = table.name == "charges"
        moved = f"try_cast(order_id as integer) + copy * {KEYS_APART}"
        return f"coalesce(cast({moved} as varchar), order_id)" if as_text else moved
    return None if (table.name, name) == ("charges", "customer_id") else IN_EVERY_COPY.get(name)


def multiply(warehouse: Path, copies: int) -> None:
    """Every raw table ``copies`` times, with keys of its own in each copy."""
    with duckdb.connect(str(warehouse / "ecommerce_raw.duckdb")) as connection:
        for table in (table for source in SOURCES for table in source.tables):
            changed = {name: sql for name in table.column_names if (sql := _column(table, name))}
            replaced = ", ".join(f"{sql} as {name}" for name, sql in changed.items())
            name = f"{table.schema}.{table.raw_name}".lower()
            connection.execute(
                # the types stay those of the loader
                f"create table {name}_copies as select * from {name} limit 0; "
                f"insert into {name}_copies select * exclude (copy) replace ({replaced}) "
                f"from {name}, (select unnest(range({copies})) as copy); drop table {name}; "
                f"alter table {name}_copies rename to {table.raw_name.lower()}"
            )


def build(settings: dict[str, Any], day: date, *options: str) -> tuple[float, float]:
    """Wall and processor seconds of one build of everything but tests."""
    kinds = [
        option for kind in ("model", "seed", "snapshot") for option in ("--resource-type", kind)
    ]
    started, used = time.perf_counter(), time.process_time()
    outcome = run(project(**settings), ["build", *kinds, *options], day)
    seconds = time.perf_counter() - started, time.process_time() - used
    failed = [
        f"{result.node.name}: {result.message}"
        for result in outcome.results
        if result.status != "success"
    ]
    if failed:
        raise SystemExit("\n".join(failed))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        compare(Path(name), options)


def compare(folder: Path, options: argparse.Namespace) -> None:
    packages = ", ".join(f"{name} {version(name)}" for name in ("dbt-core", "dbt-duckdb", "duckdb"))
    print(f"python {platform.python_version()}, {os.cpu_count()} cores, {packages}", flush=True)
    stack = Stack(Layout(folder / "sandbox"))
    days = (current_day() - timedelta(days=1), current_day())
    try:
        stack.start_stand_ins(print)
        fill(stack, options.scale)
        for day in days:
            load(stack, day)
            shutil.copytree(stack.layout.warehouse, folder / str(day))
    finally:
        stack.stop(print)
    for day in days:
        multiply(folder / str(day), options.copies)
    base, trial = folder / str(days[0]), folder / "trial"
    settings = {
        "dbt": TransformSettings(
            project_dir=PROJECT / "dbt_ecommerce", target_path=folder / "target", threads=THREADS
        )
    }

    def at(warehouse: Path) -> dict[str, Any]:
        return {
            **settings,
            "warehouse": WarehouseSettings(_env_file=None, kind="duckdb", duckdb_dir=warehouse),
        }

    build(at(base), WEEKDAY, "--full-refresh")
    shutil.copy(folder / str(days[1]) / "ecommerce_raw.duckdb", base)
    best: dict[str, float] = {}
    made = []
    kinds_of_builds = (
        ("incremental", WEEKDAY, ()),
        ("full refresh", WEEKDAY, ("--full-refresh",)),
        ("on a Sunday", SUNDAY, ()),
    )
    for _ in range(options.rounds):
        for name, day, dbt_options in kinds_of_builds:
            restore(trial, base)
            parse(project(**at(trial)))
            seconds, used = build(at(trial), day, *dbt_options)
            best[name] = min(seconds, best.get(name, seconds))
            print(f"{name:14} {seconds:7.2f} s, {used:6.2f} s of processor time", flush=True)
            made.append(figures(trial))
    if any(one != made[0] for one in made):
        raise SystemExit(f"The marts differ: {made}")
    print(
        f"fct_orders has {made[0]['fct_orders'][0]:,} rows; load average {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    ratio(
        "transform_full_refresh_vs_incremental",
        best["full refresh"] / best["incremental"],
        ">=",
        2.5,
    )


if __name__ == "__main__":
    main()
