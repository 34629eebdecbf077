"""Where the benchmarks of the transformation start: two days loaded, the first of them built."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb

from pipeline.settings import PROJECT
from sandbox.shop import open_shop
from sandbox.stack import Stack

HERE = Path(__file__).parent
COSMOS_DAGS = HERE / "cosmos_dags"
REQUIREMENTS = HERE / "transform_requirements.txt"
ENVIRONMENT = PROJECT / ".venv" / "benchmark-transform"
THREADS = 4


def prepare_environment() -> Path:
    """Make the environment with cosmos from its lock where it is missing; returns its Python."""
    python = ENVIRONMENT / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    if not python.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(ENVIRONMENT)], check=True)
    install = [uv, "pip", "install", "-q", "--compile-bytecode", "--python", str(python)]
    subprocess.run([*install, "--require-hashes", "-r", str(REQUIREMENTS)], check=True)
    return python


def _environment(stack: Stack) -> dict[str, str]:
    environment = {
        **os.environ,
        **stack.pipeline_settings(),
        "DBT_THREADS": str(THREADS),
        "PYTHONPATH": str(PROJECT),
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def dbt(stack: Stack, target: Path, *arguments: str) -> None:
    """One dbt command from a shell, on the sandbox's warehouse."""
    project = ["--project-dir", "dbt_ecommerce", "--profiles-dir", "dbt_ecommerce"]
    places = ["--target-path", str(target), "--log-path", str(target)]
    command = [str(Path(sys.executable).with_name("dbt")), *arguments, *project, *places]
    done = subprocess.run(
        command, env=_environment(stack), cwd=PROJECT, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"dbt {arguments[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")


def fill(stack: Stack, scale: float) -> None:
    """The shop's twelve months up to now in the three sources."""
    counts = open_shop(
        *stack.shop_address,
        scale=scale,
        until=datetime.now(UTC).replace(tzinfo=None, microsecond=0),
    )
    print(f"the shop: {counts}", flush=True)


def load(stack: Stack, day: date) -> None:
    """The six sources of a day, from a shell."""
    command = [sys.executable, "-m", "ingestion", "all", "--day", str(day)]
    done = subprocess.run(
        command, env=_environment(stack), cwd=PROJECT, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"Loading {day} failed:\n{done.stdout}{done.stderr}")
    print(done.stdout, end="", flush=True)


def restore(warehouse: Path, base: Path) -> None:
    """Put the databases back as they are in ``base``.

    What was published stays, as it does from day to day.
    """
    warehouse.mkdir(exist_ok=True)
    for file in warehouse.glob("*.duckdb*"):
        file.unlink()
    for file in base.glob("*.duckdb"):
        shutil.copy(file, warehouse)
    os.sync()  # else the disk is busy with the copy while somebody is measured


def figures(warehouse: Path) -> dict[str, Any]:
    """Rows and a sum of row hashes per mart: equal for all who have built the same day."""
    with duckdb.connect(
        str(warehouse / "ecommerce_analytics.duckdb"), read_only=True
    ) as connection:
        marts = connection.execute(
            "select table_name from information_schema.tables where table_schema = 'marts'"
        ).fetchall()
        return {
            mart: connection.execute(
                f"select count(*), sum(cast(hash(mart) as hugeint)) from marts.{mart} as mart"
            ).fetchone()
            for (mart,) in marts
        }
