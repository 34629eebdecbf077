"""Which section of docs/runbook.md helps with an error: the one with the name of its class, or of
the nearest base.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pipeline.settings import PROJECT

RUNBOOK = PROJECT / "docs" / "runbook.md"
KILLED_SECTION = "KilledProcess"
OTHER_SECTION = "OtherError"


@cache
def sections(file: Path = RUNBOOK) -> frozenset[str]:
    """The section titles of the runbook; empty where the file is not at hand."""
    if not file.exists():
        return frozenset()
    return frozenset(
        line.removeprefix("## ").strip()
        for line in file.read_text().splitlines()
        if line.startswith("## ")
    )


def section_for(exception: BaseException | None) -> str:
    """The section's title; ``KilledProcess`` where there is no exception."""
    if exception is None:
        return KILLED_SECTION
    names = [kind.__name__ for kind in type(exception).__mro__]
    return next((name for name in names if name in sections()), OTHER_SECTION)


def runbook_link(exception: BaseException | None, base_url: str) -> str:
    """Address of the section that helps with the exception."""
    return link(section_for(exception), base_url)


def link(section: str, base_url: str) -> str:
    """``.../runbook#credentialserror``, below the address of the runbook's page."""
    return f"{base_url}#{section.lower()}"
