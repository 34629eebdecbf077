"""What the demo prints: a line per step of the set-up and of the day, and a summary at the end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from sandbox.day import Step

SHOWN = ("running", "announcing", "success", "up_for_retry", "failed")


class Screen:
    """Prints each line with the seconds since the start in front."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._last: dict[tuple[str, str], str] = {}

    def say(self, text: str) -> None:
        print(f"[{time.monotonic() - self._started:5.1f}s] {text}", flush=True)

    def show(self, steps: list[Step]) -> None:
        """A line for each step whose state has changed."""
        done = sum(step.done for step in steps)
        for step in steps:
            key = (step.dag_id, step.task_id)
            if step.state in SHOWN and self._last.get(key) != step.state:
                self._last[key] = step.state
                took = f", {step.seconds:.1f} s" if step.done and step.seconds else ""
                rows = "" if step.rows is None else f", {step.rows:,} rows"
                name = step.dag_id if step.dag_id == step.task_id else ".".join(key)
                self.say(f"{done:2d}/{len(steps)} {name}: {step.state}{rows}{took}")


@dataclass(frozen=True)
class Summary:
    """What the day came to. Money is in US dollars."""

    day: date
    rows: dict[str, int]
    rejected: dict[str, int]
    tests_passed: int
    tests_warned: int
    revenue: list[tuple[object, ...]]  # (date, orders, gross revenue), newest first
    total_seconds: float
    addresses: dict[str, str]

    def __str__(self) -> str:
        loads = [(name, f"{rows:,}", self.rejected[name]) for name, rows in self.rows.items()]
        days = [(day, f"{orders:,}", f"{gross:,}") for day, orders, gross in self.revenue]
        addresses = (f" {name:16} {address}" for name, address in self.addresses.items())
        return "\n".join(
            [
                f"\n--- {self.day} is published, {self.total_seconds:.1f} seconds after it was "
                "triggered ---\n",
                *_table(("source", "rows", "rejected"), loads),
                f"\nTests: {self.tests_passed} passed, {self.tests_warned} with a warning, none "
                "failed\n",
                "Revenue of the last days, from the published marts",
                *_table(("date", "orders", "gross revenue USD"), days),
                "\nOpen",
                *addresses,
                "\nmake status says what runs, make stop ends all of it.",
            ]
        )


def _table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    return [f" {first!s:14}{second!s:>12}{third!s:>20}" for first, second, third in (titles, *rows)]
