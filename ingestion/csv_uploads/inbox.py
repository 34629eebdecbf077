"""The CSV inbox: a folder or any fsspec address in which the files of a table are found."""

from __future__ import annotations

import errno
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec

from pipeline.errors import (
    CredentialsError,
    MissingInputError,
    PermanentError,
    PipelineError,
    SettingsError,
    SourceUnavailableError,
    WarehouseUnavailableError,
)

COPY_BYTES = 1 << 20
NAMES_SHOWN = 5


@dataclass(frozen=True)
class InboxFile:
    """A file as it was listed. ``modified_at`` is UTC without a zone, in microseconds."""

    name: str
    path: str
    size: int
    modified_at: datetime


class Inbox:
    """Read-only. Keys and endpoints of an object store come from fsspec's own configuration:
    ``FSSPEC_<PROTOCOL>_<OPTION>``.
    """

    def __init__(self, address: str) -> None:
        """Raises ``SettingsError`` if the address names a file system that is not known or not
        installed.
        """
        self.shown = without_secrets(address)
        self._address = address
        try:
            self._fs, self._folder = fsspec.url_to_fs(address)
        except (ImportError, ValueError) as error:
            raise SettingsError(
                f"CSV_INBOX={self.shown} cannot be opened: {self._scrub(error)}"
            ) from None
        except Exception as error:
            raise self._explained(error) from None

    def files(self, pattern: str) -> tuple[InboxFile, ...]:
        """Files that match ``pattern``, in any letter case, by name. ``MissingInputError`` says
        what there is instead.
        """
        with self._explaining():
            self._fs.invalidate_cache()
            if not self._fs.isdir(self._folder):
                raise MissingInputError(
                    f"The CSV inbox {self.shown} does not exist. Create it, or set CSV_INBOX to "
                    "where it is."
                )
            entries = sorted(
                self._fs.ls(self._folder, detail=True), key=lambda entry: str(entry["name"])
            )
            entries = [
                entry for entry in entries if entry["type"] != "directory"
            ]  # a link is neither file nor directory
            names = [PurePosixPath(str(entry["name"])).name for entry in entries]
            found = tuple(self._listed(entry) for entry in entries if _matches(entry, pattern))
        if not found:
            raise MissingInputError(
                f"There is no {pattern} in the CSV inbox {self.shown}; {_listing(names)}."
            )
        return found

    def copy(self, file: InboxFile, target: Path) -> None:
        """Copy a file, so that one version of it is read; ``SourceUnavailableError`` if it changes
        meanwhile.
        """
        with self._explaining():
            with self._fs.open(file.path, "rb") as remote, target.open("wb") as local:
                shutil.copyfileobj(remote, local, COPY_BYTES)
            self._fs.invalidate_cache()
            now = self._listed(self._fs.info(file.path))
        if now != file or target.stat().st_size != file.size:
            raise SourceUnavailableError(
                f"{file.name} in {self.shown} was changed while it was read. Try again when it is "
                "complete."
            )

    def _listed(self, entry: dict[str, Any]) -> InboxFile:
        path = str(entry["name"])
        modified = self._fs.modified(path)
        if modified.tzinfo is not None:
            modified = modified.astimezone(UTC).replace(tzinfo=None)
        return InboxFile(PurePosixPath(path).name, path, int(entry["size"]), modified)

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except PipelineError:
            raise
        except Exception as error:  # each file system has error classes of its own
            raise self._explained(error) from None

    def _explained(self, error: Exception) -> PipelineError:
        reason = self._scrub(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return WarehouseUnavailableError(
                f"There is no space left in {tempfile.gettempdir()} for a copy of the CSV files."
            )
        if isinstance(error, PermissionError):
            return CredentialsError(
                f"The CSV inbox {self.shown} may not be read: {reason}. Check the rights and the "
                "keys."
            )
        if isinstance(error, FileNotFoundError):
            return SourceUnavailableError(
                f"A file went away while the CSV inbox {self.shown} was read: {reason}."
            )
        if isinstance(error, NotImplementedError):
            return PermanentError(
                f"The CSV inbox {self.shown} does not tell when its files were modified; use "
                "another address."
            )
        return SourceUnavailableError(
            f"The CSV inbox {self.shown} cannot be read: {type(error).__name__}: {reason}."
        )

    def _scrub(self, error: Exception) -> str:
        text = (str(error) or type(error).__name__).replace(self._address, self.shown)
        for secret in _secrets(self._address):
            text = text.replace(secret, "***")
        return text.rstrip(".")


def without_secrets(address: str) -> str:
    """The address without user and password (before ``@``) or signature (after ``?``)."""
    return re.sub(r"(?<=://)[^/]*@", "***@", address).split("?", 1)[0]


def _secrets(address: str) -> list[str]:
    login = re.search(r"://([^/]*)@", address)
    query = address.partition("?")[2]
    parts = (login[1].split(":") if login else []) + [
        pair.partition("=")[2] for pair in query.split("&")
    ]
    return [part for part in parts if part]


def _matches(entry: dict[str, Any], pattern: str) -> bool:
    return fnmatch(PurePosixPath(str(entry["name"])).name.lower(), pattern)


def _listing(names: list[str]) -> str:
    if not names:
        return "it is empty"
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"there is {', '.join(names[:NAMES_SHOWN])}{more}"
