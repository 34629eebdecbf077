"""Sets rows aside that hold a value their declared type cannot hold, so that the others load.

Set aside, by key, with column, reason and value:

- a column that must have a value and has none;
- a moment or a date outside the years 1 to 9999: ``infinity``, ``-infinity``, before Christ;
- a number with more digits than declared, before or behind the point; ``NaN``, ``Infinity``.

A key without a value stops the load: nothing could say which row was meant.

Blocks of rows are parsed as a whole, in the types of the contract. Only a block in which that fails
is looked at column by column, so that a source without such values pays nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ingestion.postgres.stream import parsed
from pipeline.contracts import Column, ColumnType, RawTable
from pipeline.errors import ContractError
from pipeline.rejects import REJECTS_IN_ERROR, Reject, refuse_too_many

logger = logging.getLogger(__name__)

TEXT_CHARACTERS = 200
# Clocks are not that far apart: a version later than this is wrong.
FUTURE = timedelta(days=1)
# Of fewer rows, one would be a large share.
ROWS_OF_A_SHARE = 100

_DAY = r"\d{4}-\d{2}-\d{2}"
_PATTERNS = {"date": rf"^{_DAY}$", "timestamp": rf"^{_DAY} \d{{2}}:\d{{2}}:\d{{2}}(\.\d{{1,6}})?$"}

_LEAST, _MOST = pa.scalar(-(2**31)), pa.scalar(2**31 - 1)  # of an integer


class Sieve:
    """What one read of a table found out about its rows.

    Attributes:
        rows: how many were set aside.
        first: the first few of them that are new.
    """

    def __init__(
        self,
        table: RawTable,
        columns: Sequence[Column],
        set_aside: Callable[[Sequence[Reject]], None],
        known: Iterable[str] = (),
    ) -> None:
        """
        Args:
            columns: of the rows, in their order.
            set_aside: takes the rejects as they are found.
            known: keys that were set aside before.
        """
        self.rows, self.first = 0, list[Reject]()
        self._table, self._columns, self._set_aside = table, columns, set_aside
        self._known, self._new = set(known), 0
        self._in_the_future, self._first_in_the_future = 0, list[str]()

    def without_misfits(self, block: bytes) -> bytes:
        """A block of PostgreSQL's text format without the rows that are set aside.

        Raises:
            ContractError: a row has no key.
        """
        names = [column.name for column in self._columns]
        texts = parsed(block, pa.schema([(name, pa.string()) for name in names]))
        if nameless := [name for name in self._table.key if texts.column(name).null_count]:
            raise ContractError(
                f"The source table {self._table.name} has a row without a value in its key "
                f"{', '.join(nameless)}. Nothing was loaded. Give the row a key, or delete it."
            )
        found: dict[int, list[tuple[Column, str]]] = {}
        for column in self._columns:
            values = texts.column(column.name)
            for mask, reason in _misfits(values, column):
                for row in _where(mask):
                    found.setdefault(row, []).append((column, reason))
        if found:
            rejects = [self._reject(texts, row, found[row]) for row in sorted(found)]
            self._count(rejects)
            self._set_aside(rejects)
        lines = enumerate(block.splitlines(keepends=True))
        return b"".join(line for row, line in lines if row not in found)

    def watched(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The batches as they are; remembers rows with a version from the future."""
        limit = datetime.now(UTC).replace(tzinfo=None) + FUTURE
        for batch in batches:
            versions = batch.column(self._table.version)
            newest = pc.max(versions).as_py()
            if newest is not None and newest > limit:
                rows = _where(pc.greater(versions, pa.scalar(limit, versions.type)))
                self._in_the_future += len(rows)
                for row in rows[: REJECTS_IN_ERROR - len(self._first_in_the_future)]:
                    key = ", ".join(str(batch.column(name)[row]) for name in self._table.key)
                    self._first_in_the_future.append(f"key {key}: {versions[row]}")
            yield batch

    def judge(self, rows: int, ratio: float, setting: str, rows_before: Callable[[], int]) -> None:
        """Say what was found; ``TooManyRejectsError`` if too many rows are newly set aside.

        Args:
            rows: how many were read and are good.
            ratio: the share of bad ones that ``setting`` allows.
            rows_before: how many rows the raw table has. A share of a few rows says little: a
                small load counts as one of ``ROWS_OF_A_SHARE`` rows, if the table has so many.
        """
        if self._in_the_future:
            logger.warning(
                "%d rows of %s have their %s in the future. They are loaded; any sane version "
                "replaces them. %s.",
                self._in_the_future,
                self._table.name,
                self._table.version,
                "; ".join(self._first_in_the_future),
            )
        total = rows + self.rows
        if self._new > ratio * total and self._new > ratio * max(
            total, min(rows_before(), ROWS_OF_A_SHARE)
        ):
            refuse_too_many(self._table.name, self._new, total, ratio, setting, self.first)

    def _reject(self, texts: pa.Table, row: int, why: Sequence[tuple[Column, str]]) -> Reject:
        (column, reason), *others = why
        key = ", ".join(str(texts.column(name)[row]) for name in self._table.key)
        also = "".join(f"; {other.name} {reason}" for other, reason in others)
        text = texts.column(column.name)[row].as_py() or ""
        return Reject(column.name, reason + also, text[:TEXT_CHARACTERS], key=key)

    def _count(self, rejects: Sequence[Reject]) -> None:
        new = [reject for reject in rejects if reject.key not in self._known]
        self.rows += len(rejects)
        self._new += len(new)
        self.first = [*self.first, *new][:REJECTS_IN_ERROR]


def _misfits(values: Any, column: Column) -> Iterator[tuple[Any, str]]:
    """Masks of the values that a column cannot hold, and what is wrong with them."""
    if values.null_count and not column.nullable:
        yield pc.is_null(values), "has no value"
    of = column.type
    if of.name in _PATTERNS:
        fits = pc.match_substring_regex(values, _PATTERNS[of.name])
        yield pc.invert(fits), "is not in the years 1 to 9999"
    elif of.name == "decimal":
        yield pc.invert(pc.match_substring_regex(values, _digits(of))), f"does not fit {of}"
    elif of.name == "integer":
        numbers = pc.cast(values, pa.int64())
        is_wider = pc.or_(pc.less(numbers, _LEAST), pc.greater(numbers, _MOST))
        yield is_wider, f"does not fit {of}"


def _digits(of: ColumnType) -> str:
    scale = of.scale or 0
    whole = (of.precision or 0) - scale
    fraction = rf"(\.\d{{1,{scale}}})?" if scale else ""
    return rf"^-?(0|[1-9]\d{{0,{whole - 1}}}){fraction}$" if whole else rf"^-?0{fraction}$"


def _where(mask: Any) -> list[int]:
    found: list[int] = pc.indices_nonzero(pc.fill_null(mask, False)).to_pylist()
    return found
