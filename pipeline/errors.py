"""What can go wrong, by whether another try helps.

PipelineError
  · PermanentError                a person has to act first: never retried
    · SettingsError
    · CredentialsError
    · ContractError
    · MissingInputError
      · AwaitedInputError         not there yet: the daily run waits for it
    · TooManyRejectsError
  · PassingError                  another try in some minutes is likely to work
    · SourceUnavailableError
    · RateLimitedError
    · WarehouseUnavailableError

Errors that only one package raises stand in that package, below one of these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.rejects import Reject


class PipelineError(Exception):
    """Base of all. Its text is a sentence for the person who must act."""


class PermanentError(PipelineError):
    """Another try changes nothing: a person has to act first."""


class PassingError(PipelineError):
    """Another try in some minutes is likely to work."""


class SettingsError(PermanentError):
    """A setting is missing or cannot be read; the text names its environment variable."""


class CredentialsError(PermanentError):
    """The other side refused who we are, or what we may do."""


class ContractError(PermanentError):
    """A source is not as declared in ``pipeline/sources.py``; nothing was written."""


class MissingInputError(PermanentError):
    """A table, file or folder is not where it was looked for."""


class AwaitedInputError(MissingInputError):
    """An input that comes as a rule is not there yet; the text names it.

    The daily run waits for it.
    """


class TooManyRejectsError(PermanentError):
    """More rows were rejected than the threshold allows; nothing was loaded.

    ``rejects`` are the first few.
    """

    def __init__(self, message: str, rejects: Sequence[Reject] = ()) -> None:
        super().__init__(message)
        self.rejects = tuple(rejects)


class SourceUnavailableError(PassingError):
    """The source did not answer, or broke off."""


class RateLimitedError(PassingError):
    """The source asked to wait for ``retry_after`` seconds; None where it did not say how long."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class WarehouseUnavailableError(PassingError):
    """The warehouse did not answer, is locked, or has no space left."""
