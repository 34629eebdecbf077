"""What `airflow-init` does: check the mounts, migrate the metadata database, create the pool."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import PermanentError
from pipeline.pool import POOL_DESCRIPTION, PUBLISH_POOL

MOUNTED = (
    "alerting",
    "dags",
    "dbt_ecommerce",
    "ingestion",
    "operations",
    "pipeline",
    "pipeline_page",
    "plugins",
    "transform",
    "warehouse",
)


class SetupError(PermanentError):
    """The containers cannot work like this; the text says what to change."""


def check_mounts(project: Path, names: Iterable[str] = MOUNTED) -> None:
    """``SetupError`` if a folder cannot be read.

    A checkout under umask 077 is closed to the user of the containers.
    """
    for name in names:
        if not os.access(project / name, os.R_OK | os.X_OK):
            raise SetupError(
                f"The folder {name} of the project cannot be read by the user of the containers "
                f"(uid {os.getuid()}). "
                f"Open it on the host: chmod -R go+rX {name}"
            )


def prepare_airflow() -> None:
    """Migrate, then create the pool of one slot; ``SetupError`` if Airflow could not."""
    _airflow("db", "migrate")
    _airflow("pools", "set", PUBLISH_POOL, "1", POOL_DESCRIPTION)


def _airflow(*arguments: str) -> None:
    done = subprocess.run(["airflow", *arguments])
    if done.returncode:
        raise SetupError(
            f"`airflow {' '.join(arguments[:2])}` failed (exit code {done.returncode}); see its "
            "output above."
        )
