"""Runs the checks of every connection and says what works, what fails and what to do.

``python -m ingestion doctor``. Nothing is loaded and no message is posted; what a check writes it
takes away again.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module

from ingestion import registry
from pipeline.checks import Finding, tried
from pipeline.masking import mask
from pipeline.settings import settings
from warehouse.settings import WarehouseSettings

HEALTHY, ACT_FIRST, TRY_AGAIN = 0, 1, 75
WIDTH = 120


def examine() -> Iterator[Finding]:
    """Every finding, as soon as it is made: each kind of source, warehouse, Slack."""
    for kind in registry.FOLDERS:
        yield from registry.check_of(kind)()
    yield from check_warehouse()
    yield from import_module("alerting.check").check()


def check_warehouse() -> Iterator[Finding]:
    """The checks of the configured engine, whose folder is called like ``WAREHOUSE_KIND``."""
    configured = tried("warehouse", "kind", lambda: settings(WarehouseSettings).kind)
    if not configured.works:
        yield configured
        return
    yield from import_module(f"warehouse.{configured.said}.check").check()


def run(say: Callable[[str], None] = print) -> int:
    """Print all findings as a table.

    Returns 0 if everything works, 1 if somebody has to act, 75 if another try may do.
    """
    say(f"{'CONNECTION':<11} {'WHAT':<26} {'STATE':<10} WHAT WAS FOUND, WHAT TO DO")
    states = []
    for finding in examine():
        states.append(finding.state)
        say(line(finding))
    failed = states.count("fails") + states.count("try again")
    say("")
    say(
        f"{len(states)} checks: {states.count('works')} work, {states.count('look')} to look at, "
        f"{failed} fail."
    )
    return ACT_FIRST if "fails" in states else TRY_AGAIN if "try again" in states else HEALTHY


def line(finding: Finding) -> str:
    """One row of the table; long sentences go on below, under their column."""
    begin = f"{finding.connection:<11} {finding.what:<26} {finding.state:<10} "
    return textwrap.fill(
        mask(finding.said),
        WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )
