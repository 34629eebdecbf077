"""How much is left to chance: few examples beside every change, many by ``make test-long``."""

from __future__ import annotations

import os

LONG = os.environ.get("TESTS_LONG") == "1"
# Beside every change the same examples each time, so that nobody's build fails by luck.
EVERYDAY_SEED = 20261126


def examples(few: int, many: int) -> int:
    """How many examples a property test runs."""
    return many if LONG else few
