"""Rows of a table that were set aside: read again by each load until they are right, or gone."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from itertools import chain

from psycopg2 import sql

from ingestion.postgres.contract import SourceTable
from ingestion.postgres.sieve import Sieve
from ingestion.postgres.snapshot import Snapshot
from ingestion.reconcile.dialect import dialect
from pipeline.contracts import BIGINT, INTEGER, Source
from warehouse import Load, Warehouse

READ_AGAIN = 1_000  # more of them wait until their rows change


class RowsAside:
    """What is set aside of one table.

    Attributes:
        keys: of the rows, as text.
    """

    def __init__(self, warehouse: Warehouse, source: Source, table: SourceTable) -> None:
        self._warehouse, self._table = warehouse, table
        self.keys = frozenset(warehouse.keys_set_aside(source)[table.contract.name])
        self._again = sorted(self.keys)[:READ_AGAIN]

    @property
    def condition(self) -> sql.Composable:
        """The rows that are read again, whatever their version.

        Somebody may have corrected them without a new one, or deleted them.
        """
        if not self._again or len(self._table.contract.key) > 1:
            return sql.SQL("false")
        key = self._table.by_name[self._table.contract.key[0]]
        if key.type not in (INTEGER, BIGINT):
            keys: list[sql.Composable] = [sql.Literal(one) for one in self._again]
            return sql.SQL("{}::text in ({})").format(key.identifier, sql.SQL(", ").join(keys))
        keys = [sql.Literal(int(one)) for one in self._again]
        return sql.SQL("{} in ({})").format(key.identifier, sql.SQL(", ").join(keys))

    def stage(
        self,
        load: Load,
        snapshot: Snapshot,
        conditions: Iterable[sql.Composable],
        part: str | None = None,
    ) -> int:
        """Stage the rows that meet any of the conditions; returns how many are not set aside.

        No row may meet two.

        Raises:
            TooManyRejectsError: more are new among the latter than ``POSTGRES_MAX_REJECT_RATIO``
                allows.
        """
        table, contract = snapshot.table, snapshot.table.contract
        for column in table.undeclared:
            load.add_column(contract, column)
        sieve = Sieve(contract, table.declared, partial(load.reject, contract), self.keys)
        batches = chain.from_iterable(snapshot.batches(one, sieve) for one in conditions)
        rows = load.stage(contract, batches, part=part)
        ratio = snapshot.settings.max_reject_ratio
        sieve.judge(rows, ratio, "POSTGRES_MAX_REJECT_RATIO", self._rows_before)
        load.reread(contract, keys=self._again)
        return rows

    def _rows_before(self) -> int:
        contract = self._table.contract
        if not self._warehouse.raw_columns(contract):
            return 0
        address = dialect(self._warehouse.dialect).address(contract)
        ((count,),) = self._warehouse.query(f"select count(*) from {address}")  # noqa: S608 - quoted
        return int(count)
