"""100,000 charges out of the emulator: our listing against the official SDK's auto-paging.

    python -m benchmarks.ingestion_stripe [--charges 100000] [--rounds 3]

The emulator runs in a process of its own. Both sides read the same charges over the same HTTP
interface, in turn, several times; the medians count. The SDK's side only walks the objects; the
connector's also turns them into Arrow batches with exact decimals and the whole object as JSON.
``load`` is that plus staging and commit in DuckDB, for orientation.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path

import requests
import stripe

from benchmarks.report import ratio
from ingestion.stripe_api.client import StripeApi
from ingestion.stripe_api.contract import SetAside
from ingestion.stripe_api.load import StripeConnector
from ingestion.stripe_api.settings import StripeSettings
from pipeline.days import upper_bound
from pipeline.sources import CHARGES
from warehouse.duckdb.warehouse import DuckDBWarehouse
from warehouse.settings import WarehouseSettings

KEY = "sk_test_benchmark"
DAY = date(2026, 11, 22)
GOAL = 8


@contextmanager
def emulator() -> Iterator[str]:
    command = [sys.executable, "-m", "sandbox.stripe_emulator"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().split()[-1]
    finally:
        process.terminate()
        process.wait()


def fill(url: str, count: int) -> None:
    """``count`` charges spread evenly over the year before the day."""
    end = int((upper_bound(DAY) - datetime(1970, 1, 1)).total_seconds())
    step = int(timedelta(days=365).total_seconds()) / count
    for start in range(0, count, 5_000):
        charges = (
            {
                "object": "charge",
                "id": f"ch_{number:024}",
                "created": int(end - (count - number) * step),
                "amount": 500 + number % 20_000,
                "currency": "usd",
                "customer": f"cus_{number % 40_000:014}",
                "metadata": {"order_id": str(number), "channel": "web"},
                "receipt_email": f"customer{number}@example.com",
            }
            for number in range(start, min(count, start + 5_000))
        )
        requests.post(
            f"{url}/_emulator/import", data="\n".join(map(json.dumps, charges)), timeout=120
        ).raise_for_status()


def sdk_auto_paging(url: str) -> int:
    client = stripe.StripeClient(KEY, base_addresses={"api": url})
    end = int((upper_bound(DAY) - datetime(1970, 1, 1)).total_seconds())
    pages = client.v1.charges.list({"limit": 100, "created": {"lte": end}})
    return sum(1 for _ in pages.auto_paging_iter())


def connector_listing(settings: StripeSettings) -> int:
    connector = StripeConnector(settings, None)  # type: ignore[arg-type]  # listing needs no warehouse
    api = StripeApi(settings)
    try:
        return sum(
            batch.num_rows
            for batch in connector.listed(
                api, CHARGES, "/v1/charges", None, upper_bound(DAY), SetAside()
            )
        )
    finally:
        api.close()


def whole_load(settings: StripeSettings) -> int:
    with tempfile.TemporaryDirectory() as folder:
        warehouse = DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=Path(folder)))
        return StripeConnector(settings, warehouse).load_charges(DAY).rows_extracted


def timed(run: Callable[[], int], expected: int) -> float:
    started = time.perf_counter()
    rows = run()
    seconds = time.perf_counter() - started
    if rows != expected:
        raise SystemExit(f"{rows:,} rows instead of {expected:,}")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--charges", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4)
    arguments = parser.parse_args()
    print(
        f"python {platform.python_version()}, stripe {stripe.VERSION}, {arguments.charges:,} "
        "charges"
    )
    with emulator() as url:
        fill(url, arguments.charges)
        settings = StripeSettings(
            _env_file=None,
            api_key=KEY,  # type: ignore[arg-type]
            api_base=url,
            max_requests_per_second=1e6,
            parallel_windows=arguments.threads,
        )
        sides: dict[str, Callable[[], int]] = {
            "sdk_auto_paging": lambda: sdk_auto_paging(url),
            "connector_listing": lambda: connector_listing(settings),
            "load": lambda: whole_load(settings),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, run in sides.items():
                seconds[name].append(timed(run, arguments.charges))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        print(f"{name} {median:.2f} s {arguments.charges / median:,.0f} rows/s")
    print(f"peak_memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")
    ratio(
        "stripe_vs_sdk_autopaging",
        medians["sdk_auto_paging"] / medians["connector_listing"],
        ">=",
        GOAL,
    )


if __name__ == "__main__":
    main()
