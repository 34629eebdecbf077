"""A warehouse: raw tables, load records, what is said of a day, the marts and their publications.

The algorithm is here and in the modules beside it; ``warehouse.duckdb`` and ``warehouse.snowflake``
say only how their engine differs. How a load goes is in ``warehouse.load``.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Literal, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from pipeline.contracts import Column, RawTable, Source
from pipeline.errors import PassingError, PermanentError
from pipeline.files import FileRecord
from pipeline.records import DayState, LoadRecord, Window
from pipeline.sources import SOURCES
from warehouse import days, records, rejected, tables
from warehouse import files as ledger
from warehouse.load import COMMITS_LOCK, Load, next_commit
from warehouse.manifest import Manifest, OwnManifest, SharedManifest, StagedPart
from warehouse.merge import Stamp, mark_deleted
from warehouse.parquet import write_part
from warehouse.publication import Publications
from warehouse.session import Row, Session, utc_now
from warehouse.staging import Files

if TYPE_CHECKING:
    import pyarrow as pa

R = TypeVar("R")
DAYS_LOCK = "days"
WAIT_SECONDS_MOST = 20.0


class Warehouse(ABC):
    """Holds no connection: every use opens a session, and is tried again after a passing error."""

    dialect: Literal["duckdb", "snowflake"]
    max_tries = 1

    # --- what an engine says

    @abstractmethod
    def session(self, doing: str, *, writes: bool, **about: str) -> AbstractContextManager[Session]:
        """A session of the loader in the raw database.

        Args:
            doing: completes "the warehouse could not ...".
            about: source or day, for whoever looks at the engine's log of queries.
        """

    @abstractmethod
    def files(self, load_id: str, *, shared: bool, **about: str) -> AbstractContextManager[Files]:
        """Where staged files of a load wait; cleans up at the end of the block."""

    @abstractmethod
    def arrive(
        self,
        session: Session,
        load_id: str,
        table: RawTable,
        columns: Sequence[Column],
        parts: Sequence[StagedPart],
    ) -> list[str]:
        """Let SQL read staged files; return queries that give their rows, in the raw types.

        Columns that a part does not have are null in its rows.
        """

    @abstractmethod
    def lock(self) -> AbstractContextManager[None]:
        """Held by who builds or publishes the marts: one process at a time."""

    @abstractmethod
    def marts(self, *, read_only: bool = True) -> AbstractContextManager[Session]:
        """A session of the transformer that sees the three databases (see ``warehouse.runs``)."""

    @abstractmethod
    def dbt_environment(self) -> dict[str, str]:
        """What ``profiles.yml`` reads by ``env_var``, so that dbt and the loader mean the same."""

    @abstractmethod
    def dbt_run_environment(self, day: date | None = None) -> dict[str, str]:
        """The same for what differs from run to run; parsing does not look at it."""

    @abstractmethod
    def prepare_dev(self, *, fresh: bool) -> dict[str, str]:
        """Bring a person's own place to try dbt in up to date; what ``profiles.yml`` reads there.

        ``fresh`` throws away what was built there.
        """

    @property
    @abstractmethod
    def publications(self) -> Publications: ...

    # --- loads

    @contextmanager
    def begin_load(
        self,
        source: Source,
        day: date,
        window: Window,
        *,
        load_id: str | None = None,
        started_at: datetime | None = None,
    ) -> Iterator[Load]:
        """Start a load. Nothing in the raw tables is touched before ``commit``.

        ``started_at``, UTC without a zone, is a moment before the source was looked at; by default
        this one.

        With a ``load_id`` the load is shared: begun by the first process that names it, joined by
        the others, whose ``window`` is that of the first. One that was committed already returns
        its record from ``commit`` again.
        """
        if load_id is not None and not load_id.strip():
            raise PermanentError(f"{load_id!r} cannot be the id of a load.")
        name = load_id or f"{source.name}-{day}-{utc_now():%H%M%S}-{secrets.token_hex(4)}"

        about = {"source": source.name, "day": str(day)}

        def writing() -> AbstractContextManager[Session]:
            doing = f"keep the manifest of {name}"
            return self.session(doing, writes=True, **about)

        with self.files(name, shared=load_id is not None, **about) as files:
            manifest: Manifest = (
                SharedManifest(writing, name, source, day, window, started_at or utc_now())
                if load_id
                else OwnManifest(name, day, window, started_at or utc_now(), files.folder)
            )
            yield Load(self, source, manifest, files)

    def mark_deleted(
        self, table: RawTable, keys: Iterable[pa.RecordBatch], seen_at: datetime
    ) -> int:
        """Set ``_deleted_at`` of the rows with these keys to ``seen_at``; return how many were.

        A commit of its own: the rows get a new ``_loaded_at``.

        Args:
            keys: batches with the key columns of the table.
            seen_at: when the source was asked, UTC without a zone. Rows that a load has changed
                since are left alone.
        """
        name = f"deleted-{table.name}-{seen_at:%Y-%m-%d}-{secrets.token_hex(4)}"
        columns = tuple(table.column(key) for key in table.key)
        source = next(source for source in SOURCES if table.name in {t.name for t in source.tables})

        def mark(session: Session) -> int:
            if not tables.existing_columns(session, table):
                return 0
            pieces = self.arrive(session, name, table, columns, [part])
            with session.transaction(COMMITS_LOCK):
                stamp = Stamp(name, next_commit(session), seen_at.date(), seen_at)
                marked = mark_deleted(session, table, pieces, seen_at, stamp)
                if marked:
                    deletion = (name, table.raw_name.lower(), seen_at, stamp.loaded_at, marked)
                    session.insert("LOADS.DELETIONS", [deletion])
            return marked

        with self.files(name, shared=False, source=source.name) as files:
            written = write_part(table, columns, keys, files, files.folder / table.name)
            files.finish()
            paths = (
                str((files.folder / table.name / n).relative_to(files.root)) for n in written.names
            )
            part = StagedPart(
                table.name, "keys", tuple(paths), table.key, written.rows, written.digest, utc_now()
            )
            if not part.rows:
                return 0
            doing = f"mark rows of {table.name} as deleted"
            marked = self.ask(doing, mark, writes=True, source=source.name)
            files.are_loaded = True
            return marked

    def now(self) -> datetime:
        """Now, UTC without a zone: later than every commit so far, whatever clock stamped it."""
        newest = self.ask("read the newest commit", records.newest_commit)
        return max(utc_now(), newest) if newest else utc_now()

    def file_records(self, source: Source) -> list[FileRecord]:
        """Every version of every file of a source that was read, the oldest first."""
        return self.ask(
            "read the ledger of files", lambda session: ledger.file_records(session, source.name)
        )

    def watermark(self, source: Source) -> datetime | None:
        """The newest committed watermark of a source; None before its first load."""
        return self.ask("read the watermark", lambda session: records.watermark(session, source))

    def keys_set_aside(self, source: Source) -> dict[str, set[str]]:
        """Keys of rows that are set aside and not healed yet, by name of the table."""
        return self.ask("read rows set aside", lambda s: rejected.standing_keys(s, source))

    def raw_columns(self, table: RawTable) -> tuple[str, ...]:
        """Columns the raw table has now, metadata columns included, in lower case; empty if it does
        not exist yet.
        """
        return self.ask(
            "read the columns", lambda session: tuple(tables.existing_columns(session, table))
        )

    def empty_columns(self, table: RawTable, names: Sequence[str]) -> None:
        """Take the values out of columns that the source of a table no longer has.

        Rows keep their load: nobody reads these columns for what is new.
        """

        def empty(session: Session) -> None:
            with session.transaction(COMMITS_LOCK):
                for column in map(session.quoted, names):
                    session.execute(
                        f"update {tables.address(session, table)} set {column} = null "  # noqa: S608
                        f"where {column} is not null"
                    )

        if names:
            self.ask(f"empty columns of {table.name}", empty, writes=True)

    def load_records(self, day: date) -> tuple[LoadRecord, ...]:
        """The latest committed load of each source for that day, in the order of ``SOURCES``."""
        return self.ask(
            "read the load records", lambda session: records.latest_records(session, day)
        )

    def rows_loaded(self, of_days: Sequence[date]) -> dict[str, dict[date, int]]:
        """Rows that the latest committed load of each source has read, by source and day."""
        return self.ask(
            "read the load records", lambda session: records.rows_loaded(session, of_days)
        )

    # --- days

    def day_state(self, day: date) -> DayState:
        """Which sources have announced a day, and when its newest build began."""
        return self.ask("read the announcements", lambda session: days.day_state(session, day))

    def days_to_build(self, first: date, last: date) -> dict[date, str]:
        """Complete days with a load that no build of them has read; the id of the newest such
        load.
        """
        return self.ask(
            "read the announcements", lambda session: days.days_to_build(session, first, last)
        )

    def announce(self, announcement_id: str, day: date, source: Source) -> bool:
        """Record that a source announces a day now, unless all six have before; tells whether it is
        to announce alone.

        Trying the same announcement again gives the same answer: the first try may have died before
        its event was sent.
        """
        return self._note(
            f"announce {day}",
            lambda s: days.announce(s, announcement_id, day, source),
            day=str(day),
        )

    def begin_build(self, build_id: str, day: date) -> tuple[LoadRecord, ...]:
        """Record that a build of the day's marts begins now, and return what ``load_records`` then
        does.

        Whatever is committed from here on, the build may not have read.
        """

        def note(session: Session) -> tuple[LoadRecord, ...]:
            days.add_build(session, build_id, day)
            return records.latest_records(session, day)

        return self._note(f"begin the build of {day}", note, day=str(day))

    def record_breach(
        self, scope: str, day: date, sla_seconds: float, since: datetime, waiting_for: str
    ) -> None:
        """Record that a scope was late on a day, once. ``since`` is UTC without a zone."""
        self._note(
            f"record the breach of {scope}",
            lambda s: days.add_breach(s, scope, day, sla_seconds, since, waiting_for),
            day=str(day),
        )

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[Row]:
        """Rows of a read-only query in the engine's own SQL."""
        return self.ask("answer a query", lambda session: session.rows(sql, parameters))

    # --- how a session is used

    def ask(
        self, doing: str, question: Callable[[Session], R], *, writes: bool = False, **about: str
    ) -> R:
        """Call the question with a session, again after a passing error."""

        def once() -> R:
            with self.session(doing, writes=writes, **about) as session:
                return question(session)

        return retried(self.max_tries, once)

    def _note(self, doing: str, write: Callable[[Session], R], **about: str) -> R:
        """Write about days in one transaction, one after the other with all who do."""

        def transaction(session: Session) -> R:
            with session.transaction(DAYS_LOCK):
                return write(session)

        return self.ask(doing, transaction, writes=True, **about)


def retried(max_tries: int, operation: Callable[[], R]) -> R:
    """Run the operation, again after a passing error, at most so many times in all."""
    retrying = Retrying(
        retry=retry_if_exception_type(PassingError),
        stop=stop_after_attempt(max_tries),
        wait=wait_random_exponential(multiplier=1, max=WAIT_SECONDS_MOST),
        reraise=True,
    )
    return retrying(operation)
