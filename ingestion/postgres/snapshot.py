"""One consistent read of one table: its transaction, the checks before, the query for its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import psycopg2
import pyarrow as pa
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class, named in lower case there

from ingestion.postgres.completeness import wait_until_complete
from ingestion.postgres.connection import begin_read, connect, explain
from ingestion.postgres.contract import SourceTable, check_contract, check_keys, look_up
from ingestion.postgres.settings import PostgresSettings
from ingestion.postgres.sieve import Sieve
from ingestion.postgres.stream import copy_batches
from ingestion.postgres.window import Horizon, look_around
from pipeline.contracts import RawTable
from warehouse.arrow import arrow_type


@dataclass(frozen=True)
class Snapshot:
    """A table as it stands at one instant, while the ``with`` block of ``open_snapshot`` lasts.

    Attributes:
        parent: the table that the rows are part of, if any, at the same instant.
    """

    connection: Connection
    settings: PostgresSettings
    horizon: Horizon
    table: SourceTable
    parent: SourceTable | None = None

    def query(self, condition: sql.Composable) -> sql.Composable:
        """The rows that meet a condition, all columns."""
        return sql.SQL("select {} from {} where {}").format(
            sql.SQL(", ").join(column.selected for column in self.table.columns),
            self.table.address,
            condition,
        )

    def batches(self, condition: sql.Composable, sieve: Sieve) -> Iterator[pa.RecordBatch]:
        """The rows that meet a condition, as they come, in the types of the table's contract."""
        schema = pa.schema(
            [
                pa.field(column.name, arrow_type(column.type), column.nullable)
                for column in self.table.declared
            ]
        )
        try:
            yield from sieve.watched(
                copy_batches(self.connection, self.query(condition), schema, sieve.without_misfits)
            )
        except psycopg2.Error as error:
            raise explain(error, self.settings, self.table.contract.name) from error


@contextmanager
def open_snapshot(
    settings: PostgresSettings,
    table: RawTable,
    remembered: tuple[str, ...] = (),
    *,
    may_gain: bool = True,
    complete_until: datetime | None = None,
) -> Iterator[Snapshot]:
    """Check one table against its contract, then read it in one ``REPEATABLE READ`` transaction.

    Args:
        remembered: the columns of the raw table so far; one that the source has lost is empty.
        may_gain: read columns that are neither declared nor remembered.
        complete_until: wait until the server holds everything up to this moment.

    Raises:
        ContractError, MissingInputError: the table is not as declared, or not there.
        CredentialsError, SourceUnavailableError: the database refuses, does not answer, or does not
            hold enough.
    """
    with connect(settings) as connection:
        try:
            if complete_until:
                wait_until_complete(connection, settings, complete_until)
            known = [(one, *look_up(connection, one, settings)) for one in _with_parent(table)]
            horizon = look_around(connection, settings)
            begin_read(connection, settings)
            if to_lock := [
                sql.Identifier(settings.source_schema, one.name)
                for one, _, can_be_locked in known
                if can_be_locked
            ]:
                # Before the snapshot: one taken while somebody rewrites the table would see it
                # empty.
                with connection.cursor() as cursor:
                    cursor.execute(
                        sql.SQL("lock table {} in access share mode").format(
                            sql.SQL(", ").join(to_lock)
                        )
                    )
            (_, oid, _), *of_parent = known
            checked = check_contract(
                connection, table, oid, settings, remembered, may_gain=may_gain
            )
            check_keys(connection, checked)
            parent = None
            for one, its_oid, _ in of_parent:
                parent = check_contract(connection, one, its_oid, settings, may_gain=False)
            yield Snapshot(connection, settings, horizon, checked, parent)
        except psycopg2.Error as error:
            raise explain(error, settings, table.name) from error


def _with_parent(table: RawTable) -> list[RawTable]:
    return [table, table.part_of] if table.part_of else [table]
