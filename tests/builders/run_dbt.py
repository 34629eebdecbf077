"""dbt on a folder of DuckDB files, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

from transform.dbt_runner import environment

PROJECT = Path(__file__).resolve().parents[2] / "dbt_ecommerce"
DATABASES = ("ecommerce_raw", "ecommerce_staging", "ecommerce_analytics")

Dbt = Callable[..., dbtRunnerResult]
_manifests: dict[Path, Manifest] = {}


def _variables(folder: Path) -> dict[str, str]:
    return {"WAREHOUSE_DUCKDB_DIR": str(folder), "WAREHOUSE_KIND": "duckdb", "DBT_THREADS": "2"}


def _arguments(project: Path, target_path: Path) -> list[str]:
    paths = [
        "--project-dir",
        str(project),
        "--profiles-dir",
        str(project),
        "--target-path",
        str(target_path),
    ]
    return [
        *paths,
        "--log-path",
        str(target_path / "logs"),
        "--log-level",
        "none",
        "--no-write-json",
    ]


def parse(folder: Path, target_path: Path, project: Path = PROJECT) -> Manifest:
    """The project as dbt reads it."""
    with environment(_variables(folder)):
        result = dbtRunner().invoke(["parse", *_arguments(project, target_path)])
    assert result.success, result.exception
    assert isinstance(result.result, Manifest)
    return result.result


def runner(folder: Path, target_path: Path, project: Path = PROJECT) -> Dbt:
    """Runs dbt on the DuckDB files of a folder, and lets go of them after each run.

    The project is parsed once for each target folder: nothing in a manifest depends on the
    warehouse.
    """

    def run(*arguments: str, succeeds: bool = True) -> dbtRunnerResult:
        if project != PROJECT:  # a copy, which a test may edit between two runs
            manifest = parse(folder, target_path, project)
        elif target_path in _manifests:
            manifest = _manifests[target_path]
        else:
            manifest = _manifests[target_path] = parse(folder, target_path)
        with environment(_variables(folder)):
            result = dbtRunner(manifest=manifest).invoke(
                [*arguments, *_arguments(project, target_path)]
            )
        DuckDBConnectionManager.close_all_connections()
        if succeeds:
            assert result.success, result.exception or failures(result)
        return result

    return run


def failures(result: dbtRunnerResult) -> list[str]:
    """Each node that failed, with its message."""
    nodes: Any = getattr(result.result, "results", [])
    return [
        f"{node.node.name}: {node.message}"
        for node in nodes
        if node.status in ("error", "fail", "runtime error")
    ]


def statuses(result: dbtRunnerResult) -> dict[str, str]:
    """Status of each node by its name."""
    nodes: Any = getattr(result.result, "results", [])
    return {
        node.node.name: str(node.status)
        for node in nodes
        if node.node.resource_type != "operation"  # the project's on-run-start
    }


@contextmanager
def warehouse(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The three databases under their own names, read-only."""
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        for database in DATABASES:
            connection.execute(f"attach '{folder / database}.duckdb' as {database} (read_only)")
        yield connection
