"""Rows that were set aside: what is said of each, and when there are too many."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import TooManyRejectsError

REJECTS_IN_ERROR = 5
TEXT_CHARACTERS = 2_000


@dataclass(frozen=True)
class Reject:
    """One row set aside. A row of a file has ``file`` and ``line``, one of a database a ``key``.

    Attributes:
        column: the first column that was refused; None where the row as a whole was.
        reason: completes "line 3: price ...", without the value.
        text: the row as it stood in the file, or the value that was refused; cut.
        file: its name.
        line: the physical line, counted from 1.
        key: the row's key as text; parts are separated by ``, ``.
    """

    column: str | None
    reason: str
    text: str
    file: str | None = None
    line: int | None = None
    key: str | None = None

    @property
    def place(self) -> str:
        """Where the row is: ``spend.csv line 3`` or ``key 17``."""
        if self.file is None:
            return f"key {self.key}"
        return f"{self.file} line {self.line}" if self.line is not None else self.file

    @property
    def sentence(self) -> str:
        """The reject without its value, which may be personal."""
        column = f"{self.column} " if self.column else ""
        return f"{self.place}: {column}{self.reason}"

    def identity(self, table: str) -> str:
        """Equal for the same fault found again, also where lines of the file have moved."""
        said = (table, self.file, self.key, self.column, self.reason, self.text)
        return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def refuse_too_many(
    table: str, rejected: int, total: int, ratio: float, setting: str, first: Sequence[Reject]
) -> None:
    """``TooManyRejectsError`` if more rows are rejected than a setting allows.

    Args:
        rejected: how many of ``total`` rows.
        ratio: the share that is allowed, as ``setting`` has it.
        first: some of the rejects, to be named.
    """
    if rejected > ratio * total:
        some = first[:REJECTS_IN_ERROR]
        raise TooManyRejectsError(
            f"{rejected:,} of {total:,} rows of {table} are bad, more than {setting} allows "
            f"({ratio:.0%}); nothing was loaded. The first: "
            f"{'; '.join(reject.sentence for reject in some)}.",
            some,
        )
