"""Holds the typed rows of one table on disk, then says which row of each key counts.

A DuckDB database in the load's temporary folder: sorting a table larger than memory is its craft.
The steps, in their order: rows of one file that have one key are summed or rejected; each file is
judged; of a series the newest file speaks for each day and channel; what two series claim is
rejected. What the raw table holds already takes part as the files it came from.
"""

# ruff: noqa: S608 - names of declared columns, or cleaned by `find_header`; values are bound

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.csv_uploads.contract import LINEAGE, columns_in_file, text_column
from pipeline.contracts import Column, RawTable
from pipeline.rejects import Reject
from warehouse.arrow import arrow_type, schema_of

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "128MB",
    "threads": 1,  # each would need a share of the memory
    "preserve_insertion_order": False,
}
BATCH_ROWS = 10_000


def _text(name: str) -> pa.Field[Any]:
    return pa.field(name, pa.string())


# Of the file: its series; of the row: its channel or "", what divides its key, where it stood and
# what stood there.
_BESIDE = (
    _text("_series"),
    _text("_channel"),
    _text("_breakdown"),
    pa.field("_line", pa.int64()),
    _text("_text"),
)
_REJECTED = pa.schema(
    [_text("file"), pa.field("line", pa.int64()), _text("column"), _text("reason"), _text("text")]
)
_FILES = pa.schema([_text("file"), pa.field("modified_at", pa.timestamp("us"))])
_COVERED = pa.schema([pa.field("date", pa.date32()), _text("file")])


@dataclass(frozen=True)
class FileContent:
    """What one file holds: good rows, rejects, and the newest date of each channel."""

    rows: int
    rejected: int
    first_date: date | None
    last_date: date | None
    channels: dict[str, date]


