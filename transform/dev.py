"""An analyst's own place to try dbt in, which never touches what the pipeline owns.

On DuckDB it is target ``dev``, on copies of the warehouse's files (``warehouse.duckdb.dev``). On
Snowflake it is target ``dev_snowflake``: schemas of one's own, ``DEV_<user>_...``, written by a
role that may only read the others; there is nothing to copy.
"""

from __future__ import annotations

import getpass
import re

from transform.project import Project
from warehouse import open_warehouse


def prepare(project: Project, *, fresh: bool = False) -> dict[str, str]:
    """Bring the place up to date and return the environment that makes plain ``dbt`` use it.

    ``fresh`` throws away what was built there and starts from the pipeline's state again.

    Raises:
        MissingInputError: the pipeline has not built anything yet.
        WarehouseUnavailableError: the pipeline kept its files locked for the whole waiting time.
    """
    return {
        **open_warehouse(project.warehouse).prepare_dev(fresh=fresh),
        "DBT_PROJECT_DIR": str(project.dbt.project_dir),
        "DBT_PROFILES_DIR": str(project.dbt.profiles_dir or project.dbt.project_dir),
        # Of its own: dbt's kept parse is of one target.
        "DBT_TARGET_PATH": str(project.dbt.target / "dev"),
        "DBT_LOG_PATH": str(project.dbt.logs / "dev"),
        "DBT_DEV_USER": re.sub(r"\W", "_", getpass.getuser()).upper(),
    }
