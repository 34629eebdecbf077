"""Loads 2,000,000 orders from PostgreSQL into DuckDB: against dlt's backends and a bare COPY.

    python -m benchmarks.ingestion_postgres [--rows 2000000] [--large-rows 10000000] [--rounds 3]
    [--plot FILE.svg]

Every contender runs in a process of its own, in turn, several times; of each its fastest run
counts, the one that other programs on the machine have disturbed least. Measured is what a process
does beyond starting and importing: from the first question to the source to the committed load
record. dlt runs in an environment of its own, made from ``benchmarks/requirements.txt`` on the
first run, and appends, which is its quickest; its default backend runs once, because it is so much
slower, and where it is given fewer rows, ours reads as many again for that ratio. Memory is the
largest sum of resident memory over a process and its children in any of its runs; the PostgreSQL
server is not ours and not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from benchmarks.report import ratio
from ingestion.postgres.settings import PostgresSettings
from pipeline.settings import PROJECT
from sandbox.postgres import EmbeddedPostgres
from sandbox.shop import SCHEMA
from warehouse.settings import WarehouseSettings

DAY, NEXT_DAY = date(2026, 11, 22), date(2026, 11, 23)
CHANGED_A_DAY = 1_600
SOURCE_VARIABLE = "BENCHMARK_SOURCE"
OURSELVES = [sys.executable, "-m", "benchmarks.ingestion_postgres"]
DLT_ENVIRONMENT = Path(sys.prefix) / "benchmark"
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ORDERS_OF_A_YEAR = """
insert into orders
select i, 1 + i * 7919::bigint %% 50000, born,
       (array['completed', 'pending', 'shipped', 'cancelled'])[1 + i %% 4],
       (1000 + i * 37::bigint %% 99000) / 100.0,
       (i %% 9999) || ' Main Street Apt ' || (i %% 77),
       (array['Springfield', 'New York', 'Los Angeles', 'Chicago'])[1 + i %% 4],
       (array['CA', 'NY', 'IL', 'TX'])[1 + i %% 4], 'US', lpad((i %% 99999)::text, 5, '0'), born,
       born + (i %% 100) * interval '1 minute 0.123456 seconds'
from (select i, timestamp '2025-11-21' + i * (interval '364 days' / %(rows)s) as born
      from generate_series(1, %(rows)s) i) orders
"""
A_DAYS_CHANGES = """
update orders set status = 'returned',
    updated_at = timestamp '2026-11-22 12:00' + order_id %% 3600 * interval '1 second'
where order_id in (select 1 + n * (%(rows)s::bigint - 1) / (%(changed)s - 1)
                   from generate_series(0, %(changed)s - 1) n)
