"""Publishes the tested marts and reads what is published; the bookkeeping is the warehouse's
(``warehouse.publication``).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.settings import settings as configured
from transform import restatements
from transform.settings import TransformSettings
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from warehouse.publication import Publication, Publications


def _publications(warehouse: WarehouseSettings | None) -> Publications:
    from warehouse import open_warehouse

    return open_warehouse(warehouse).publications


def publish_marts(
    day: date, *, dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> Publication:
    """Publish every mart as it was tested. Raises ``PublicationError`` unless the newest marts are
    the day's and passed.

    Running it again publishes the same marts again and changes no number.
    """
    dbt = dbt or configured(TransformSettings)
    return _publications(warehouse).publish(day, dbt.keep_publications, restatements.write)


def rollback(
    publication_id: str | None = None, *, warehouse: WarehouseSettings | None = None
) -> Publication:
    """Bring back the publication before the current one, or the given one. It can be undone by
    id.
    """
    return _publications(warehouse).rollback(publication_id)


def read_published(
    sql: str, warehouse: WarehouseSettings | None = None, parameters: Sequence[object] = ()
) -> list[tuple[object, ...]]:
    """Rows of a query on the published marts (schema ``published``)."""
    return _publications(warehouse).read(sql, parameters)


def read_publication(*, warehouse: WarehouseSettings | None = None) -> Publication | None:
    """The current publication, None before the first."""
    return _publications(warehouse).current()


def published_file(warehouse: WarehouseSettings | None = None) -> Path:
    """Where dashboards and people find the published marts of DuckDB."""
    return (warehouse or configured(WarehouseSettings)).published_file
