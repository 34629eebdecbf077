"""How long the page Pipeline takes with 90 days in a real browser, beside a page of Airflow's own.

    python -m benchmarks.pipeline_page [--rounds 9]

Airflow's API server runs on PostgreSQL with four months of runs of all DAGs. A headless Chromium
that is signed in opens both pages in turn, each in a fresh profile, so that nothing comes from its
cache, and after the browser has come to rest. A page has
loaded when everything it asked for has arrived: for ours that is the browser's load event,
Airflow's own goes on asking after it. What the browser asks for by itself, an icon for its tab,
does not count. The server answers each page once before anything counts.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.report import ratio
from sandbox.postgres import EmbeddedPostgres
from tests.builders.chromium import DESKTOP, launched
from tests.builders.served_page import Served, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SETTLED_MS = 1000
OURS, AIRFLOWS = "/pipeline/?days=90", "/dags/ecommerce_dbt"
LOADED = """() => {
    const [page] = performance.getEntriesByType('navigation');
    const asked = performance.getEntriesByType('resource')
        .filter(one => !one.name.endsWith('/favicon.ico'));
    const arrived = asked.map(one => one.responseEnd);
    return {
        loaded: Math.max(page.loadEventEnd, ...arrived),
        answered: page.responseEnd - page.requestStart,
        cells: document.querySelectorAll('button.cell').length,
    };
}"""


def load(browser: Browser, served: Served, token: str, path: str) -> dict[str, Any]:
    """Milliseconds from the start of navigation: until all was there, until the answer."""
    context = browser.new_context(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    try:
        context.add_cookies([{"name": "_token", "value": token, "url": served.address.url}])
        page = context.new_page()
        page.wait_for_timeout(SETTLED_MS)
        page.goto(served.address.url + path, wait_until="networkidle")
        return dict(page.evaluate(LOADED))
    finally:
        context.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(
        f"python {platform.python_version()}, {psutil.cpu_count()} cores, apache-airflow-core "
        f"{version('apache-airflow-core')}"
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=False) as postgres,
        serving(postgres, Path(folder) / "page") as served,
        launched() as browser,
    ):
        token = served.token()
        took: dict[str, list[float]] = {OURS: [], AIRFLOWS: []}
        answers: list[float] = []
        for number in range(rounds + 1):
            for path, seconds in took.items():
                seen = load(browser, served, token, path)
                if path == OURS and seen["cells"] != 90 * 11:
                    raise SystemExit(f"The page has {seen['cells']} cells instead of {90 * 11}.")
                if number:
                    seconds.append(seen["loaded"])
                    answers += [seen["answered"]] if path == OURS else []
                    print(
                        f"{path:24} {seen['loaded']:7.0f} ms, answered in {seen['answered']:.0f} "
                        "ms",
                        flush=True,
                    )
    ours, airflows = (statistics.median(took[path]) for path in (OURS, AIRFLOWS))
    print(
        f"medians: the page {ours:.0f} ms, of which the server {statistics.median(answers):.0f} "
        f"ms; Airflow's {airflows:.0f} ms"
    )
    print(f"load average at the end: {os.getloadavg()[0]:.1f}")
    ratio("pipeline_page_90_days_ms", ours, "<=", 300)
    ratio("pipeline_page_vs_airflows_dag_page", ours / airflows, "<=", 1)


if __name__ == "__main__":
    main()
