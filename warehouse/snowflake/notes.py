"""What is known of a load before its commit: in this process for one of its own, in the warehouse
for a shared one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipeline.contracts import Column, ColumnType, RawTable, Source
from pipeline.errors import PermanentError
from pipeline.records import Window
from warehouse.snowflake.session import execute, rows
from warehouse.staging import StagedPart, utc_now, write_text

if TYPE_CHECKING:
    from snowflake.connector import SnowflakeConnection

Said = dict[str, Any]


class Notes(Protocol):
    """The window of a load, its parts, columns the source has gained, rows set aside."""

    load_id: str
    shared: bool
    day: date
    window: Window
    started_at: datetime
    has_superseded: (
        bool  # a part was staged twice: files of its first time are on the stage as well
    )

    def add_part(self, part: StagedPart) -> None: ...
    def parts(self, table: RawTable) -> list[StagedPart]: ...
    def add_column(self, table: RawTable, column: Column) -> None: ...
    def added_columns(self, table: RawTable) -> tuple[Column, ...]: ...
    def add_rejects(self, said: Sequence[Said]) -> None: ...
    def rejected(self) -> Iterator[Said]: ...
    def forget(self, connection: SnowflakeConnection) -> None: ...


class OwnNotes:
    """Notes of a load that one process makes alone. Rejected rows, which can be many, are in a
    folder of it.
    """

    shared = False

    def __init__(self, load_id: str, day: date, window: Window, folder: Path) -> None:
        self.load_id, self.day, self.window, self.started_at = load_id, day, window, utc_now()
        self.has_superseded = False
        self._folder = folder / "rejected"
        self._rejects = 0
        self._parts: dict[tuple[str, str], StagedPart] = {}
        self._columns: dict[tuple[str, str], Column] = {}

    def add_part(self, part: StagedPart) -> None:
        self.has_superseded |= (part.table, part.name) in self._parts
        self._parts[part.table, part.name] = part

    def parts(self, table: RawTable) -> list[StagedPart]:
        return [self._parts[key] for key in sorted(self._parts) if key[0] == table.name]

    def add_column(self, table: RawTable, column: Column) -> None:
        self._columns[table.name, column.name] = column

    def added_columns(self, table: RawTable) -> tuple[Column, ...]:
        return tuple(self._columns[key] for key in sorted(self._columns) if key[0] == table.name)

    def add_rejects(self, said: Sequence[Said]) -> None:
        write_text(self._folder / f"{self._rejects:08d}.json", "\n".join(map(json.dumps, said)))
        self._rejects += 1

    def rejected(self) -> Iterator[Said]:
        for path in sorted(self._folder.glob("*.json")):
            with path.open() as lines:
                yield from (json.loads(line) for line in lines)

    def forget(self, connection: SnowflakeConnection) -> None:
        """They go with the folder."""


class SharedNotes:
    """Notes of a load that several processes make, wherever they run: rows of
    ``LOADS.SHARED_LOADS``, the newest counts.

    Args:
        session: opens a session for one note or question.
    """

    shared = True
    has_superseded = True

    def __init__(
        self,
        session: Callable[[], AbstractContextManager[SnowflakeConnection]],
        load_id: str,
        source: Source,
        day: date,
        window: Window,
    ) -> None:
        self.load_id, self._session = load_id, session
        said: Said = {
            "source": source.name,
            "day": str(day),
            "window_start": window.start.isoformat() if window.start else None,
            "window_end": window.end.isoformat(),
            "started_at": utc_now().isoformat(),
        }
        with session() as connection:
            if not self._read(connection, "load"):
                self._say(connection, "load", None, None, said)
            first = self._read(connection, "load")[0][
                2
            ]  # of two that began at once, everybody takes the same
        if (first["source"], first["day"]) != (source.name, str(day)):
            raise PermanentError(
                f"The load {load_id} is one of {first['source']} for {first['day']}; "
                f"it cannot take rows of {source.name} for {day}."
            )
        start = datetime.fromisoformat(first["window_start"]) if first["window_start"] else None
        self.day, self.window = day, Window(start, datetime.fromisoformat(first["window_end"]))
        self.started_at = datetime.fromisoformat(first["started_at"])

    def add_part(self, part: StagedPart) -> None:
        said = {
            **asdict(part),
            "files": [str(file) for file in part.files],
            "finished_at": part.finished_at.isoformat(),
        }
        with self._session() as connection:
            self._say(connection, "part", part.table, part.name, said)

    def parts(self, table: RawTable) -> list[StagedPart]:
        with self._session() as connection:
            newest = {
                name: said
                for of_table, name, said in self._read(connection, "part")
                if of_table == table.name
            }
        return [
            StagedPart(
                **{
                    **newest[name],
                    "files": tuple(map(Path, newest[name]["files"])),
                    "finished_at": datetime.fromisoformat(newest[name]["finished_at"]),
                }
            )
            for name in sorted(newest)
        ]

    def add_column(self, table: RawTable, column: Column) -> None:
        with self._session() as connection:
            self._say(connection, "column", table.name, column.name, asdict(column))

    def added_columns(self, table: RawTable) -> tuple[Column, ...]:
        with self._session() as connection:
            newest = {
                name: said
                for of_table, name, said in self._read(connection, "column")
                if of_table == table.name
            }
        return tuple(
            Column(
                newest[name]["name"], ColumnType(**newest[name]["type"]), newest[name]["nullable"]
            )
            for name in sorted(newest)
        )

    def add_rejects(self, said: Sequence[Said]) -> None:
        with self._session() as connection:
            self._say(connection, "rejects", None, None, {"rows": list(said)})

    def rejected(self) -> Iterator[Said]:
        with self._session() as connection:
            said = self._read(connection, "rejects")
        for _, _, some in said:
            yield from some["rows"]

    def forget(self, connection: SnowflakeConnection) -> None:
        execute(connection, "delete from LOADS.SHARED_LOADS where load_id = ?", [self.load_id])

    def _read(self, connection: SnowflakeConnection, kind: str) -> list[tuple[str, str, Said]]:
        """Table, name and what was said, the oldest first."""
        found = rows(
            connection,
            "select table_name, name, said from LOADS.SHARED_LOADS where load_id = ? and kind = ? "
            "order by said_at, said",
            [self.load_id, kind],
        )
        return [(table, name, json.loads(said)) for table, name, said in found]

    def _say(
        self,
        connection: SnowflakeConnection,
        kind: str,
        table: str | None,
        name: str | None,
        said: Said,
    ) -> None:
        execute(
            connection,
            "insert into LOADS.SHARED_LOADS values (?, ?, ?, ?, ?, ?)",
            [self.load_id, kind, table, name, json.dumps(said), utc_now()],
        )
