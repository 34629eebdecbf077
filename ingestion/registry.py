"""Which folder knows each kind of source. A source of a new kind is a folder and a line in here.

A folder's modules are imported when they are needed: a load needs the libraries of its own source
only. Each folder has these entry points:

    load.load(source, day, warehouse, full_refresh) -> LoadRecord
    reconcile.reconcile(source, warehouse, repair) -> Report
    check.check() -> Iterator[Finding]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from pipeline.checks import Finding
from pipeline.contracts import Source, SourceKind

if TYPE_CHECKING:
    from ingestion.reconcile.report import Report
    from pipeline.records import LoadRecord
    from warehouse import Warehouse

    Load = Callable[[Source, date, Warehouse, bool], LoadRecord]
    Reconcile = Callable[[Source, Warehouse, bool], Report]

FOLDERS: dict[SourceKind, str] = {
    "postgres": "ingestion.postgres",
    "stripe": "ingestion.stripe_api",
    "csv": "ingestion.csv_uploads",
}


def load_of(kind: SourceKind) -> Load:
    return cast("Load", _entry(kind, "load"))


def reconcile_of(kind: SourceKind) -> Reconcile:
    return cast("Reconcile", _entry(kind, "reconcile"))


def check_of(kind: SourceKind) -> Callable[[], Iterator[Finding]]:
    return cast("Callable[[], Iterator[Finding]]", _entry(kind, "check"))


def _entry(kind: SourceKind, name: str) -> Any:
    return getattr(import_module(f"{FOLDERS[kind]}.{name}"), name)