"""


@dataclass(frozen=True)
class Run:
    seconds: float
    rows: int
    peak_mb: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


def fill(server: EmbeddedPostgres, name: str, rows: int) -> None:
    """A database with that many orders, spread over the year before the day."""
    server.create_database(name)
    with closing(psycopg2.connect(server.dsn(name))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(SCHEMA)
            cursor.execute("alter table orders drop constraint orders_customer_id_fkey")
            cursor.execute(ORDERS_OF_A_YEAR, {"rows": rows})
            cursor.execute("vacuum analyze orders")


def measured(command: list[str], source: str) -> Run:
    """Run a contender, which prints seconds and rows as its last line, and watch its memory.

    ``source`` says where the database is, with a password in it, so it goes into the environment.
    """
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        environment = {**os.environ, SOURCE_VARIABLE: source}
        process = psutil.Popen(
            command, stdout=output, stderr=errors, cwd=PROJECT, env=environment, text=True
        )
        peak = looks = 0
        while process.poll() is None:
            if looks % 25 == 0:
                family = _family(process)
            peak = max(peak, _memory(family))
            looks += 1
            time.sleep(0.02)
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            raise SystemExit(f"{' '.join(command[:4])} failed:\n{errors.read()[-2000:]}")
        said = json.loads(output.read().splitlines()[-1])
    return Run(said["seconds"], said["rows"], peak / 2**20)


def _family(process: psutil.Process) -> list[psutil.Process]:
    """The process and its children.

    Costs a look at every process of the machine, so it is not asked at every sample.
    """
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(family: list[psutil.Process]) -> int:
    total = 0
    for one in family:
        with suppress(psutil.NoSuchProcess):
            total += one.memory_info().rss
    return total


def ours(server: EmbeddedPostgres, name: str, warehouse: Path, day: date) -> Run:
    return measured([*OURSELVES, "--one-load", str(warehouse), str(day)], _source(server, name))


def bare_copy(server: EmbeddedPostgres, name: str) -> Run:
    return measured([*OURSELVES, "--one-copy"], _source(server, name))


def dlt(server: EmbeddedPostgres, name: str, backend: str) -> Run:
    dsn = server.dsn(name).replace("postgresql://", "postgresql+psycopg2://")
    with tempfile.TemporaryDirectory() as folder:
        script = str(Path(__file__).with_name("dlt_postgres.py"))
        return measured([str(DLT_ENVIRONMENT / "bin" / "python"), script, backend, folder], dsn)


def _source(server: EmbeddedPostgres, name: str) -> str:
    return json.dumps(server.settings(name))


def one_load(warehouse: str, day: str) -> None:
    from ingestion.postgres.load import PostgresExtractor
    from warehouse.duckdb.warehouse import DuckDBWarehouse

    settings = PostgresSettings(_env_file=None, **json.loads(os.environ[SOURCE_VARIABLE]))
    started = time.perf_counter()
    target = DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=Path(warehouse)))
    record = PostgresExtractor(settings, target).extract_table("orders", date.fromisoformat(day))
    print(json.dumps({"seconds": time.perf_counter() - started, "rows": record.rows_extracted}))


def one_copy() -> None:
    class Discarded:
        def write(self, row: bytes) -> int:
            return len(row)

        def read(self, size: int = -1) -> bytes:
            raise NotImplementedError

    place = json.loads(os.environ[SOURCE_VARIABLE])
    started = time.perf_counter()
    with (
        closing(psycopg2.connect(dbname=place.pop("db"), **place)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.copy_expert("copy orders to stdout (format binary)", Discarded())
        rows = cursor.rowcount
    print(json.dumps({"seconds": time.perf_counter() - started, "rows": rows}))


def prepare_dlt() -> None:
    python = DLT_ENVIRONMENT / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    if not python.exists():
        subprocess.run(
            [uv, "venv", "-q", "--python", sys.executable, str(DLT_ENVIRONMENT)], check=True
        )
    install = [
        uv,
        "pip",
        "install",
        "-q",
        "--python",
        str(python),
        "--require-hashes",
        "-r",
        str(REQUIREMENTS),
    ]
    subprocess.run(install, check=True)


def fastest(runs: list[Run]) -> Run:
    return Run(min(run.seconds for run in runs), runs[0].rows, max(run.peak_mb for run in runs))


def compare(
    server: EmbeddedPostgres, folder: Path, arguments: argparse.Namespace
) -> dict[str, list[Run]]:
    rows = arguments.rows
    fill(server, "orders", rows)
    runs: dict[str, list[Run]] = {}

    def take(name: str, run: Run, expected: int) -> None:
        if run.rows != expected:
            raise SystemExit(f"{name}: {run.rows:,} rows instead of {expected:,}")
        runs.setdefault(name, []).append(run)
        print(
            f"{name:16} {run.seconds:7.2f} s {run.rows_per_second:12,.0f} rows/s "
            f"{run.peak_mb:6.0f} MB",
            flush=True,
        )

    def a_day(name: str, database: str, warehouse: Path, of_rows: int) -> Run:
        """Load a day on which 1,600 orders all over the table changed; the rest is loaded."""
        with (
            closing(psycopg2.connect(server.dsn(database))) as connection,
            connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(A_DAYS_CHANGES, {"rows": of_rows, "changed": CHANGED_A_DAY})
        for number in range(arguments.rounds):
            copied = Path(
                shutil.copytree(warehouse, warehouse.with_name(f"{warehouse.name}-{number}"))
            )
            take(name, ours(server, database, copied, NEXT_DAY), CHANGED_A_DAY)
            shutil.rmtree(copied)
        return fastest(runs[name])

    for number in range(arguments.rounds):
        take("bare copy", bare_copy(server, "orders"), rows)
        take("ours", ours(server, "orders", folder / f"ours-{number}", DAY), rows)
        if not arguments.without_dlt:
            for backend in ("pyarrow", "connectorx"):
                take(f"dlt {backend}", dlt(server, "orders", backend), rows)
    if not arguments.without_dlt:
        few = min(rows, arguments.default_backend_rows)
        as_many = "ours"  # of ours, the runs over as many rows as dlt's default reads
        if few < rows:
            fill(server, "few_orders", few)
            as_many = "ours, few"
            for number in range(arguments.rounds):
                take(as_many, ours(server, "few_orders", folder / f"few-{number}", DAY), few)
        take("dlt default", dlt(server, "orders" if few == rows else "few_orders", "default"), few)
    best = {name: fastest(of_name) for name, of_name in runs.items()}
    speed = best["ours"].rows_per_second
    if not arguments.without_dlt:
        ratio(
            "postgres_vs_dlt_fastest",
            speed / max(best[f"dlt {b}"].rows_per_second for b in ("pyarrow", "connectorx")),
            ">=",
            1.5,
        )
        ratio(
            "postgres_vs_dlt_default",
            best[as_many].rows_per_second / best["dlt default"].rows_per_second,
            ">=",
            30,
        )
    ratio("postgres_time_vs_bare_copy", best["ours"].seconds / best["bare copy"].seconds, "<=", 3)
    ratio("postgres_peak_memory_mb", best["ours"].peak_mb, "<=", 450)
    day = a_day("a day", "orders", folder / "ours-0", rows)
    ratio("postgres_incremental_seconds", day.seconds, "<=", 1)
    if arguments.large_rows:
        fill(server, "many_orders", arguments.large_rows)
        take(
            "ours, large", ours(server, "many_orders", folder / "large", DAY), arguments.large_rows
        )
        ratio(
            "postgres_peak_memory_growth",
            runs["ours, large"][0].peak_mb / best["ours"].peak_mb,
            "<=",
            1.15,
        )
        large = a_day("a day, large", "many_orders", folder / "large", arguments.large_rows)
        # each load counts the keys of both sides, so a day grows with the table
        ratio("postgres_incremental_growth", large.seconds / day.seconds, "<=", 5)
    return runs


def plot(runs: dict[str, list[Run]], picture: str) -> None:
    """Drawn in dlt's environment, where the library for it is."""
    drawn = {
        name: fastest(of_name)
        for name, of_name in runs.items()
        if not name.startswith(("a day", "ours, "))
    }
    bars = [[name, run.rows_per_second, run.peak_mb] for name, run in drawn.items()]
    command = [
        str(DLT_ENVIRONMENT / "bin" / "python"),
        str(Path(__file__).with_name("plot_postgres.py")),
        picture,
    ]
    subprocess.run(command, input=json.dumps(bars), text=True, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument(
        "--large-rows", type=int, default=10_000_000, help="0: leave the large table out"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--default-backend-rows",
        type=int,
        default=2_000_000,
        help="less, where dlt's default takes too long",
    )
    parser.add_argument("--without-dlt", action="store_true")
    parser.add_argument("--plot", metavar="FILE.svg", help="draw rows per second and memory")
    parser.add_argument("--one-load", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--one-copy", action="store_true", help=argparse.SUPPRESS)
    arguments: Any = parser.parse_args()
    if arguments.one_load:
        one_load(*arguments.one_load)
    elif arguments.one_copy:
        one_copy()
    else:
        everything(arguments)


def everything(arguments: argparse.Namespace) -> None:
    if not arguments.without_dlt:
        prepare_dlt()
    print(
        f"python {platform.python_version()}, {psutil.cpu_count()} cores, {arguments.rows:,} "
        "orders",
        flush=True,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=False) as server,
    ):
        runs = compare(server, Path(folder), arguments)
    print(f"load average at the end: {os.getloadavg()[0]:.1f}", flush=True)
    if arguments.plot:
        plot(runs, arguments.plot)


if __name__ == "__main__":
    main()
