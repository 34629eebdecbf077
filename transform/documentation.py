"""Writes models, columns and lineage as one web page beside the publication, when they change.

The page is dbt's own (`dbt docs generate --static`), with all its data inside: it opens from the
file system. A day does not change it, only a change of the project does, so most days compare a
fingerprint and do nothing.

    published/docs/index.html                 the page
    published/docs/project                    the project's fingerprint when it was written

``DBT_DOCS_PATH`` puts both elsewhere, also on an object store: pods share no folder.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import fsspec

from transform.dbt_runner import invoke, parse
from transform.errors import ProjectError
from transform.project import Project, project
from transform.settings import TransformSettings
from warehouse.settings import WarehouseSettings

logger = logging.getLogger(__name__)

# Tests have their place on the page without being compiled: three hundred of them would take most
# of the time.
_NOT_COMPILED = ("resource_type:test", "resource_type:unit_test")


def docs_address(dbt: TransformSettings, warehouse: WarehouseSettings) -> str:
    """Where the page is: in ``DBT_DOCS_PATH``, else in the folder of the publications."""
    return f"{dbt.docs_path or warehouse.duckdb_dir / 'published' / 'docs'}/index.html"


def write_docs(
    *, dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> str:
    """The address of the project's page, written again only where the project has changed since.

    Describes what the warehouse holds, so the models have to be built. Raises ``ProjectError``
    where dbt cannot write it.
    """
    here = project(dbt, warehouse)
    address = docs_address(here.dbt, here.warehouse)
    store, page = fsspec.url_to_fs(address)
    folder = page.rpartition("/")[0]
    marker, fingerprint = f"{folder}/project", here.fingerprint().encode()
    if store.exists(page) and store.exists(marker) and store.cat_file(marker) == fingerprint:
        return address
    store.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        store.put_file(str(_generate(here, Path(made))), f"{page}.new")
    store.mv(f"{page}.new", page)
    store.pipe_file(marker, fingerprint)
    logger.info("The project has changed: its documentation is written again, %s", address)
    return address


def refresh_docs(
    *, dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> str | None:
    """``write_docs`` after a publication, which stands in any case: errors are logged only."""
    try:
        return write_docs(dbt=dbt, warehouse=warehouse)
    except Exception:
        logger.warning(
            "The marts are published, but the documentation of the project could not be written.",
            exc_info=True,
        )
        return None


def _generate(here: Project, folder: Path) -> Path:
    from transform.history import locked

    manifest = parse(here)
    elsewhere = Project(here.dbt.model_copy(update={"target_path": folder}), here.warehouse)
    with locked(here):
        invoke(elsewhere, ["docs", "generate", "--static", "--exclude", *_NOT_COMPILED], manifest)
    made = folder / "static_index.html"
    if not made.exists():
        raise ProjectError("dbt wrote no documentation; its log says why.")
    return made
