"""Which warnings are news: tests that warn of more rows than when the marts were last published.

Rows are counted, not compared: three rows that are mended while three others break are no news.
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
    """The tests, those that warned with their ``new_rows``.

    Args:
        tests: of this run.
        before: the last run of the tests that succeeded, None if there was none.
        published_at: when the tests of the current publication ended, UTC without a zone. What the
            run before had to tell is told again if it was not published.
    """
    known = {result["name"]: result for result in before.results} if before else {}
    told = before is not None and published_at is not None and before.finished_at <= published_at

    def news(test: DataTest) -> int:
        rows, earlier = test.failing_rows or 0, known.get(test.name, {})
        untold = 0 if told else earlier.get("new_rows", 0)
        return min(rows, max(0, rows - (earlier.get("failing_rows") or 0)) + untold)

    return tuple(
        replace(test, new_rows=news(test)) if test.status == "warn" else test for test in tests
    )
