"""Rules over every statement for Snowflake: each finds a planted one, the project's keep them all.

``test_month.py`` asks the same of what dbt sends from day to day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

from infrastructure.snowflake.statements import FOLDER, Account, read, statements
from tests.builders.run_dbt import PROJECT, failures
from tests.snowflake_double.rules import findings
from tests.snowflake_double.server import FakeAccount
from transform.dbt_runner import environment

BAD = {
    "select 1 from t where not x is not true": "IS [NOT] TRUE",
    "select count(*) from t where (a = b) is false": "IS [NOT] FALSE",
    "select sum(x) filter (where y) from t": "FILTER",
    "select list_sort(x) from t": "unknown function LIST_SORT",
    "select strptime(x, '%Y') from t": "unknown function STRPTIME",
    "insert into t select bool_or(x) from u": "unknown function BOOL_OR",
    "create table t as select 1 as build_number, x from u": "BUILD_NUMBER keeps the bare literal",
    "create table t as (with a as (select 'x' as kind, y from u), b as (select * from a) "
    "select b.* from b)": "KIND keeps the bare literal",
    "create table t as select 1 as n union all select 2 as n": "N keeps the bare literal",
    "select * from t where x not in (select y from u)": "NOT IN",
    "delete from t where (x, y) not in (select x, y from u where x is not null)": "NOT IN",
    'select "order_id" from t': "in quotes",
    'create table s."raw" (a integer)': "in quotes",
    "select cast(x as timestamp_tz) from t": "time zone",
    "select x::timestamp_ltz from t": "time zone",
    "create table t as select current_timestamp() as built_at": "keeps CURRENT_TIMESTAMP",
    "select a as rows from t": "reserved word",
    "select account from t": "reserved word",
}
GOOD = [
    "select coalesce(x, false), count_if(y) from t where x is null or y is not null",
    "select x is distinct from y from t",
    "create table t (n number(38,0), kind varchar) as (select 1 as n, 'x' as kind)",
    "create table t as select cast(1 as integer) as n, case when a then 1 else 2 end as m from u",
    "create table t as select 1 as n union all select x from u",
    "select * from t where x not in (select y from u where y is not null) and z not in ('a', 'b')",
    "select * from t where not exists (select 1 from u where u.x = t.x)",
    'select "ORDER_ID", "Colour" from t',
    "create table t as select cast(current_timestamp() as timestamp_ntz) as built_at",
    "insert into t (a, b) select a, b from u",
]


@pytest.mark.parametrize("statement", BAD)
def test_a_planted_statement_is_found(statement: str) -> None:
    assert [found for found in findings(statement) if BAD[statement] in found]


@pytest.mark.parametrize("statement", GOOD)
def test_a_good_statement_is_not(statement: str) -> None:
    assert findings(statement) == []


def test_the_account_keeps_the_rules() -> None:
    made = statements(Account(allowed_ips=("203.0.113.1",), public_keys={"ECOMMERCE_LOADER": "MI"}))
    queries = [file.read_text() for file in (FOLDER / "monitoring").glob("*.sql")]
    for statement in (*made, *read(FOLDER / "destroy.sql", Account(prefix="T_")), *queries):
        assert findings(statement) == [], statement


@pytest.fixture(scope="module")
def compiled(
    fake_snowflake: FakeAccount, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """What dbt compiles on an empty account, by file: models, snapshots, data and unit tests."""
    fake_snowflake.reset()
    folder = tmp_path_factory.mktemp("compiled")
    paths = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    paths += ["--target-path", str(folder), "--log-path", str(folder), "--log-level", "none"]
    with environment({**fake_snowflake.variables, "DBT_THREADS": "1"}):
        result = dbtRunner().invoke(["compile", *paths])
    assert result.success, result.exception or failures(result)
    yield {
        str(file.relative_to(folder)): file.read_text()
        for file in (folder / "compiled").rglob("*.sql")
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["models", "tests", "snapshots"])
def test_what_dbt_compiles_keeps_the_rules(compiled: dict[str, str], kind: str) -> None:
    of_kind = {name: sql for name, sql in compiled.items() if re.search(rf"\b{kind}\b", name)}
    assert of_kind, Path("compiled")
    found = {name: findings(sql) for name, sql in of_kind.items()}
    assert {name: each for name, each in found.items() if each} == {}
