"""What only the Snowflake warehouse can get wrong: sign-in, logs, stage, lost answers, tags."""

from __future__ import annotations

import base64
import json
import logging
import os
import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import snowflake.connector.errors as connector
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from pipeline.errors import (
    CredentialsError,
    PassingError,
    PermanentError,
    SettingsError,
    WarehouseUnavailableError,
)
from pipeline.records import Window
from pipeline.settings import settings
from pipeline.sources import CHARGES, ORDERS, PRODUCTS, source
from tests.builders.loads import DAY, END, SHOP, WINDOW, batch, load, names, product
from warehouse import open_warehouse, parquet, records
from warehouse.base import retried
from warehouse.merge import Stamp, merge
from warehouse.session import Row, utc_now
from warehouse.snowflake.errors import explain
from warehouse.snowflake.session import SnowflakeSession, query_tag
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.sign_in import fingerprint, sign_in
from warehouse.snowflake.uploads import Uploads
from warehouse.snowflake.warehouse import SnowflakeWarehouse, sweep
from warehouse.staging import safe

if TYPE_CHECKING:
    from tests.snowflake_double.server import FakeAccount

SECRET = "Sesame-4711-open"


def account(**given: Any) -> SnowflakeSettings:
    return SnowflakeSettings(_env_file=None, account="my-account", user="loader", **given)


def pem_of(key: Any, passphrase: str | None = None) -> str:
    how = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    return str(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how
        ).decode()
    )


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(("SNOWFLAKE_", "AIRFLOW_CTX_")):
            monkeypatch.delenv(name)
    settings.cache_clear()
    yield
    settings.cache_clear()


# --- sign-in


def test_a_key_pair_wins_over_a_token_and_a_token_over_a_password(key: rsa.RSAPrivateKey) -> None:
    assert sign_in(account(private_key=pem_of(key), token="t", password="p")).method == "key pair"
    assert sign_in(account(token="t0ken-value", password="p")).arguments() == {
        "authenticator": "PROGRAMMATIC_ACCESS_TOKEN",
        "token": "t0ken-value",
    }
    assert sign_in(account(password=SECRET)).arguments() == {"password": SECRET}


@pytest.mark.parametrize("passphrase", [None, "a passphrase"])
@pytest.mark.parametrize("form", ["file", "pem", "escaped", "body"])
def test_the_key_may_be_a_file_or_in_the_environment(
    key: rsa.RSAPrivateKey, tmp_path: Path, passphrase: str | None, form: str
) -> None:
    pem = pem_of(key, passphrase)
    (tmp_path / "key.p8").write_text(pem)
    given = {
        "file": {"private_key_file": tmp_path / "key.p8"},
        "pem": {"private_key": pem},
        "escaped": {"private_key": pem.replace("\n", "\\n")},
        "body": {"private_key": "".join(pem.splitlines()[1:-1])},
    }[form]
    found = sign_in(account(**given, private_key_file_pwd=passphrase))
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    assert found.arguments() == {"authenticator": "SNOWFLAKE_JWT", "private_key": der}
    assert (fingerprint(account(**given, private_key_file_pwd=passphrase)) or "").startswith(
        "SHA256:"
    )


