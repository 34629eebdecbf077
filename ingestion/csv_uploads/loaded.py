"""What the raw tables of the marketing files hold already, as the next load needs to know it."""

# ruff: noqa: S608 - names come from the contract and are quoted

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Any

from ingestion.csv_uploads.series import series_of
from ingestion.csv_uploads.sorting import BATCH_ROWS
from ingestion.csv_uploads.spelling import NAMES, Spellings
from ingestion.reconcile.dialect import dialect
from pipeline.contracts import RawTable
from warehouse import Warehouse

LEAST_DAYS = 3  # of a campaign, before anything is usual for it


def first_spellings(warehouse: Warehouse, tables: tuple[RawTable, ...]) -> Spellings:
    """The spellings that are loaded, those of the oldest rows first."""
    spellings = Spellings()
    for table in tables:
        for column in set(NAMES) & set(table.column_names):
            found = _select(
                warehouse,
                table,
                f"select {column}, min(date) from {{raw}} where {column} is not null "
                "group by 1 order by 2, 1",
            )
            for name, _ in found:
                spellings.of(column, name)
    return spellings


def loaded_rows(
    warehouse: Warehouse, table: RawTable, first: date, last: date, spellings: Spellings
) -> Iterator[list[tuple[Any, ...]]]:
    """Rows of these dates: the table's columns, the file's series, the channel as spelt now."""
    names = table.column_names
    channel = names.index("channel") if "channel" in names else None
    file = names.index("_file_name")
    found = _select(
        warehouse,
        table,
        f"select {', '.join(names)} from {{raw}} where _deleted_at is null "
        "and date between ? and ?",
        first,
        last,
    )
    for start in range(0, len(found), BATCH_ROWS):
        yield [
            (
                *row,
                series_of(row[file]),
                "" if channel is None else spellings.of("channel", row[channel] or ""),
            )
            for row in found[start : start + BATCH_ROWS]
        ]


def usual_spend(warehouse: Warehouse, table: RawTable) -> dict[tuple[str, str], float]:
    """What a campaign spends on a day, by channel and name: the median of its days."""
    if "spend" not in table.column_names:
        return {}
    found = _select(
        warehouse,
        table,
        "select channel, campaign_name, median(spend) from {raw} where _deleted_at is null "
        f"and spend > 0 group by 1, 2 having count(distinct date) >= {LEAST_DAYS}",
    )
    return {(channel, campaign): float(usual) for channel, campaign, usual in found}


def _select(
    warehouse: Warehouse, table: RawTable, sql: str, *parameters: object
) -> list[tuple[Any, ...]]:
    """Rows of a query of ``{raw}``; none before the first load."""
    if not warehouse.raw_columns(table):
        return []
    address = dialect(warehouse.dialect).address(table)
    return warehouse.query(sql.format(raw=address), list(parameters))
