"""Reads the published marts: one set of queries on one publication, from DuckDB or from Snowflake.

Every query is a file of ``queries/``, the same for both warehouses. ``:name`` in it is a bound
parameter; one that holds several values stands in ``in (:name)``.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from dashboard.settings import ReportSettings
from pipeline.errors import MissingInputError, WarehouseUnavailableError
from pipeline.settings import settings
from warehouse.settings import WarehouseSettings
from warehouse.snowflake.settings import SnowflakeSettings

QUERIES = Path(__file__).resolve().parent / "queries"
PARAMETER = re.compile(r":([a-z_]+)\b")

# Connections of one process to one path share DuckDB's instance of that file. If one reader's
# queries overlapped with the next one's for ever, a replaced file would never be seen; so they take
# turns, which costs milliseconds.
_one_set_at_a_time = threading.Lock()


class Query(Protocol):
    def __call__(self, name: str, /, **parameters: object) -> pd.DataFrame:
        """The rows of ``queries/<name>.sql``.

        Decimals stay exact: such columns hold ``decimal.Decimal``.
        """


def published_marts() -> AbstractContextManager[Query]:
    """The current publication of the configured warehouse, read-only while the context lasts.

    Raises:
        MissingInputError: nothing has been published yet.
        WarehouseUnavailableError, CredentialsError, SettingsError: as in a load.
    """
    readers: dict[str, Callable[[], AbstractContextManager[Query]]] = {
        "duckdb": lambda: _duckdb(settings(WarehouseSettings).published_file),
        "snowflake": lambda: _snowflake(settings(SnowflakeSettings), settings(ReportSettings)),
    }
    return readers[settings(WarehouseSettings).kind]()


def bound(sql: str, parameters: Mapping[str, object]) -> tuple[str, list[object]]:
    """The text with question marks, and the values in order; a tuple takes a mark per element."""
    values: list[object] = []

    def replace(match: re.Match[str]) -> str:
        value = parameters[match[1]]
        # `in (null)` is never true.
        several = (value or (None,)) if isinstance(value, tuple) else (value,)
        values.extend(several)
        return ", ".join("?" * len(several))

    return PARAMETER.sub(replace, sql), values


def _asking(
    run: Callable[[str, list[object]], tuple[Sequence[str], Sequence[Sequence[Any]]]],
) -> Query:
    def query(name: str, /, **parameters: object) -> pd.DataFrame:
        columns, rows = run(*bound((QUERIES / f"{name}.sql").read_text(), parameters))
        return pd.DataFrame(
            [list(row) for row in rows],
            columns=[column.lower() for column in columns],
            dtype=object,
        )

    return query


@contextmanager
def _duckdb(file: Path) -> Iterator[Query]:
    import duckdb

    if not file.exists():
        raise MissingInputError("Nothing has been published yet.")
    with _one_set_at_a_time:
        try:
            connection = duckdb.connect(str(file), read_only=True)
        except duckdb.Error as error:
            raise WarehouseUnavailableError(
                f"The published marts in {file} cannot be opened: {error}"
            ) from error
        with connection:
            connection.execute("set enable_external_access = false")

            def run(
                sql: str, values: list[object]
            ) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
                done = connection.execute(sql, values)
                return [column[0] for column in done.description or ()], done.fetchall()

            yield _asking(run)


@contextmanager
def _snowflake(account: SnowflakeSettings, report: ReportSettings) -> Iterator[Query]:
    from warehouse.session import ANALYTICS
    from warehouse.snowflake.session import session

    signed_in = account.signed_in_by(
        "SNOWFLAKE_REPORT",
        report.user,
        private_key_file=report.private_key_file,
        private_key=report.private_key,
        private_key_file_pwd=report.private_key_file_pwd,
        token=report.token,
    )
    analyst = signed_in.model_copy(
        update={"load_role": report.role, "load_warehouse": report.warehouse}
    )
    with session(analyst, doing="read the published marts", database=ANALYTICS) as connection:
        visible = (
            "select count(*) from information_schema.tables "
            "where table_schema = 'PUBLISHED' and table_name = 'PUBLICATION'"
        )
        ((count,),) = connection.rows(visible)
        if not count:
            raise MissingInputError(
                f"Nothing has been published yet, or the role {report.role} may not read it."
            )

        yield _asking(connection.table)
