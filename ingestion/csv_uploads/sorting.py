"""Holds the typed rows of one table on disk, then says which row of each key counts.

A DuckDB database in the load's temporary folder: sorting a table larger than memory is its craft.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.csv_uploads.contract import LINEAGE, columns_in_file
from pipeline.contracts import BIGINT, TEXT, Column, RawTable
from pipeline.rejects import Reject
from warehouse.arrow import arrow_type, schema_of

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "128MB",
    "threads": 1,  # each would need a share of the memory
    "preserve_insertion_order": False,
}
BATCH_ROWS = 10_000
_POSITION = (
    Column("_line", BIGINT),
    Column("_text", TEXT),
)  # where the row stood, for the case that it is rejected later
_REJECT = (
    Column("file", TEXT),
    Column("line", BIGINT),
    Column("column", TEXT),
    Column("reason", TEXT),
    Column("text", TEXT),
)


class RowSorter:
    """Rows of one table: ``add`` them, ``reject`` the bad ones, then ask for the ``winners``."""

    def __init__(self, table: RawTable, extra: Sequence[Column], folder: Path) -> None:
        """``extra``: columns that the files have beyond those of the table."""
        self.schema = pa.schema([*schema_of(table), *_fields(extra)])
        self._row_schema = pa.schema(
            _fields((*columns_in_file(table), *extra, *map(table.column, LINEAGE), *_POSITION))
        )
        self._reject_schema = pa.schema(_fields(_REJECT))
        self._key = _names(table.key)
        self._key_shown = ", ".join(table.key)
        self._content = _names(
            column.name
            for column in (*columns_in_file(table), *extra)
            if column.name not in table.key
        )
        self._connection = duckdb.connect(str(folder / f"{table.name}.duckdb"), config=_CONFIG)
        self._connection.execute("SET enable_progress_bar = false")
        self._create("accepted", self._row_schema)
        self._create("rejected", self._reject_schema)

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
        self._connection.execute(f"CREATE TABLE {name} AS FROM empty")
        self._connection.unregister("empty")

    def add(self, rows: Sequence[tuple[object, ...]]) -> None:
        """Rows: the columns of the file as declared, the extra ones, file name, time of
        modification, physical line, raw text.
        """
        self._insert("accepted", self._row_schema, rows)

    def reject(self, rejects: Sequence[Reject]) -> None:
        self._insert(
            "rejected",
            self._reject_schema,
            [(r.file, r.line, r.column, r.reason, r.text) for r in rejects],
        )

    def _insert(self, name: str, schema: pa.Schema, rows: Sequence[tuple[object, ...]]) -> None:
        if not rows:
            return
        columns = [
            pa.array(values, field.type)
            for values, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        self._connection.register("batch", pa.table(columns, schema=schema))
        self._connection.execute(f"INSERT INTO {name} FROM batch")
        self._connection.unregister("batch")

    def reject_contradictions(self) -> None:
        """Reject the rows of a file that give one key different contents: nothing says which of
        them is right.
        """
        self._connection.execute(f"""
            CREATE TABLE contradictory AS
            SELECT {self._key}, _file_name, min(_line) AS first_line, max(_line) AS last_line
            FROM accepted
            GROUP BY ALL HAVING min(hash({self._content})) <> max(hash({self._content}));
            INSERT INTO rejected
            SELECT _file_name, _line, NULL,
                   'has the same ({self._key_shown}) as line '
                   || if(_line = first_line, last_line, first_line) || ', with other values',
                   _text
            FROM accepted JOIN contradictory USING ({self._key}, _file_name);
            DELETE FROM accepted WHERE ({self._key}, _file_name)
            IN (SELECT ({self._key}, _file_name) FROM contradictory);
        """)  # noqa: S608 — names of declared columns, or checked by `header`

    @property
    def accepted(self) -> int:
        return self._number("SELECT count(*) FROM accepted")

    @property
    def earliest(self) -> date | None:
        """The first date of all rows accepted."""
        rows = self._connection.execute('SELECT min("date") FROM accepted').fetchall()
        return rows[0][0] if rows else None

    def waiting(self, until: date) -> int:
        """Rows accepted that are dated after ``until``."""
        return self._number('SELECT count(*) FROM accepted WHERE "date" > ?', [until])

    @property
    def rejected(self) -> int:
        return self._number("SELECT count(*) FROM rejected")

    def files_without_a_good_row(self) -> tuple[str, ...]:
        rows = self._connection.execute("""
            SELECT DISTINCT file FROM rejected
            WHERE file NOT IN (SELECT _file_name FROM accepted) ORDER BY file
        """).fetchall()
        return tuple(str(name) for (name,) in rows)

    def winners(self, until: date) -> Iterator[pa.RecordBatch]:
        """One row per key, dated ``until`` at the latest: of the file modified last, by name among
        equals.
        """
        names = _names(self.schema.names)
        rows = self._connection.sql(
            f"""
            SELECT {names} FROM accepted WHERE "date" <= $until
            QUALIFY row_number() OVER (
                PARTITION BY {self._key}
                ORDER BY _file_modified_at DESC, _file_name DESC, _line DESC
            ) = 1
            """,  # noqa: S608 — as above
            params={"until": until},
        )
        for batch in rows.to_arrow_reader(BATCH_ROWS):
            yield pa.RecordBatch.from_arrays(batch.columns, schema=self.schema)

    def rejects(self) -> Iterator[list[Reject]]:
        """All rejects by file and line, in lists of at most ``BATCH_ROWS``."""
        cursor = self._connection.execute("SELECT * FROM rejected ORDER BY file, line")
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield [
                Reject(column, reason, text, file=file, line=line)
                for file, line, column, reason, text in rows
            ]

    def _number(self, sql: str, parameters: Sequence[object] = ()) -> int:
        row = self._connection.execute(sql, list(parameters)).fetchone()
        return int(row[0]) if row else 0


def _fields(columns: Iterable[Column]) -> list[pa.Field[Any]]:
    return [pa.field(column.name, arrow_type(column.type)) for column in columns]


def _names(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
