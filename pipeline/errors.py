"""What can go wrong in a load. Two families: a passing error is worth a retry, a permanent one is
not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.records import Reject


class IngestionError(Exception):
    """Base of all: its text is a sentence for the person who must act."""


class PermanentError(IngestionError):
    """Trying again changes nothing: somebody has to act first."""


class PassingError(IngestionError):
    """The same load is likely to work in some minutes."""


class SettingsError(PermanentError):
    """A setting is missing or cannot be read; the text names its environment variable."""


class CredentialsError(PermanentError):
    """The other side refused who we are, or what we may do."""


class ContractError(PermanentError):
    """A source no longer looks as declared in ``pipeline/sources.py``; nothing was written."""


class MissingInputError(PermanentError):
    """A table, file or folder is not where it was looked for."""


class TooManyRejectsError(PermanentError):
    """More rows were rejected than the threshold allows; nothing was loaded. ``rejects`` are the
    first few.
    """

    def __init__(self, message: str, rejects: Sequence[Reject] = ()) -> None:
        super().__init__(message)
        self.rejects = tuple(rejects)


class SourceUnavailableError(PassingError):
    """The source did not answer, or broke off."""


class RateLimitedError(PassingError):
    """The source asked to wait. ``retry_after`` is in seconds, None where the source did not say."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WarehouseUnavailableError(PassingError):
    """The warehouse did not answer, is locked, or has no space left."""
