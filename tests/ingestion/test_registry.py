"""Each kind of source is one folder with the same entry points, imported only when needed."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from typing import Any, get_args

import pytest

from ingestion.registry import FOLDERS, check_of, load_of, reconcile_of
from pipeline.contracts import SourceKind
from pipeline.settings import PROJECT
from pipeline.sources import SOURCES

DRIVERS = {"postgres": {"psycopg2"}, "stripe": {"stripe"}, "csv": {"fsspec"}}


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_every_kind_of_source_has_a_folder() -> None:
    assert set(FOLDERS) == set(get_args(SourceKind)) == {source.kind for source in SOURCES}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_has_the_entry_points_and_says_what_it_expects(kind: SourceKind) -> None:
    assert parameters(load_of(kind)) == ["source", "day", "warehouse", "full_refresh"]
    assert parameters(reconcile_of(kind)) == ["source", "warehouse", "repair"]
    assert parameters(check_of(kind)) == []
    folder = PROJECT / FOLDERS[kind].replace(".", "/")
    assert (folder / "contract.py").exists() and (folder / "settings.py").exists()


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_load_imports_no_other_source(kind: SourceKind) -> None:
    others = set().union(*(names for other, names in DRIVERS.items() if other != kind))
    code = (
        "import sys, ingestion.load\n"
        "from ingestion.registry import load_of\n"
        f"load_of({kind!r})\n"
        f"print(sorted({others!r} & set(sys.modules)), {DRIVERS[kind]!r} <= set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[] True"
