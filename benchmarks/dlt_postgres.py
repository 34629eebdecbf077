"""One run of dlt for the comparison: ``orders`` from PostgreSQL to DuckDB, by one of its backends.

Runs in the environment of ``benchmarks/requirements.txt``; ``BENCHMARK_SOURCE`` is the database's
address. Prints one line of JSON with seconds and rows.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import dlt
import duckdb
from dlt.sources.sql_database import sql_table


def main(backend: str, folder: str) -> None:
    """Measured from the first row asked for to the last one committed; imports are not."""
    database = Path(folder) / "dlt.duckdb"
    pipeline = dlt.pipeline(
        "benchmark",
        destination=dlt.destinations.duckdb(str(database)),
        dataset_name="raw",
        pipelines_dir=str(Path(folder) / "pipelines"),
    )
    options = {"backend_kwargs": {"return_type": "arrow"}} if backend == "connectorx" else {}
    if backend == "default":
        options["chunk_size"] = 50_000
    else:
        options |= {"backend": backend, "chunk_size": 50_000}
    started = time.perf_counter()
    table = sql_table(
        credentials=os.environ["BENCHMARK_SOURCE"],
        table="orders",
        reflection_level="full_with_precision",
        **options,
    )
    pipeline.run(table, write_disposition="append")  # its quickest: no keys are looked at
    seconds = time.perf_counter() - started
    with duckdb.connect(str(database), read_only=True) as connection:
        (rows,) = connection.execute("select count(*) from raw.orders").fetchone() or (0,)
    print(json.dumps({"seconds": seconds, "rows": rows}))


if __name__ == "__main__":
    main(*sys.argv[1:])