class RowSorter:
    """Rows of one table: ``add`` them, ``reject`` bad ones, take the steps, ask for ``winners``."""

    def __init__(self, table: RawTable, folder: Path) -> None:
        self.table = table
        self.extra: tuple[str, ...] = ()  # text columns of the files that the table does not have
        self._key = _names(table.key)
        self._key_shown = ", ".join(table.key)
        self._connection = duckdb.connect(str(folder / f"{table.name}.duckdb"), config=_CONFIG)
        self._run("SET enable_progress_bar = false")
        self._create("accepted", self._row_schema(()))
        self._create("rejected", _REJECTED)
        self._create("loaded", self._loaded_schema)
        self._create("files", _FILES)
        self._create("covered", _COVERED)

    @property
    def schema(self) -> pa.Schema:
        """Of the rows that win: the columns of the table, and the extra ones."""
        return pa.schema([*schema_of(self.table), *_fields(map(text_column, self.extra))])

    def _row_schema(self, extra: Sequence[str]) -> pa.Schema:
        table = self.table
        return pa.schema(
            [
                *_fields(columns_in_file(table)),
                *_fields(map(text_column, extra)),
                *_fields(map(table.column, LINEAGE)),
                *_BESIDE,
            ]
        )

    @property
    def _loaded_schema(self) -> pa.Schema:
        return pa.schema([*schema_of(self.table), _text("_series"), _text("_channel")])

    def __enter__(self) -> RowSorter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()

    def _create(self, name: str, schema: pa.Schema) -> None:
        self._connection.register("empty", schema.empty_table())
        self._run(f"CREATE TABLE {name} AS FROM empty")
        self._connection.unregister("empty")

    # --- what comes in

    def add(self, rows: Sequence[tuple[object, ...]], extra: Sequence[str] = ()) -> None:
        """Add rows: the declared columns, the extra ones by these names, then where each stood.

        That is file name, time of modification, series, channel, breakdown, physical line, raw
        text.
        """
        for name in extra:
            if name not in self.extra:
                self._run(f"ALTER TABLE accepted ADD COLUMN {_names([name])} VARCHAR")
                self.extra += (name,)
        self._insert("accepted", self._row_schema(extra), rows)

    def reject(self, rejects: Sequence[Reject]) -> None:
        rows = [(r.file, r.line, r.column, r.reason, r.text) for r in rejects]
        self._insert("rejected", _REJECTED, rows)

    def add_loaded(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Rows of the raw table: declared columns, their file's series, channel as spelt now."""
        self._insert("loaded", self._loaded_schema, rows)

    def _insert(self, name: str, schema: pa.Schema, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        self._connection.register("batch", pa.table(columns, schema=schema))
        self._run(f"INSERT INTO {name} BY NAME FROM batch")
        self._connection.unregister("batch")

    # --- the steps

    def reject_far_dates(self, latest: date) -> None:
        """Reject what is dated after ``latest``: it would wait for ever."""
        self._reject_where(
            '"date" > $latest', "date", "'lies more than a year ahead'", {"latest": latest}
        )

    def reject_absurd_spend(self, usual: dict[tuple[str, str], float], ratio: float) -> None:
        """Reject spend of more than ``ratio`` times what is usual for its campaign.

        Args:
            usual: by channel and campaign. For others it is the median of the rows here, from
                three days of them on.
        """
        if "spend" not in self.table.column_names:
            return
        rows = [(channel, campaign, amount) for (channel, campaign), amount in usual.items()]
        columns = list(zip(*rows, strict=True)) or [(), (), ()]
        known = pa.table(
            {
                "channel": pa.array(columns[0], pa.string()),
                "campaign_name": pa.array(columns[1], pa.string()),
                "amount": pa.array(columns[2], pa.float64()),
            }
        )
        self._connection.register("known", known)
        self._run("""
            CREATE OR REPLACE TABLE usual AS
            WITH here AS (
                SELECT channel, campaign_name, median(spend)::DOUBLE AS amount
                FROM accepted WHERE spend > 0
                GROUP BY ALL HAVING count(DISTINCT "date") >= 3
            )
            SELECT channel, campaign_name, coalesce(known.amount, here.amount) AS amount
            FROM known FULL JOIN here USING (channel, campaign_name)
        """)
        self._connection.unregister("known")
        self._run(
            """
            CREATE OR REPLACE TABLE absurd AS
            SELECT _file_name, _line, round(spend / amount)::BIGINT AS times
            FROM accepted JOIN usual USING (channel, campaign_name)
            WHERE spend > 1000 AND spend > $ratio * amount
            """,
            {"ratio": ratio},
        )
        self._run("""
            INSERT INTO rejected
            SELECT _file_name, _line, 'spend', 'is ' || times
                   || ' times what is usual for the campaign (CSV_MAX_SPEND_RATIO)', _text
            FROM accepted JOIN absurd USING (_file_name, _line);
            DELETE FROM accepted WHERE (_file_name, _line)
            IN (SELECT (_file_name, _line) FROM absurd)
        """)

    def sum_breakdowns(self) -> None:
        """Make one row of those that share a key in one file, if a breakdown tells them apart.

        The others are rejected: nothing says whether one of them is right, or all.
        """
        self._run(f"""
            CREATE OR REPLACE TABLE repeated AS
            SELECT {self._key}, _file_name, min(_line) AS first_line, max(_line) AS last_line
            FROM accepted
            GROUP BY ALL HAVING count(*) > count(DISTINCT _breakdown);
            INSERT INTO rejected
            SELECT _file_name, _line, NULL,
                   'has the same ({self._key_shown}) as line '
                   || if(_line = first_line, last_line, first_line),
                   _text
            FROM accepted JOIN repeated USING ({self._key}, _file_name);
            DELETE FROM accepted WHERE ({self._key}, _file_name)
            IN (SELECT ({self._key}, _file_name) FROM repeated);
        """)
        divided = self._number(
            f"SELECT count(*) - count(DISTINCT ({self._key}, _file_name)) FROM accepted"
        )
        if divided:
            selected = ", ".join(self._summed(name) for name in self._row_schema(self.extra).names)
            self._run(f"""
                CREATE TABLE summed AS
                SELECT {selected} FROM accepted GROUP BY {self._key}, _file_name;
                DROP TABLE accepted;
                ALTER TABLE summed RENAME TO accepted;
            """)

    def _summed(self, name: str) -> str:
        quoted = _names([name])
        if name in (*self.table.key, "_file_name"):
            return quoted
        if name in self.table.column_names:
            kind = self.table.column(name).type
            if kind.name == "decimal":
                return f"sum({quoted})::DECIMAL({kind.precision},{kind.scale}) AS {quoted}"
            if kind.name == "bigint":
                return f"sum({quoted})::BIGINT AS {quoted}"
        if name in self.extra:
            return f"if(count(*) = 1, any_value({quoted}), NULL) AS {quoted}"
        return f"min({quoted}) AS {quoted}"

    def drop_file(self, name: str) -> None:
        """Forget the rows and rejects of a file that is refused or held."""
        for sql in (
            "DELETE FROM accepted WHERE _file_name = ?",
            "DELETE FROM rejected WHERE file = ?",
        ):
            self._run(sql, [name])

    def goes_back(self, file: str, others: Sequence[str]) -> bool:
        """Whether a file says something else of the days of these others than the raw table has."""
        content = _names(column.name for column in columns_in_file(self.table))
        return bool(
            self._number(
                f"""
                SELECT count(*) FROM (
                    SELECT {content} FROM accepted
                    WHERE _file_name = ? AND "date" IN
                        (SELECT "date" FROM loaded WHERE list_contains(?, _file_name))
                    EXCEPT SELECT {content} FROM loaded
                )
                """,
                [file, list(others)],
            )
        )

    def keep_columns(self, known: Collection[str], room: int) -> None:
        """Drop extra columns in which no row has anything, and those that the raw table has no room
        for.

        Args:
            known: columns that the raw table has.
            room: how many it may gain.
        """
        for name in self.extra:
            column = _names([name])
            filled = self._number(f"SELECT count({column}) FROM accepted")
            if filled and (name in known or room > 0):
                room -= name not in known
                continue
            self._run(f"ALTER TABLE accepted DROP COLUMN {column}")
            self.extra = tuple(other for other in self.extra if other != name)

    def range_of(self, file: str) -> tuple[date, date] | None:
        """The first and the last date of a file's rows."""
        found = self._run(
            'SELECT min("date"), max("date") FROM accepted WHERE _file_name = ?', [file]
        )
        first, last = found[0]
        return None if first is None else (first, last)

    def keep_days_of(self, files: Sequence[str], ranges: Sequence[tuple[date, date]]) -> set[str]:
        """Drop rows of days that these files do not have and that lie in none of the ranges.

        Returns the names of the files that lost some.
        """
        within = " OR ".join('"date" BETWEEN ? AND ?' for _ in ranges) or "false"
        others = f"""
            NOT ({within}) AND "date" NOT IN (
                SELECT "date" FROM accepted WHERE list_contains(?, _file_name)
            )
        """
        values = [*(day for both in ranges for day in both), list(files)]
        found = self._run(f"SELECT DISTINCT _file_name FROM accepted WHERE {others}", values)
        self._run(f"DELETE FROM accepted WHERE {others}", values)
        return {str(name) for (name,) in found}

    def keep_newest_of_series(self, files: Sequence[tuple[str, datetime]]) -> None:
        """Of a series' files with rows of a day and channel, keep the rows of the newest.

        That is the one modified last, by name among equals; none if the raw table has them from a
        later one.

        Args:
            files: those that were read, and when they were modified. What the raw table has of an
                earlier version of them does not count.
        """
        for name, modified_at in files:
            self._run("INSERT INTO files VALUES (?, ?)", [name, modified_at])
        self._run("""
            INSERT INTO covered SELECT DISTINCT "date", _file_name FROM accepted;
            DELETE FROM accepted USING (
                SELECT _series, "date", _channel, max(_file_modified_at) AS modified_at
                FROM loaded
                WHERE NOT EXISTS (
                    SELECT 1 FROM files
                    WHERE file = _file_name AND files.modified_at >= _file_modified_at
                )
                GROUP BY ALL
            ) later
            WHERE accepted._series = later._series AND accepted."date" = later."date"
              AND accepted._channel = later._channel
              AND accepted._file_modified_at < later.modified_at;
            CREATE OR REPLACE TABLE spoken AS
            SELECT _series, "date", _channel,
                   max_by(_file_name, (_file_modified_at, _file_name)) AS speaker
            FROM accepted GROUP BY ALL;
            DELETE FROM accepted USING spoken
            WHERE accepted._series = spoken._series AND accepted."date" = spoken."date"
              AND accepted._channel = spoken._channel
              AND accepted._file_name <> spoken.speaker;
        """)

    def reject_claims(self) -> None:
        """Reject the rows of keys that two series have: nothing says which of them is right.

        A row that the raw table has, of a file that was not read, stays there.
        """
        self._run(f"""
            CREATE OR REPLACE TABLE claimed AS
            SELECT {self._key},
                   min(_series) AS one, min_by(_file_name, _series) AS file_of_one,
                   max_by(_file_name, _series) AS file_of_other
            FROM (
                SELECT {self._key}, _series, _file_name FROM accepted
                UNION ALL
                SELECT {self._key}, _series, _file_name FROM loaded
                WHERE _file_name NOT IN (SELECT file FROM files)
            )
            GROUP BY {self._key} HAVING count(DISTINCT _series) > 1;
            INSERT INTO rejected
            SELECT _file_name, _line, NULL,
                   'has the same ({self._key_shown}) as a row of '
                   || if(_series = one, file_of_other, file_of_one) || ', a file of another series',
                   _text
            FROM accepted JOIN claimed USING ({self._key});
            DELETE FROM accepted WHERE ({self._key}) IN (SELECT ({self._key}) FROM claimed);
        """)

    def _reject_where(
        self, condition: str, column: str, reason: str, parameters: dict[str, Any]
    ) -> None:
        self._run(
            f"INSERT INTO rejected SELECT _file_name, _line, '{column}', {reason}, _text "
            f"FROM accepted WHERE {condition}",
            parameters,
        )
        self._run(f"DELETE FROM accepted WHERE {condition}", parameters)

    # --- what is asked

    @property
    def accepted(self) -> int:
        return self._number("SELECT count(*) FROM accepted")

    @property
    def rejected(self) -> int:
        return self._number("SELECT count(*) FROM rejected")

    @property
    def earliest(self) -> date | None:
        """The first date of all rows accepted."""
        rows = self._run('SELECT min("date") FROM accepted')
        return rows[0][0] if rows else None

    def content_of(self, file: str) -> FileContent:
        """What a file holds, of what has not been dropped."""
        of_file = "FROM accepted WHERE _file_name = ?"
        ((rows, first, last),) = self._run(
            f'SELECT count(*), min("date"), max("date") {of_file}', [file]
        )
        channels = self._run(
            f'SELECT _channel, max("date") {of_file} GROUP BY 1 ORDER BY 1', [file]
        )
        rejected = self._number("SELECT count(*) FROM rejected WHERE file = ?", [file])
        return FileContent(rows, rejected, first, last, dict(channels))

    def waiting(self, until: date) -> int:
        """Rows accepted that are dated after ``until``."""
        return self._number('SELECT count(*) FROM accepted WHERE "date" > ?', [until])

    def winners(self, until: date) -> Iterator[pa.RecordBatch]:
        """One row per key, dated ``until`` at the latest: of the newest file, then by name."""
        rows = self._connection.sql(
            f"SELECT {_names(self.schema.names)} FROM ({self._winning})", params={"until": until}
        )
        for batch in rows.to_arrow_reader(BATCH_ROWS):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def withdrawn(self, until: date) -> Iterator[pa.RecordBatch]:
        """Keys of the raw table that go.

        The file that speaks for their day and channel does not have them, or their own file no
        longer has them; and those that a row of an older file is to replace.
        """
        schema = pa.schema([schema_of(self.table).field(name) for name in self.table.key])
        rows = self._connection.sql(
            f"""
            WITH winning AS ({self._winning})
            SELECT {self._key}
            FROM loaded LEFT JOIN winning USING ({self._key})
            WHERE "date" <= $until AND CASE
                WHEN winning._line IS NOT NULL
                    THEN loaded._file_modified_at > winning._file_modified_at
                ELSE EXISTS (
                        SELECT 1 FROM accepted
                        WHERE accepted._series = loaded._series
                          AND accepted."date" = loaded."date"
                          AND accepted._channel = loaded._channel
                    )
                    OR EXISTS (
                        SELECT 1 FROM covered JOIN files USING (file)
                        WHERE covered.file = loaded._file_name AND covered."date" = loaded."date"
                          AND files.modified_at >= loaded._file_modified_at
                    )
                END
            """,
            params={"until": until},
        )
        for batch in rows.to_arrow_reader(BATCH_ROWS):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=schema)

    @property
    def _winning(self) -> str:
        return f"""
            SELECT * FROM accepted WHERE "date" <= $until
            QUALIFY row_number() OVER (
                PARTITION BY {self._key}
                ORDER BY _file_modified_at DESC, _file_name DESC, _line DESC
            ) = 1
        """

    def rejects(self, file: str | None = None) -> Iterator[list[Reject]]:
        """Rejects of a file, or all, by file and line, in lists of at most ``BATCH_ROWS``."""
        cursor = self._connection.cursor().execute(
            "SELECT * FROM rejected WHERE file = $file OR $file IS NULL ORDER BY file, line",
            {"file": file},
        )
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield [
                Reject(column, reason, text, file=name, line=line)
                for name, line, column, reason, text in rows
            ]

    def _number(self, sql: str, parameters: Sequence[object] = ()) -> int:
        ((number,),) = self._run(sql, list(parameters))
        return int(number)

    def _run(
        self, sql: str, parameters: Sequence[object] | dict[str, Any] = ()
    ) -> list[tuple[Any, ...]]:
        """Rows of the last statement, all of them: DuckDB has one open result at a time."""
        return self._connection.execute(sql, parameters).fetchall()


def _fields(columns: Iterable[Column]) -> list[pa.Field[Any]]:
    return [pa.field(column.name, arrow_type(column.type)) for column in columns]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
