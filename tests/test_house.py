"""The house: imports run down only, in no circle; each engine is asked for in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
FLOORS = {
    "pipeline": 1,
    "warehouse": 3,
    "ingestion": 4,
    "transform": 4,
    "alerting": 4,
    "operations": 4,
    "wiring": 5,  # dags/wiring; the DAG files themselves are imported by nobody
    "plugins": 5,
    "pipeline_page": 5,
    "dashboard": 5,
}
BESIDE = ("benchmarks", "docs", "infrastructure", "sandbox", "tests")


@cache
def modules() -> dict[str, ast.Module]:
    """Every module on a floor of the house, by its dotted name."""
    found = {}
    for package in FLOORS:
        folder = PROJECT / ("dags/wiring" if package == "wiring" else package)
        for path in sorted(folder.rglob("*.py")):
            parts = [package, *path.relative_to(folder).with_suffix("").parts]
            name = ".".join(parts).removesuffix(".__init__")
            found[name] = ast.parse(path.read_text(), str(path))
    return found


def imports(tree: ast.AST, *, for_types: bool) -> Iterator[str]:
    """Modules that a module imports anywhere; ``for_types``: under ``TYPE_CHECKING`` too."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            yield from imports(node, for_types=for_types)


def imported_modules(name: str, *, for_types: bool) -> set[str]:
    """Modules of the house that one of them imports."""
    found = set()
    for target in imports(modules()[name], for_types=for_types):
        module = target if target in modules() else target.rpartition(".")[0]
        if module in modules() and module != name:
            found.add(module)
    return found


def test_imports_run_down_only() -> None:
    for name in modules():
        floor = FLOORS[name.partition(".")[0]]
        for target in imports(modules()[name], for_types=True):
            package = target.partition(".")[0]
            assert package not in BESIDE, f"{name} imports {target}, which stands beside the house"
            above = FLOORS.get(package, 0) > floor
            assert not above, f"{name} (floor {floor}) imports {target} from above"


def test_imports_run_in_no_circle() -> None:
    graph = {name: imported_modules(name, for_types=False) for name in modules()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"These modules import each other: {' <- '.join(error.args[1])}")


def test_only_the_engines_folder_asks_which_engine_it_is() -> None:
    engine = r"""["'](?:duckdb|snowflake)["']"""
    asks = re.compile(rf"(?:kind|dialect)\s*[!=]=\s*{engine}|{engine}\s*[!=]=")
    for path in (
        path
        for package in FLOORS
        for path in (PROJECT / ("dags" if package == "wiring" else package)).rglob("*.py")
    ):
        here = path.relative_to(PROJECT)
        if here.parent.parent == Path("warehouse"):
            continue
        if here == Path("warehouse/__init__.py"):  # `open_warehouse`, the one place that chooses
            continue
        assert not asks.search(path.read_text()), f"{here} asks which engine the warehouse is"
