"""Staged parts: the rows of a load on their way, as Parquet files in the load's own folder.

staged/<load_id>/load.json                    which load this is
staged/<load_id>/owner.lock                   locked by every process that works on the load; free: nobody does
staged/<load_id>/columns/<table>.<column>     columns the source has gained
staged/<load_id>/rejected/<n>.json            rows set aside
staged/<load_id>/parts/<table>/<part>/        Parquet files of one part, and part.json: written last, makes it count
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote

from pipeline.contracts import Column, ColumnType, RawTable, Source
from pipeline.errors import PermanentError, WarehouseUnavailableError
from pipeline.records import Reject, Window

SHARED_LOAD_KEPT_SECONDS = 2 * 24 * 3600  # between two tasks of a shared load no process holds it


def utc_now() -> datetime:
    """Now, UTC without a zone, as all timestamps in the warehouse are."""
    return datetime.now(UTC).replace(tzinfo=None)


@dataclass(frozen=True)
class StagedPart:
    """One complete part. ``size`` is that of its rows in memory, in bytes; ``key_range`` is None
    unless its keys are known to be distinct integers."""

    table: str
    name: str
    files: tuple[Path, ...]
    rows: int
    size: int
    digest: str
    finished_at: datetime
    key_range: tuple[int, int] | None


@dataclass(frozen=True)
class StagedLoad:
    """The folder of one load, and what its creator said about it."""

    folder: Path
    load_id: str
    source: str
    day: date
    window: Window
    started_at: datetime

    def part_folder(self, table: RawTable, part: str) -> Path:
        return self.folder / "parts" / table.name / part

    def parts(self, table: RawTable) -> list[StagedPart]:
        """The complete parts of a table, in the order of their names."""
        found = []
        for description in sorted((self.folder / "parts" / table.name).glob("*/part.json")):
            folder, said = description.parent, json.loads(description.read_text())
            if folder.name.startswith("."):
                continue
            found.append(
                StagedPart(
                    table=table.name,
                    name=folder.name,
                    files=tuple(folder / name for name in said["files"]),
                    rows=said["rows"],
                    size=said["size"],
                    digest=said["digest"],
                    finished_at=datetime.fromisoformat(said["finished_at"]),
                    key_range=tuple(said["key_range"]) if said["key_range"] else None,
                )
            )
        return found

    def add_column(self, table: RawTable, column: Column) -> None:
        write_text(
            self.folder / "columns" / f"{table.name}.{quote(column.name, safe='')}",
            json.dumps(asdict(column)),
        )

    def added_columns(self, table: RawTable) -> tuple[Column, ...]:
        """In the order of their names."""
        columns = []
        for path in sorted((self.folder / "columns").glob(f"{table.name}.*")):
            said = json.loads(path.read_text())
            columns.append(Column(said["name"], ColumnType(**said["type"]), said["nullable"]))
        return tuple(columns)

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        lines = [
            json.dumps({"table_name": table.raw_name.lower(), **asdict(reject)})
            for reject in rejects
        ]
        name = f"{time.time_ns():020d}-{secrets.token_hex(3)}.json"
        write_text(self.folder / "rejected" / name, "\n".join(lines))

    def rejected(self) -> Iterator[dict[str, object]]:
        """``Reject``'s fields and ``table_name`` of each row set aside, in the order they came."""
        for path in sorted((self.folder / "rejected").glob("*.json")):
            with path.open() as lines:
                yield from (json.loads(line) for line in lines)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def checksum(parts: Sequence[StagedPart]) -> str:
    """Identifies the rows that were staged, in the order they came."""
    digest = hashlib.sha256()
    for part in sorted(parts, key=lambda part: (part.table, part.name)):
        digest.update(f"{part.table}\0{part.name}\0{part.rows}\0{part.digest}\0".encode())
    return digest.hexdigest()


@contextmanager
def open_staged_load(
    root: Path, source: Source, day: date, window: Window, load_id: str | None
) -> Iterator[StagedLoad]:
    """A load's folder, locked as being worked on; leftovers of dead processes are swept on the way.

    Without ``load_id`` the load is this block's own and its folder goes with the block. With it the
    load is shared: the folder is created by whoever comes first and stays until somebody removes
    it, or nobody has touched it for two days.
    """
    name = load_id or f"{source.name}-{day}-{utc_now():%H%M%S}-{secrets.token_hex(4)}"
    if not name or name.startswith(".") or "/" in name or "\0" in name:
        raise PermanentError(
            f"{name!r} cannot be the id of a load: it must be usable as the name of a folder."
        )
    folder = root / name
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / ".lock", fcntl.LOCK_EX):
            _sweep(root, spare=name)
            folder.mkdir(exist_ok=load_id is not None)
            held = _locked(folder / "owner.lock", fcntl.LOCK_SH)
            held.__enter__()
            load = _describe(folder, source, day, window, shared=load_id is not None)
    except OSError as error:
        raise WarehouseUnavailableError(
            f"The load of {source.name} for {day} cannot be staged in {root}: {error.strerror}."
        ) from error
    try:
        yield load
    finally:
        if load_id is None:
            load.remove()
        held.__exit__(None, None, None)


def _describe(
    folder: Path, source: Source, day: date, window: Window, *, shared: bool
) -> StagedLoad:
    path = folder / "load.json"
    if path.exists():
        said = json.loads(path.read_text())
        if (said["source"], said["day"]) != (source.name, str(day)):
            raise PermanentError(
                f"The load {folder.name} is one of {said['source']} for {said['day']}; "
                f"it cannot take rows of {source.name} for {day}."
            )
        start = datetime.fromisoformat(said["window_start"]) if said["window_start"] else None
        window, started_at = (
            Window(start, datetime.fromisoformat(said["window_end"])),
            datetime.fromisoformat(said["started_at"]),
        )
    else:
        started_at = utc_now()
        said = {
            "source": source.name,
            "day": str(day),
            "window_start": window.start.isoformat() if window.start else None,
            "window_end": window.end.isoformat(),
            "started_at": started_at.isoformat(),
            "shared": shared,
        }
        write_text(path, json.dumps(said))
    return StagedLoad(folder, folder.name, source.name, day, window, started_at)


def _sweep(root: Path, spare: str) -> None:
    """Remove folders on which no process works any more."""
    for folder in root.iterdir():
        if not folder.is_dir() or folder.name == spare:
            continue
        description = folder / "load.json"
        shared = description.exists() and json.loads(description.read_text())["shared"]
        try:
            if shared and time.time() - _last_touched(folder) < SHARED_LOAD_KEPT_SECONDS:
                continue
            with _locked(folder / "owner.lock", fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(folder, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue


def _last_touched(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


@contextmanager
def _locked(path: Path, operation: int) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, operation)
        yield
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Whole or not at all: a process killed half-way leaves the old file, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(3)}")
    beside.write_text(text)
    beside.replace(path)