def test_a_wrong_or_missing_sign_in_is_a_sentence(key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    (tmp_path / "no.p8").write_text("not a key")
    elliptic = pem_of(ec.generate_private_key(ec.SECP256R1()))
    for given, says in (
        ({}, "Nothing is set to sign in to Snowflake with. Set SNOWFLAKE_PRIVATE_KEY_FILE"),
        (
            {"private_key_file": tmp_path / "absent.p8"},
            "absent.p8, which cannot be read: No such file",
        ),
        ({"private_key_file": tmp_path / "no.p8"}, "no.p8, which is no private key in PEM"),
        ({"private_key": SECRET}, "SNOWFLAKE_PRIVATE_KEY is no private key in PEM"),
        (
            {"private_key": pem_of(key, "right")},
            "has a passphrase, and none is set: correct SNOWFLAKE_PRIVATE_KEY_FILE_PWD",
        ),
        (
            {"private_key": pem_of(key, "right"), "private_key_file_pwd": SECRET},
            "SNOWFLAKE_PRIVATE_KEY_FILE_PWD is not its pass",
        ),
        (
            {"private_key": pem_of(key), "private_key_file_pwd": SECRET},
            "has no passphrase, but one is set",
        ),
        ({"private_key": elliptic}, "is no RSA key of 2048 bits or more"),
    ):
        with pytest.raises(SettingsError) as error:
            sign_in(account(**given))
        assert says in str(error.value) and SECRET not in str(error.value)
        assert error.value.__cause__ is None


def test_an_address_is_not_taken_for_an_account(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "empty.env").touch()
    monkeypatch.setenv("ECOMMERCE_ENV_FILE", str(tmp_path / "empty.env"))
    monkeypatch.setenv("WAREHOUSE_KIND", "snowflake")
    with pytest.raises(
        SettingsError, match=r"SNOWFLAKE_ACCOUNT is not set; SNOWFLAKE_USER is not set"
    ):
        open_warehouse()
    monkeypatch.setenv("SNOWFLAKE_ACCOUNT", "https://myorg-myaccount.snowflakecomputing.com")
    monkeypatch.setenv("SNOWFLAKE_USER", "loader")
    with pytest.raises(SettingsError, match=r"SNOWFLAKE_ACCOUNT: .*identifier alone"):
        open_warehouse()


def let_the_connector_log_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all loggers speak: Airflow, dbt and others silence those that exist when they load."""
    monkeypatch.setattr(logging.root.manager, "disable", logging.NOTSET)
    names = [name for name in logging.root.manager.loggerDict if name.startswith("snowflake")]
    for logger in (
        logging.getLogger(name) for name in {"snowflake", "snowflake.connector", *names}
    ):
        monkeypatch.setattr(logger, "disabled", False)
        monkeypatch.setattr(logger, "propagate", True)
        monkeypatch.setattr(logger, "level", logging.NOTSET)
        logger._cache.clear()  # type: ignore[attr-defined]  # of answers to isEnabledFor


def test_no_secret_is_shown_or_logged_not_even_by_the_connector(
    fake_snowflake: FakeAccount,
    snowflake_warehouse: SnowflakeWarehouse,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_the_connector_log_everything(monkeypatch)
    given = snowflake_warehouse.settings.model_copy(
        update={"password": account(password=SECRET).password}
    )
    with caplog.at_level(logging.DEBUG):
        warehouse = SnowflakeWarehouse(given)
        load(warehouse, product(1))
        logging.getLogger("snowflake.connector.network").debug(
            "body: %s, token=%s", {"PASSWORD": SECRET}, "ETMsDgAAAXI0IS9zPQ"
        )
    assert len(caplog.records) > 20
    assert any(record.name.startswith("snowflake.connector") for record in caplog.records)
    assert SECRET not in caplog.text and "ETMsDgAAAXI0IS9zPQ" not in caplog.text
    assert SECRET not in f"{given!r} {sign_in(given)!r}"


def test_the_private_key_is_masked_as_well(
    key: rsa.RSAPrivateKey,
    fake_snowflake: FakeAccount,
    snowflake_warehouse: SnowflakeWarehouse,
    caplog: pytest.LogCaptureFixture,
) -> None:
    given = snowflake_warehouse.settings.model_copy(
        update={"private_key": account(private_key=pem_of(key)).private_key}
    )
    SnowflakeWarehouse(given).watermark(SHOP)
    body = base64.b64encode(sign_in(given).private_key or b"").decode()
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("snowflake.connector.auth.keypair").debug(
            "signing with %s, %s", body, pem_of(key)
        )
    assert body not in caplog.text and pem_of(key).splitlines()[1] not in caplog.text


# --- what the account answers


@pytest.mark.parametrize(
    ("error", "family", "says"),
    [
        (
            connector.DatabaseError(
                msg="Incorrect username or password was specified.", errno=250001
            ),
            CredentialsError,
            "refuses",
        ),
        (
            connector.DatabaseError(msg="JWT token is invalid. [a-b-c]", errno=250001),
            CredentialsError,
            "does not belong",
        ),
        (
            connector.DatabaseError(msg="Role 'LOADER' is not granted", errno=390189),
            CredentialsError,
            "not granted to the user",
        ),
        (
            connector.DatabaseError(msg="IP 1.2.3.4 is not allowed", errno=390422),
            CredentialsError,
            "network policy",
        ),
        (
            connector.HttpError(msg="404 Not Found: post my-account", errno=290404),
            CredentialsError,
            "no Snowflake account my-acc",
        ),
        (
            connector.ProgrammingError(msg="Object does not exist or not authorized", errno=2003),
            CredentialsError,
            "infrastructure",
        ),
        (
            connector.ProgrammingError(msg="Insufficient privileges", errno=3001),
            CredentialsError,
            "the role may not use it",
        ),
        (
            connector.ProgrammingError(msg="exceeded resource monitor quota", errno=90073),
            PermanentError,
            "credits are used up",
        ),
        (
            connector.ProgrammingError(msg="syntax error", errno=1003),
            PermanentError,
            "could not load orders: ",
        ),
        (
            connector.ProgrammingError(msg="statement timeout", errno=630),
            WarehouseUnavailableError,
            "for now",
        ),
        (
            connector.ProgrammingError(msg="lock timeout", errno=625),
            WarehouseUnavailableError,
            "for now",
        ),
        (
            connector.OperationalError(msg="could not connect", errno=250001),
            WarehouseUnavailableError,
            "for now",
        ),
        (
            connector.ServiceUnavailableError(msg="503", errno=290503),
            WarehouseUnavailableError,
            "for now",
        ),
        (ConnectionResetError("reset"), WarehouseUnavailableError, "for now"),
    ],
    ids=lambda value: f"{getattr(value, 'errno', '')}" if isinstance(value, Exception) else None,
)
def test_each_refusal_is_a_sentence_of_the_right_family(
    error: Exception, family: type[Exception], says: str
) -> None:
    found = explain(error, account(password=SECRET), "load orders")
    assert type(found) is family
    assert says in str(found) and SECRET not in str(found)


def test_only_passing_errors_are_tried_again() -> None:
    tries: list[int] = []

    def fail(error: Exception) -> None:
        tries.append(1)
        raise error

    with pytest.raises(PassingError):
        retried(2, lambda: fail(WarehouseUnavailableError("busy")))
    assert len(tries) == 2
    with pytest.raises(CredentialsError):
        retried(2, lambda: fail(CredentialsError("refused")))
    assert len(tries) == 3


def test_an_account_that_does_not_answer_does_not_hang(
    snowflake_warehouse: SnowflakeWarehouse,
) -> None:
    update = {"port": 1, "login_timeout_seconds": 2, "network_timeout_seconds": 2}
    started = time.monotonic()
    with pytest.raises(WarehouseUnavailableError):
        SnowflakeWarehouse(snowflake_warehouse.settings.model_copy(update=update)).watermark(SHOP)
    assert time.monotonic() - started < 30


@pytest.mark.slow
def test_a_load_whose_answer_was_lost_is_not_loaded_twice(
    snowflake_warehouse: SnowflakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, commits = SnowflakeSession.table, []

    def lose_the_answer(session: Any, sql: str, parameters: Any = ()) -> Any:
        found = real(session, sql, parameters)
        if sql == "commit":
            commits.append(sql)
            if len(commits) == 1:
                raise connector.OperationalError(msg="connection reset by peer", errno=250003)
        return found

    monkeypatch.setattr(SnowflakeSession, "table", lose_the_answer)
    warehouse = SnowflakeWarehouse(snowflake_warehouse.settings.model_copy(update={"max_tries": 3}))
    record = load(warehouse, product(1), product(2))
    assert len(commits) == 1 and record.tables[0].inserted == 2
    assert warehouse.load_records(DAY) == (record,)
    assert warehouse.query("select count(*) from loads.load_records") == [(1,)]


@pytest.mark.slow
def test_a_load_that_breaks_off_in_its_transaction_is_undone_and_done_again(
    snowflake_warehouse: SnowflakeWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(snowflake_warehouse, product(1, "old"))
    real, tries = records.add_record, []

    def break_off(connection: Any, record: Any) -> None:
        tries.append(record)
        if len(tries) == 1:
            raise connector.OperationalError(msg="broken pipe", errno=250003)
        real(connection, record)

    monkeypatch.setattr(records, "add_record", break_off)
    newer = product(1, "new", updated_at=END)
    with pytest.raises(WarehouseUnavailableError):
        load(snowflake_warehouse, newer)
    assert names(snowflake_warehouse) == {1: "old"}
    tries.clear()
    record = load(
        SnowflakeWarehouse(snowflake_warehouse.settings.model_copy(update={"max_tries": 2})), newer
    )
    assert (len(tries), record.tables[0].updated) == (2, 1)
    assert names(snowflake_warehouse) == {1: "new"}


# --- the stage


@pytest.mark.slow
def test_a_large_load_goes_in_several_files_and_leaves_none_behind(
    fake_snowflake: FakeAccount,
    snowflake_warehouse: SnowflakeWarehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_ROWS", 500)
    real = Uploads.__init__

    def small(uploads: Uploads, *given: Any, **about: str) -> None:
        real(uploads, *given, **about)
        uploads.file_bytes = 4096

    monkeypatch.setattr(Uploads, "__init__", small)
    warehouse = SnowflakeWarehouse(
        snowflake_warehouse.settings.model_copy(update={"parallel_uploads": 3})
    )
    rows = [product(number, f"name {number * 7919}") for number in range(3000)]
    with warehouse.begin_load(SHOP, DAY, WINDOW) as open_load:
        assert (
            open_load.stage(
                PRODUCTS, (batch(rows[start : start + 250]) for start in range(0, 3000, 250))
            )
            == 3000
        )
        open_load.stage(PRODUCTS, [batch([product(5000)])])
        record = open_load.commit(END)
    puts = [statement for statement in fake_snowflake.statements if statement.startswith("put ")]
    uploaded = {
        statement.split("@")[1].split()[0] + statement.split("'")[1].rsplit("/")[-1]
        for statement in puts
    }
    assert len(uploaded) >= 4
    assert record.tables[0].inserted == 3001
    assert warehouse.query(
        "select count(*), count(distinct product_id) from postgres.raw_products"
    ) == [(3001, 3001)]
    assert fake_snowflake.staged_files() == []
    left_here = [path.name for path in warehouse.settings.staging_dir.iterdir()]
    assert left_here == [".lock"]
    left = (
        "select table_name from information_schema.tables where startswith(table_name, 'INCOMING_')"
    )
    assert warehouse.query(left) == []


@pytest.mark.slow
def test_a_load_that_is_left_removes_its_files_and_a_shared_one_keeps_them(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    with (
        pytest.raises(ConnectionError),
        snowflake_warehouse.begin_load(SHOP, DAY, WINDOW) as open_load,
    ):
        open_load.stage(PRODUCTS, [batch([product(1)])])
        raise ConnectionError
    assert fake_snowflake.staged_files() == []
    with snowflake_warehouse.begin_load(SHOP, DAY, WINDOW, load_id="run 1") as open_load:
        open_load.stage(PRODUCTS, [batch([product(1)])], part="a")
    assert len(fake_snowflake.staged_files()) == 1
    elsewhere = SnowflakeWarehouse(
        snowflake_warehouse.settings.model_copy(
            update={"staging_dir": snowflake_warehouse.settings.staging_dir / "elsewhere"}
        )
    )
    with elsewhere.begin_load(SHOP, DAY, WINDOW, load_id="run 1") as open_load:
        open_load.commit(END, parts=["a"])
    assert names(elsewhere) == {1: "Mug"}
    assert fake_snowflake.staged_files() == []
    assert elsewhere.query("select count(*) from loads.shared_loads") == [(0,)]


@pytest.mark.slow
def test_what_nobody_committed_is_swept_after_two_days(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    with snowflake_warehouse.begin_load(SHOP, DAY, WINDOW, load_id="forgotten") as open_load:
        open_load.stage(PRODUCTS, [batch([product(1)])], part="a")
    with snowflake_warehouse.session("sweep", writes=True) as session:
        assert sweep(session, utc_now() + timedelta(days=1)) == []
        assert len(fake_snowflake.staged_files()) == 1
        assert sweep(session, utc_now() + timedelta(days=3)) == ["forgotten"]
    assert fake_snowflake.staged_files() == []


# --- SQL


def test_all_ddl_comes_before_the_transaction_and_nothing_commits_inside_it(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    load(snowflake_warehouse, product(1))
    fake_snowflake.statements.clear()
    load(snowflake_warehouse, product(1, "changed", updated_at=END))
    statements = [" ".join(statement.lower().split()) for statement in fake_snowflake.statements]
    begin, commit = statements.index("begin"), statements.index("commit")
    inside = [statement.split()[0] for statement in statements[begin + 1 : commit]]
    assert inside[0] == "update" and set(inside) <= {
        "update",
        "select",
        "merge",
        "insert",
        "delete",
    }
    assert statements[begin + 1].startswith("update loads.lock_commits")
    assert {"merge", "insert"} <= set(inside)


def test_each_query_is_tagged_with_dag_task_day_and_try(
    monkeypatch: pytest.MonkeyPatch, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "extract_postgres_products")
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "extract_postgres_products")
    monkeypatch.setenv("AIRFLOW_CTX_TRY_NUMBER", "2")
    expected = {
        "app": "ecommerce_pipeline",
        "dag": "extract_postgres_products",
        "task": "extract_postgres_products",
    }
    assert json.loads(query_tag(day="2026-11-22")) == expected | {"try": "2", "day": "2026-11-22"}
    seen: list[dict[str, Any]] = []
    import snowflake.connector as driver

    real = driver.connect
    monkeypatch.setattr(
        driver,
        "connect",
        lambda **given: seen.append(dict(given["session_parameters"])) or real(**given),
    )
    load(snowflake_warehouse, product(1))
    tags = [json.loads(parameters["QUERY_TAG"]) for parameters in seen]
    assert tags and all(
        tag == expected | {"try": "2", "day": "2026-11-22", "source": "products"} for tag in tags
    )
    assert {parameters["TIMEZONE"] for parameters in seen} == {"UTC"}


def test_plain_names_mean_the_same_however_they_are_written_and_others_are_kept() -> None:
    quoted = SnowflakeSession(None, account()).quoted  # type: ignore[arg-type]
    assert [quoted(name) for name in ("order_id", "_day", "Colour", 'colour "x"', "größe")] == [
        '"ORDER_ID"',
        '"_DAY"',
        '"Colour"',
        '"colour ""x"""',
        '"größe"',
    ]
    assert safe("orders-2026-11-22-0600") == "orders-2026-11-22-0600"
    assert safe("manual__2026-11-22T06:00:00+00:00") != safe("manual__2026-11-22T06-00:00+00:00")


