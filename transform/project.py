"""A dbt project: its folders, its warehouse, the environment it reads, and when it changes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from pipeline.settings import settings as configured
from transform.errors import ProjectError
from transform.settings import TransformSettings
from warehouse import open_warehouse
from warehouse.settings import WarehouseSettings

# A change of one of these can change what the project compiles to.
_ENVIRONMENT = ("DBT_", "WAREHOUSE_", "SNOWFLAKE_")
_RULES = ("models", "macros", "snapshots", "seeds")
_NOT_PROJECT = {"target", "logs", "dbt_packages", "__pycache__", ".user.yml"}


@dataclass(frozen=True)
class Project:
    """One dbt project on one warehouse."""

    dbt: TransformSettings
    warehouse: WarehouseSettings

    @property
    def environment(self) -> dict[str, str]:
        """What ``profiles.yml`` reads by ``env_var``: dbt and loader mean the same warehouse."""
        account = open_warehouse(self.warehouse).dbt_environment()
        return {
            **account,
            "DBT_THREADS": str(self.dbt.threads),
            "DBT_DUCKDB_MEMORY": self.dbt.duckdb_memory,
        }

    def fingerprint(self) -> str:
        """Changes whenever a file of the project or an environment variable it can read changes."""
        digest = hashlib.sha256()
        folders = {self.dbt.project_dir, self.dbt.profiles_dir or self.dbt.project_dir}
        skipped = {self.dbt.target.resolve(), self.dbt.logs.resolve()}
        for folder in sorted(folders):
            for path, stat in _files(folder, skipped):
                digest.update(f"{path}\0{stat.st_mtime_ns}\0{stat.st_size}\0".encode())
        variables = {
            name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)
        } | self.environment
        digest.update(repr(sorted(variables.items())).encode())
        return digest.hexdigest()

    def rules(self) -> str:
        """Changes with every file that decides what a mart holds: SQL, seeds, variables."""
        digest, folder = hashlib.sha256(), self.dbt.project_dir
        for path, _ in sorted(_files(folder, {self.dbt.target.resolve(), self.dbt.logs.resolve()})):
            name = path.relative_to(folder)
            if name.name == "dbt_project.yml" or (
                name.parts[0] in _RULES and name.suffix in (".sql", ".csv")
            ):
                digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()

    def environment_of_run(self, day: date | None) -> dict[str, str]:
        """What ``profiles.yml`` reads that differs from run to run."""
        return open_warehouse(self.warehouse).dbt_run_environment(day)


def project(
    dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> Project:
    """The configured project, or the given one."""
    return Project(dbt or configured(TransformSettings), warehouse or configured(WarehouseSettings))


def _files(folder: Path, skipped: set[Path]) -> Iterator[tuple[Path, os.stat_result]]:
    if not folder.is_dir():
        raise ProjectError(
            f"There is no dbt project at {folder}. DBT_PROJECT_DIR names the folder that holds "
            "dbt_project.yml."
        )
    for name, folders, files in os.walk(folder):
        here = Path(name)
        folders[:] = sorted(
            below
            for below in folders
            if below not in _NOT_PROJECT and (here / below).resolve() not in skipped
        )
        for file in sorted(files):
            if file not in _NOT_PROJECT:
                yield here / file, (here / file).stat()
