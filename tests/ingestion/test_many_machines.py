"""A load in parts on machines that share no file: only Snowflake and PostgreSQL.

One of them is killed on the way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ingestion.postgres.load import plan_parts
from pipeline.errors import PermanentError
from pipeline.settings import PROJECT, settings
from pipeline.sources import PRODUCTS
from tests.builders.loads import SHOP, WINDOW, batch, product
from tests.builders.postgres_shop import BEFORE, DAY
from warehouse.duckdb.warehouse import DuckDBWarehouse
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from tests.builders.source_database import SourceDatabase
    from tests.snowflake_double.server import FakeAccount

ORDERS = 400
WORK = (
    "import json, sys; from ingestion.postgres import load; print(load.{}(json.loads(sys.argv[1])))"
)


class Machine:
    """A worker with a folder of its own, and no other."""

    def __init__(self, folder: Path, shared: dict[str, str]) -> None:
        folder.mkdir()
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "PYTHONPATH": str(PROJECT),
            "SNOWFLAKE_STAGING_DIR": str(folder / "staged"),
            **shared,
        }

    def start(self, what: str, argument: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", WORK.format(what), json.dumps(argument)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, what: str, argument: Any) -> str:
        process = self.start(what, argument)
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]
        return out.strip()


@pytest.fixture
def shared(
    source_db: SourceDatabase,
    fake_snowflake: FakeAccount,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, str]:
    """What all machines have in common: settings that name the two servers."""
    fake_snowflake.reset()
    (tmp_path / "empty.env").touch()
    values = source_db.settings.model_dump(include={"host", "port", "user", "db", "sslmode"})
    password = source_db.settings.password
    found = {
        **fake_snowflake.variables,
        "SNOWFLAKE_NETWORK_TIMEOUT_SECONDS": "60",
        **{f"POSTGRES_{name.upper()}": str(value) for name, value in values.items()},
        "POSTGRES_PASSWORD": password.get_secret_value() if password else "",
        "POSTGRES_SPLIT_ROWS": "150",
        "ECOMMERCE_ENV_FILE": str(tmp_path / "empty.env"),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SNOWFLAKE_STAGING_DIR", str(tmp_path / "scheduler"))
    settings.cache_clear()
    source_db.execute(
        "insert into orders (order_date, status, total_amount, created_at, updated_at) "
        f"select '{BEFORE}', 'pending', n, '{BEFORE}', '{BEFORE}' "
        f"from generate_series(1, {ORDERS}) as n; analyze orders"
    )
    return found


def test_with_duckdb_such_machines_are_told_the_way_out(tmp_path: Path) -> None:
    one, other = (
        DuckDBWarehouse(WarehouseSettings(_env_file=None, duckdb_dir=tmp_path / name))  # type: ignore[call-arg]
        for name in ("one", "other")
    )
    with one.begin_load(SHOP, DAY, WINDOW, load_id="a load") as load:
        load.stage(PRODUCTS, [batch([product(1)])], part="a")
    with (
        pytest.raises(PermanentError, match=r"Parts a of products.*WAREHOUSE_KIND=snowflake"),
        other.begin_load(SHOP, DAY, WINDOW, load_id="a load") as load,
    ):
        load.commit(None, parts=["a"])


@pytest.mark.slow
def test_two_machines_that_share_no_folder_load_the_parts_of_a_table_though_one_is_killed(
    shared: dict[str, str], source_db: SourceDatabase, fake_snowflake: FakeAccount, tmp_path: Path
) -> None:
    one, other = (Machine(tmp_path / name, shared) for name in ("one", "other"))
    first, *rest = plan_parts("orders", DAY)
    assert len(rest) == 2

    # One machine uploads a part and dies before it has said so.
    fake_snowflake.slow = ("insert into loads.shared_loads", 20.0)
    killed = one.start("load_part", first)
    deadline = time.monotonic() + 60
    while not fake_snowflake.staged_files() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    fake_snowflake.slow = None
    assert len(fake_snowflake.staged_files()) == 1

    # It comes back and reads two parts at once, the other machine reads the rest.
    second, *others = rest
    again = [one.start("load_part", part) for part in (first, second)]
    rows = sum(int(other.run("load_part", part)) for part in others)
    for process in again:
        out, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors[-2000:]
        rows += int(out)
    assert rows == ORDERS
    record = other.run("commit_parts", [first, *rest])
    assert f"inserted={ORDERS}" in record
    stored = fake_snowflake.query(
        "select count(*), count(distinct order_id), sum(total_amount) "
        'from "ECOMMERCE_RAW"."POSTGRES"."RAW_ORDERS"'
    )
    assert [tuple(map(int, row)) for row in stored] == [(ORDERS, ORDERS, ORDERS * 401 // 2)]
    assert fake_snowflake.staged_files() == []
    assert one.run("commit_parts", [first, *rest]) == record