def test_the_merge_is_snowflakes_sql_for_every_table(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlglot

    seen: list[str] = []

    def note(session: Any, sql: str, parameters: Any = ()) -> tuple[list[str], list[Row]]:
        seen.append(sql)
        return [], [] if "having count" in sql else [(1,)]

    monkeypatch.setattr(SnowflakeSession, "table", note)
    monkeypatch.setattr("warehouse.merge.stored_columns", lambda session, table: {"GONE": "DATE"})
    session = SnowflakeSession(None, account())  # type: ignore[arg-type]
    stamp = Stamp("load", END, DAY, END)
    for table in (ORDERS, CHARGES, *source("marketing").tables):
        for replace in (False, True):
            merge(session, table, table.columns, ["select * from X"], stamp, replace=replace)
    assert len([sql for sql in seen if sql.startswith("merge")]) == 8
    for sql in seen:
        assert not isinstance(sqlglot.parse_one(sql, dialect="snowflake"), sqlglot.exp.Command), sql
    assert any("to_json" in sql for sql in seen)


def test_a_window_and_a_day_survive_the_journey(snowflake_warehouse: SnowflakeWarehouse) -> None:
    window = Window(None, datetime(2026, 11, 22, 6, 0, 0, 123456))
    with snowflake_warehouse.begin_load(SHOP, date(2026, 11, 22), window) as open_load:
        record = open_load.commit(None)
    assert snowflake_warehouse.load_records(date(2026, 11, 22)) == (record,)


# --- what only a real account shows


def test_a_statement_may_take_as_long_as_the_server_lets_it() -> None:
    """Without a limit of its own the connector cancels it after its network timeout."""
    given: dict[str, Any] = {}

    class Cursor:
        description = ()

        def execute(self, sql: str, parameters: Any, **options: Any) -> None:
            given.update(options)

        def fetchall(self) -> list[Row]:
            return []

    class Connection:
        def cursor(self) -> Cursor:
            return Cursor()

    SnowflakeSession(Connection(), account(statement_timeout_seconds=1800)).execute("select 1")  # type: ignore[arg-type]
    assert given == {"timeout": 1800}
    cancelled = connector.ProgrammingError(msg="SQL execution canceled", errno=604)
    assert type(explain(cancelled, account(), "load orders")) is PermanentError


def test_a_lock_without_its_row_locks_nothing_and_says_so(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    load(snowflake_warehouse, product(1))
    fake_snowflake.execute('delete from "ECOMMERCE_RAW"."LOADS"."LOCK_COMMITS"')
    try:
        with pytest.raises(PermanentError, match="LOCK_COMMITS has 0 rows"):
            load(snowflake_warehouse, product(2))
    finally:
        fake_snowflake.execute('insert into "ECOMMERCE_RAW"."LOADS"."LOCK_COMMITS" values (null)')
    assert names(snowflake_warehouse) == {1: "Mug"}


def test_what_fails_after_begin_is_rolled_back_before_anything_else(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        snowflake_warehouse.session("fail", writes=True) as session,
    ):
        fake_snowflake.statements.clear()
        with session.transaction("days"):
            raise ZeroDivisionError
    assert fake_snowflake.statements[-1] == "rollback"
    assert "commit" not in fake_snowflake.statements


def test_a_load_opens_no_session_before_it_has_something_to_say(
    fake_snowflake: FakeAccount, snowflake_warehouse: SnowflakeWarehouse
) -> None:
    """The virtual warehouse sleeps while rows are still read from the source."""
    fake_snowflake.statements.clear()
    with snowflake_warehouse.begin_load(SHOP, DAY, WINDOW):
        pass
    assert fake_snowflake.statements == []
