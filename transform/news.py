"""Which warnings are news: rows that no test warned of when the marts were last published.

Rows are told apart by their keys. Where there are more than the history keeps (``KEYS_KEPT``), they
are counted instead: then three that are mended while three others break are no news.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from transform.results import DataTest

if TYPE_CHECKING:
    from warehouse.runs import Run


def with_news(
    tests: Iterable[DataTest], before: Run | None, published_at: datetime | None
) -> tuple[DataTest, ...]:
    """The tests, those that warned with their ``new_rows`` and the keys of those first.

    Args:
        tests: of this run.
        before: the last run of the tests that succeeded, None if there was none.
        published_at: when the tests of the current publication ended, UTC without a zone. What the
            run before had to tell is told again if it was not published.
    """
    known = {result["name"]: result for result in before.results} if before else {}
    told = before is not None and published_at is not None and before.finished_at <= published_at

    def news(test: DataTest) -> DataTest:
        earlier = known.get(test.name, {})
        rows, rows_before = test.failing_rows or 0, earlier.get("failing_rows") or 0
        untold = 0 if told else earlier.get("new_rows", 0)
        keys_before = earlier.get("keys", [])
        new, old = _told_apart(test.keys, keys_before[untold:])
        are_kept = len(test.keys) == rows and len(keys_before) == rows_before
        count = len(new) if are_kept else min(rows, max(0, rows - rows_before) + untold)
        return replace(test, new_rows=count, keys=(*new, *old))

    return tuple(news(test) if test.status == "warn" else test for test in tests)


def _told_apart(
    keys: Iterable[dict[str, str]], told: list[dict[str, str]]
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The new keys and the others; a key that comes twice and was told once is new once."""
    new, old, left = [], [], list(told)
    for key in keys:
        if key in left:
            left.remove(key)
            old.append(key)
        else:
            new.append(key)
    return new, old
