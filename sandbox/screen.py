"""What the demo shows: a line per step of the set-up, the day's live progress, and the summary at
the end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sandbox.day import DBT_DAG, Step

STATE_STYLES = {
    "success": "green",
    "running": "cyan",
    "failed": "red",
    "up_for_retry": "yellow",
    "announcing": "cyan",
}


@dataclass
class Screen:
    """Writes to a terminal with a live table, and to a file or pipe with a line per change."""

    console: Console = field(default_factory=lambda: Console(highlight=False, soft_wrap=True))
    _started: float = field(default_factory=time.monotonic)
    _last: dict[tuple[str, str], str] = field(default_factory=dict)
    _live: Live | None = None

    def say(self, text: str) -> None:
        """One line, with the seconds since the start in front."""
        self.console.print(
            Text(f"[{time.monotonic() - self._started:5.1f}s] ", style="dim").append(
                text, style="not dim"
            )
        )

    @contextmanager
    def progress(self) -> Iterator[None]:
        if not self.console.is_terminal:
            yield
            return
        with Live(console=self.console, refresh_per_second=8) as self._live:
            yield
        self._live = None

    def show(self, steps: list[Step]) -> None:
        if self._live:
            self._live.update(progress_table(steps))
            return
        for step in steps:
            key = (step.dag_id, step.task_id)
            if self._last.get(key) != step.state and step.state in STATE_STYLES:
                self._last[key] = step.state
                done = sum(step.done for step in steps)
                rows = "" if step.rows is None else f", {step.rows:,} rows"
                self.say(f"{done:2d}/{len(steps)} {step.dag_id}.{step.task_id}: {step.state}{rows}")


def progress_table(steps: list[Step]) -> Group:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (
        ("DAG", "left"),
        ("step", "left"),
        ("state", "left"),
        ("rows", "right"),
        ("seconds", "right"),
    ):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for step in steps:
        table.add_row(
            step.dag_id,
            step.task_id if step.dag_id == DBT_DAG else "load and announce",
            Text(step.state, style=STATE_STYLES.get(step.state, "dim")),
            "" if step.rows is None else f"{step.rows:,}",
            "" if step.seconds is None else f"{step.seconds:.1f}",
        )
    done = sum(step.done for step in steps)
    caption = Text(
        f"{done} of {len(steps)} steps, {sum(step.rows or 0 for step in steps):,} rows loaded"
    )
    return Group(table, ProgressBar(total=len(steps), completed=done, width=60), caption)


@dataclass(frozen=True)
class Summary:
    """What the day came to. Money is in US dollars."""

    day: date
    rows: dict[str, int]
    rejected: dict[str, int]
    tests_passed: int
    tests_warned: int
    revenue: list[tuple[object, ...]]  # (date, orders, gross revenue), newest first
    seconds: dict[str, float]
    total_seconds: float
    addresses: dict[str, str]


def show_summary(console: Console, summary: Summary) -> None:
    console.rule(f"[bold green]{summary.day} is published")
    loads = Table(
        title="Rows loaded per source", title_justify="left", box=None, header_style="bold"
    )
    for title in ("source", "rows", "rejected"):
        loads.add_column(title, justify="left" if title == "source" else "right")
    for name, rows in summary.rows.items():
        loads.add_row(name, f"{rows:,}", f"{summary.rejected[name]:,}")
    console.print(loads)
    console.print(
        f"\nTests: {summary.tests_passed} passed, {summary.tests_warned} with a warning, none "
        "failed\n"
    )

    revenue = Table(
        title="Revenue of the last days, from the published marts",
        title_justify="left",
        box=None,
        header_style="bold",
    )
    for title in ("date", "orders", "gross revenue USD"):
        revenue.add_column(title, justify="left" if title == "date" else "right")
    for order_date, orders, gross in summary.revenue:
        revenue.add_row(str(order_date), f"{orders:,}", f"{gross:,}")
    console.print(revenue)

    steps = Table(title="\nSeconds per step", title_justify="left", box=None, header_style="bold")
    steps.add_column("step")
    steps.add_column("seconds", justify="right")
    for name, seconds in summary.seconds.items():
        steps.add_row(name, f"{seconds:.1f}")
    steps.add_row("from trigger to notified", f"{summary.total_seconds:.1f}", style="bold")
    console.print(steps)

    console.print("\nOpen", style="italic")
    for name, address in summary.addresses.items():
        console.print(f" {name:16} {address}", markup=False)
    console.print("\nmake status says what runs, make stop ends all of it.")
