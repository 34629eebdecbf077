"""What the doctor finds out about one connection. Each ``check.py`` yields such findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pipeline.errors import PassingError, PipelineError

State = Literal["works", "look", "fails", "try again", "not set"]


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    ``said`` is what was found and, where it does not simply work, what to do about it.
    """

    connection: str
    what: str
    state: State
    said: str

    @property
    def works(self) -> bool:
        return self.state == "works"


def tried(connection: str, what: str, check: Callable[[], str | Finding]) -> Finding:
    """The finding of ``check``, which returns what it has found and raises where it fails."""
    try:
        found = check()
    except PipelineError as error:
        state: State = "try again" if isinstance(error, PassingError) else "fails"
        return Finding(connection, what, state, str(error))
    except Exception as error:
        said = f"Nobody foresaw this: {type(error).__name__}: {error}"
        return Finding(connection, what, "fails", said)
    return found if isinstance(found, Finding) else Finding(connection, what, "works", found)
