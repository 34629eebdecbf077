"""The CSV inbox: a folder or any fsspec address in which the files of a table are found.

The inbox is hostile: links, devices and pipes are named and never opened, a file or an inbox beyond
the limits is refused, and no error tells what a file holds.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import os
import re
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import (
    ContractError,
    CredentialsError,
    MissingInputError,
    PermanentError,
    PipelineError,
    SettingsError,
    SourceUnavailableError,
    WarehouseUnavailableError,
)

COPY_BYTES = 1 << 20
MAX_FILES = 10_000
MAX_FILE_BYTES = 2 << 30  # as it lies in the inbox, and unpacked
ENDINGS = (".csv", ".csv.gz")
# Not followed if it is a link, and no waiting for a writer if it is a pipe.
_SAFELY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True)
class InboxFile:
    """A file as it was listed. ``modified_at`` is UTC without a zone, in microseconds."""

    name: str
    path: str
    size: int
    modified_at: datetime


@dataclass(frozen=True)
class Listing:
    """Regular files that end in ``.csv`` or ``.csv.gz``, in any case, and names of all else.

    Folders and hidden files are left out; both are sorted by name.
    """

    files: tuple[InboxFile, ...]
    others: tuple[str, ...]


class Inbox:
    """Read-only; an object store's keys and endpoints come from fsspec's own configuration.

    It is read from ``FSSPEC_<PROTOCOL>_<OPTION>``.
    """

    def __init__(self, address: str) -> None:
        """``SettingsError`` if the address names a file system that is unknown or not there."""
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

    def listing(self) -> Listing:
        """What lies in the inbox; folders in it are not looked into.

        Raises:
            MissingInputError: there is no such folder.
            PermanentError: it holds more than ``MAX_FILES``.
        """
        with self._explaining():
            self._fs.invalidate_cache()
            if not self._fs.isdir(self._folder):
                raise MissingInputError(
                    f"The CSV inbox {self.shown} does not exist. Create it, or set CSV_INBOX to "
                    "where it is."
                )
            entries = {
                PurePosixPath(str(entry["name"])).name: entry
                for entry in self._fs.ls(self._folder, detail=True)
                if entry["type"] != "directory" or entry.get("islink")
            }
            if len(entries) > MAX_FILES:
                raise PermanentError(
                    f"The CSV inbox {self.shown} holds {len(entries):,} files, more than "
                    f"{MAX_FILES:,}. Archive old ones: what was loaded from them stays."
                )
            names = sorted(name for name in entries if not name.startswith("."))
            wanted = [name for name in names if _is_export(name, entries[name])]
            return Listing(
                tuple(self._listed(entries[name]) for name in wanted),
                tuple(name for name in names if name not in wanted),
            )

    def copy(self, file: InboxFile, target: Path) -> str:
        """Copy a file, unpacked, so that one version is read; returns its SHA-256 as it lay there.

        Raises:
            ContractError: it is too large, or no gzip file in spite of its name.
            SourceUnavailableError: it changed while it was copied.
        """
        digest, size = hashlib.sha256(), 0
        unpack = _gunzip if file.name.lower().endswith(".gz") else _as_it_is
        if file.size > MAX_FILE_BYTES:
            raise _too_large(file.name)
        with self._explaining():
            with self._open(file) as remote, target.open("wb") as local:

                def chunks() -> Iterator[bytes]:
                    nonlocal size
                    while chunk := remote.read(COPY_BYTES):
                        digest.update(chunk)
                        size += len(chunk)
                        yield chunk

                for chunk in unpack(chunks(), file.name):
                    local.write(chunk)
                    if local.tell() > MAX_FILE_BYTES:
                        raise _too_large(file.name)
            self._fs.invalidate_cache()
            now = self._listed(self._fs.info(file.path))
        if now != file or size != file.size:
            raise SourceUnavailableError(
                f"{file.name} in {self.shown} was changed while it was read. Try again when it is "
                "complete."
            )
        return digest.hexdigest()

    def _open(self, file: InboxFile) -> IO[bytes]:
        if not isinstance(self._fs, LocalFileSystem):
            return self._fs.open(file.path, "rb")  # type: ignore[no-any-return]
        # It was a regular file when it was listed; what it is now is asked of what was opened.
        opened = os.fdopen(os.open(file.path, _SAFELY), "rb")
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            opened.close()
            raise ContractError(f"{file.name} in {self.shown} is no regular file. Remove it.")
        return opened

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
        if isinstance(error, OSError) and error.errno == errno.ELOOP:
            return ContractError(f"A file of the CSV inbox {self.shown} is a link. Remove it.")
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


def _is_export(name: str, entry: dict[str, Any]) -> bool:
    """Whether an entry is a regular file with one of the endings; a link never is."""
    is_file = entry["type"] == "file" and not entry.get("islink")
    return is_file and name.lower().endswith(ENDINGS)


def _as_it_is(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    return chunks


def _gunzip(chunks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """Unpack without trusting what comes: never more than ``COPY_BYTES`` at once."""
    try:
        with gzip.open(_Stream(chunks), "rb") as packed:
            while chunk := packed.read(COPY_BYTES):
                yield chunk
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise ContractError(
            f"{name} cannot be unpacked: it is no complete gzip file. Export it again."
        ) from None


class _Stream(io.RawIOBase):
    """Chunks as something that can be read, once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks, self._rest = chunks, b""

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            self._rest += chunk
        size = len(self._rest) if size < 0 else size
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def _too_large(name: str) -> ContractError:
    return ContractError(f"{name} is larger than {MAX_FILE_BYTES >> 30} GiB. Export it in parts.")
