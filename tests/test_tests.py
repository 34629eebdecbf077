"""How the tests are laid out: what they share lives in ``tests/builders``.

The double of Snowflake is in ``tests/snowflake_double``, beside the tests of its rules.
"""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
# On a real account the same contract tests run again, so they are imported on purpose.
RUN_AGAIN = {("snowflake_account/test_account_loader.py", "tests.warehouse")}


def imported_modules(file: Path) -> set[str]:
    """Modules a file imports anywhere, also inside functions and for types only."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def test_no_test_imports_another_test_or_a_conftest() -> None:
    shared = ("tests.builders.", "tests.snowflake_double.")
    local = {file.stem for file in TESTS.rglob("*.py") if file.parent != TESTS / "builders"}
    found = set()
    for file in TESTS.rglob("*.py"):
        for module in imported_modules(file):
            first, last = module.split(".")[0], module.split(".")[-1]
            of_tests = first == "tests" and not (module.startswith(shared) and "test_" not in last)
            by_bare_name = "." not in module and module in local and module != "pipeline_page"
            if of_tests or by_bare_name or module.startswith(".") or last == "conftest":
                found.add((str(file.relative_to(TESTS)), module))
    assert found == RUN_AGAIN
