"""The load manifest: what is known of a load before its commit.

Its window, the parts that are staged, columns the source has gained, rows set aside. A load of one
process keeps it in that process; a shared one in ``LOADS.SHARED_LOADS``, so that its processes may
run anywhere.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.contracts import Column, ColumnType, RawTable, Source
from pipeline.errors import PermanentError
from pipeline.records import Window
from pipeline.rejects import Reject
from warehouse.session import Session, utc_now

KEPT = timedelta(days=2)  # a shared load that nobody commits
Said = dict[str, Any]


@dataclass(frozen=True)
class StagedPart:
    """One complete part of one table.

    Attributes:
        files: Parquet files, relative to where the warehouse keeps staged files.
        columns: names of the columns in them.
        digest: of the files' content.
    """

    table: str
    name: str
    files: tuple[str, ...]
    columns: tuple[str, ...]
    rows: int
    digest: str
    finished_at: datetime


def checksum(parts: Sequence[StagedPart]) -> str:
    """Identifies the rows that were staged, in the order they came."""
    digest = hashlib.sha256()
    for part in sorted(parts, key=lambda part: (part.table, part.name)):
        digest.update(f"{part.table}\0{part.name}\0{part.rows}\0{part.digest}\0".encode())
    return digest.hexdigest()


class Manifest(ABC):
    """``kind``, table, name and what was said of it: of the same three, the newest counts."""

    def __init__(self, load_id: str, day: date, window: Window, started_at: datetime) -> None:
        self.load_id, self.day, self.window, self.started_at = load_id, day, window, started_at

    @abstractmethod
    def _say(self, kind: str, table: str, name: str, said: Said) -> None: ...

    @abstractmethod
    def _said(self, session: Session, kind: str, table: str) -> dict[str, Said]:
        """What was said of a table, by name."""

    @abstractmethod
    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None: ...

    @abstractmethod
    def rejected(self, session: Session) -> Iterator[Said]:
        """The fields of ``Reject`` and ``table_name`` of each row set aside, in their order."""

    def reread(self, table: RawTable, files: Sequence[str], keys: Sequence[str]) -> None:
        said = {"files": list(files), "keys": list(keys)}
        self._say("reread", table.name, secrets.token_hex(4), said)

    def was_reread(self, session: Session, table: RawTable) -> tuple[set[str], set[str]]:
        """Files and keys of a table that this load has looked at again."""
        said = self._said(session, "reread", table.name).values()
        files = {file for each in said for file in each["files"]}
        return files, {key for each in said for key in each["keys"]}

    def add_part(self, part: StagedPart) -> None:
        said = {**asdict(part), "finished_at": part.finished_at.isoformat()}
        self._say("part", part.table, part.name, said)

    def add_gone(self, part: StagedPart) -> None:
        """The part has the keys of rows that are gone from the source."""
        said = {**asdict(part), "finished_at": part.finished_at.isoformat()}
        self._say("gone", part.table, part.name, said)

    def gone(self, session: Session, table: RawTable) -> list[StagedPart]:
        return [_part(said) for said in self._said(session, "gone", table.name).values()]

    def parts(
        self, session: Session, table: RawTable, names: Sequence[str] | None
    ) -> list[StagedPart]:
        """The wanted parts of a table, or all of them; ``PermanentError`` names missing ones."""
        said = self._said(session, "part", table.name)
        if missing := [name for name in names or () if name not in said]:
            raise PermanentError(
                f"Parts {', '.join(missing)} of {table.name} are not staged. Nothing was loaded. "
                "Run their tasks again. With DuckDB all of them need the same "
                "WAREHOUSE_DUCKDB_DIR: machines that share no folder need WAREHOUSE_KIND=snowflake."
            )
        return [_part(said[name]) for name in (sorted(said) if names is None else names)]

    def add_column(self, table: RawTable, column: Column) -> None:
        self._say("column", table.name, column.name, asdict(column))

    def added_columns(self, session: Session, table: RawTable) -> tuple[Column, ...]:
        said = self._said(session, "column", table.name)
        return tuple(
            Column(each["name"], ColumnType(**each["type"]), each["nullable"])
            for _, each in sorted(said.items())
        )


def _part(said: Said) -> StagedPart:
    finished_at = datetime.fromisoformat(said["finished_at"])
    lists = {"files": tuple(said["files"]), "columns": tuple(said["columns"])}
    return StagedPart(**{**said, **lists, "finished_at": finished_at})


class OwnManifest(Manifest):
    """Of a load that one process makes alone. Rejected rows, which can be many, are in a file."""

    def __init__(
        self, load_id: str, day: date, window: Window, started_at: datetime, folder: Path
    ) -> None:
        super().__init__(load_id, day, window, started_at)
        self._rejects = folder / "rejected.jsonl"
        self._all: dict[tuple[str, str], dict[str, Said]] = {}

    def _say(self, kind: str, table: str, name: str, said: Said) -> None:
        self._all.setdefault((kind, table), {})[name] = said

    def _said(self, session: Session, kind: str, table: str) -> dict[str, Said]:
        return self._all.get((kind, table), {})

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        with self._rejects.open("a") as file:
            for said in _rejects(table, rejects):
                file.write(json.dumps(said) + "\n")

    def rejected(self, session: Session) -> Iterator[Said]:
        if self._rejects.exists():
            with self._rejects.open() as lines:
                yield from map(json.loads, lines)


class SharedManifest(Manifest):
    """Of a load that several processes make, wherever they run.

    The first process says what the load is; the others take its window and its beginning.

    Args:
        writing: opens a session for one entry.

    Raises:
        PermanentError: the load is one of another source or day.
    """

    def __init__(
        self,
        writing: Callable[[], AbstractContextManager[Session]],
        load_id: str,
        source: Source,
        day: date,
        window: Window,
        started_at: datetime,
    ) -> None:
        super().__init__(load_id, day, window, started_at)
        self._writing = writing
        start = window.start.isoformat() if window.start else None
        said = {
            "source": source.name,
            "day": str(day),
            "window_start": start,
            "window_end": window.end.isoformat(),
            "started_at": self.started_at.isoformat(),
        }
        with writing() as session:
            if not self._entries(session, "load", ""):
                self._add(session, "load", "", "", said)
            # Of two processes that began at once, both take what the first has said.
            _, first = self._entries(session, "load", "")[0]
        if (first["source"], first["day"]) != (source.name, str(day)):
            raise PermanentError(
                f"The load {load_id} is one of {first['source']} for {first['day']}; "
                f"it cannot take rows of {source.name} for {day}."
            )
        begin = datetime.fromisoformat(first["window_start"]) if first["window_start"] else None
        self.window = Window(begin, datetime.fromisoformat(first["window_end"]))
        self.started_at = datetime.fromisoformat(first["started_at"])

    def _say(self, kind: str, table: str, name: str, said: Said) -> None:
        with self._writing() as session:
            self._add(session, kind, table, name, said)

    def _said(self, session: Session, kind: str, table: str) -> dict[str, Said]:
        return dict(self._entries(session, kind, table))

    def reject(self, table: RawTable, rejects: Sequence[Reject]) -> None:
        self._say("rejects", "", "", {"rows": _rejects(table, rejects)})

    def rejected(self, session: Session) -> Iterator[Said]:
        for _, said in self._entries(session, "rejects", ""):
            yield from said["rows"]

    def _add(self, session: Session, kind: str, table: str, name: str, said: Said) -> None:
        entry = (self.load_id, kind, table, name, json.dumps(said), utc_now())
        session.insert("LOADS.SHARED_LOADS", [entry])

    def _entries(self, session: Session, kind: str, table: str) -> list[tuple[str, Said]]:
        """Name and what was said, the oldest first."""
        found = session.rows(
            "select name, said from LOADS.SHARED_LOADS "
            "where load_id = ? and kind = ? and table_name = ? order by said_at, said",
            [self.load_id, kind, table],
        )
        return [(name, json.loads(said)) for name, said in found]


def _rejects(table: RawTable, rejects: Sequence[Reject]) -> list[Said]:
    return [{"table_name": table.raw_name.lower(), **asdict(reject)} for reject in rejects]


def forget(session: Session, load_id: str) -> None:
    """Drop the manifest of a load that is committed, and those nobody has touched for two days."""
    session.execute(
        "delete from LOADS.SHARED_LOADS where load_id = ? or load_id in "
        "(select load_id from LOADS.SHARED_LOADS group by load_id having max(said_at) < ?)",
        [load_id, utc_now() - KEPT],
    )
