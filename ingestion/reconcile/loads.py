"""What the load records say to a reconciliation."""

from __future__ import annotations

from datetime import date, datetime

from pipeline.contracts import Source
from pipeline.errors import MissingInputError
from warehouse import Warehouse


class NeverLoadedError(MissingInputError):
    """There is nothing to compare a source with."""

    def __init__(self, source: Source) -> None:
        super().__init__(
            f"{source.name} was never loaded: there is nothing to compare. Load a day of it first."
        )


def last_day(source: Source, warehouse: Warehouse) -> date:
    """The newest day that was loaded; a repair belongs to it."""
    return _newest(source, warehouse)[0]


def last_begun(source: Source, warehouse: Warehouse) -> datetime:
    """When the newest load began, UTC without a zone."""
    return _newest(source, warehouse)[1]


def _newest(source: Source, warehouse: Warehouse) -> tuple[date, datetime]:
    sql = "select max(day), max(started_at) from loads.load_records where source = ?"
    ((day, begun),) = warehouse.query(sql, [source.name])
    if not isinstance(day, date) or not isinstance(begun, datetime):
        raise NeverLoadedError(source)
    return day, begun
