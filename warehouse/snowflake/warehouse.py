"""What is particular to Snowflake: sessions, a stage that files are copied from, locks in rows."""

# ruff: noqa: S608 - names come from the contract and are quoted, values are bound

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from pathlib import PurePosixPath
from typing import Literal

from pipeline.contracts import TEXT, Column, RawTable
from pipeline.errors import PipelineError
from warehouse.base import DAYS_LOCK, Warehouse
from warehouse.load import COMMITS_LOCK
from warehouse.manifest import KEPT, StagedPart
from warehouse.records import create_record_tables
from warehouse.session import ANALYTICS, Session, utc_now
from warehouse.snowflake.lease import lease
from warehouse.snowflake.publication import SnowflakePublications
from warehouse.snowflake.session import query_tag, session
from warehouse.snowflake.settings import SnowflakeSettings
from warehouse.snowflake.sign_in import private_key_pem, sign_in
from warehouse.snowflake.uploads import STAGE, Uploads
from warehouse.staging import Files, load_folder, safe

logger = logging.getLogger(__name__)


class SnowflakeWarehouse(Warehouse):
    """``Warehouse`` on Snowflake."""

    dialect: Literal["snowflake"] = "snowflake"

    def __init__(self, settings: SnowflakeSettings) -> None:
        self.settings = settings
        self.max_tries = settings.max_tries
        self._prepared = False

    @contextmanager
    def session(self, doing: str, *, writes: bool, **about: str) -> Iterator[Session]:
        with session(self.settings, doing=doing, tag=query_tag(**about)) as found:
            if not self._prepared:
                create_loads(found)
                self._prepared = True
            yield found

    def prepare(self, **about: str) -> None:
        """Create what is missing of the loader's own tables and its stage."""
        if not self._prepared:
            self.ask("reach the loader's tables", lambda session: None, writes=False, **about)

    @contextmanager
    def files(self, load_id: str, *, shared: bool, **about: str) -> Iterator[Files]:
        uploads = Uploads(self, load_id, **about)
        with load_folder(uploads.root, shared=False):
            uploads.folder.mkdir()
            try:
                yield uploads
            finally:
                uploads.close()
                if uploads.are_loaded or (uploads.have_begun and not shared):
                    with suppress(PipelineError):
                        self.ask(
                            f"clean up after {load_id}",
                            lambda s: _clean_up(s, load_id),
                            writes=True,
                            **about,
                        )

    def arrive(
        self,
        session: Session,
        load_id: str,
        table: RawTable,
        columns: Sequence[Column],
        parts: Sequence[StagedPart],
    ) -> list[str]:
        """Copy the files into a transient table.

        JSON comes as its text, and is parsed on its way into the raw table.
        """
        name = f'LOADS."{_incoming(load_id)}_{table.name.upper()}"'
        definitions = [
            f"{session.quoted(c.name)} "
            f"{session.type_name(TEXT if c.type.name == 'json' else c.type)}"
            for c in columns
        ]
        session.execute(
            f"create or replace transient table {name} ({', '.join(definitions)}) "
            "data_retention_time_in_days = 0"
        )
        for folder in sorted(
            {str(PurePosixPath(part.files[0]).parent) for part in parts if part.files}
        ):
            session.execute(
                f"copy into {name} from @{STAGE}/{folder}/ "
                "file_format = (type = parquet use_logical_type = true) "
                "match_by_column_name = case_insensitive on_error = abort_statement"
            )
        values = [
            f"{session.json(quoted)} as {quoted}" if c.type.name == "json" else quoted
            for c in columns
            for quoted in [session.quoted(c.name)]
        ]
        return [f"select {', '.join(values)} from {name}"]

    def lock(self) -> AbstractContextManager[None]:
        """Readers and writers do not exclude each other; those who build or publish do."""
        return lease(self.marts, self.settings.statement_timeout_seconds)

    def marts(self, *, read_only: bool = True) -> AbstractContextManager[Session]:
        return session(self.settings, "transform", database=ANALYTICS, doing="look after the marts")

    def dbt_environment(self) -> dict[str, str]:
        """The loader's own settings, so that both mean the same account and sign-in.

        Empty texts stand for what is not set: dbt takes the first of key pair, token and password
        that is, as the loader does.
        """
        settings = self.settings.as_transformer()
        method = sign_in(settings).method
        from_file = method == "key pair" and settings.private_key_file is not None
        pem = private_key_pem(settings) if method == "key pair" and not from_file else None
        secrets = {
            "SNOWFLAKE_PRIVATE_KEY_FILE_PWD": ("key pair", settings.private_key_file_pwd),
            "SNOWFLAKE_TOKEN": ("token", settings.token),
            "SNOWFLAKE_PASSWORD": ("password", settings.password),
        }
        marts = settings.marts_warehouse
        return {
            "WAREHOUSE_KIND": self.dialect,
            "SNOWFLAKE_ACCOUNT": settings.account,
            "SNOWFLAKE_DBT_USER": settings.user,
            "SNOWFLAKE_DBT_ROLE": settings.named(settings.transform_role),
            "SNOWFLAKE_DBT_WAREHOUSE": settings.named(settings.transform_warehouse),
            "SNOWFLAKE_MARTS_WAREHOUSE": settings.named(marts) if marts else "",
            "SNOWFLAKE_NAME_PREFIX": settings.name_prefix,
            "SNOWFLAKE_HOST": settings.host or "",
            "SNOWFLAKE_PORT": str(settings.port or (443 if settings.host else "")),
            "SNOWFLAKE_PROTOCOL": settings.protocol,
            "SNOWFLAKE_PRIVATE_KEY_FILE": str(settings.private_key_file) if from_file else "",
            "SNOWFLAKE_PRIVATE_KEY": pem or "",
            **{
                name: value.get_secret_value() if value and method == used_by else ""
                for name, (used_by, value) in secrets.items()
            },
        }

    def dbt_run_environment(self, day: date | None = None) -> dict[str, str]:
        """The query tag of one dbt run: DAG, task, day and try of the Airflow task, if any."""
        return {"ECOMMERCE_QUERY_TAG": query_tag(step="dbt", day=str(day) if day else None)}

    def prepare_dev(self, *, fresh: bool) -> dict[str, str]:
        """Nothing to copy: it is schemas of the person's own, beside the pipeline's."""
        return {"DBT_TARGET": "dev_snowflake"}

    @property
    def publications(self) -> SnowflakePublications:
        return SnowflakePublications(self)


def create_loads(session: Session) -> None:
    """Everything in LOADS that is missing. DDL commits: never call it inside a transaction."""
    wanted = {f"LOCK_{name.upper()}" for name in (DAYS_LOCK, COMMITS_LOCK)}
    made = create_record_tables(session)
    there = {
        name
        for (name,) in session.rows(
            "select table_name from information_schema.tables "
            "where table_schema = 'LOADS' and startswith(table_name, 'LOCK_')"
        )
    }
    for name in sorted(there - wanted):  # each source had a lock of its own once
        session.execute(f"drop table if exists LOADS.{name}")
    if made or wanted - there:
        session.execute(f"create stage if not exists {STAGE}")
    for name in sorted(wanted - there):
        # Made with its row in one statement: without a row the table would lock nothing.
        session.execute(
            f"create table if not exists LOADS.{name} as "
            "select cast(null as timestamp_ntz) as held_since"
        )


def _incoming(load_id: str) -> str:
    return f"INCOMING_{safe(load_id).upper().replace('-', '_')}"


def _drop_incoming(session: Session, condition: str, value: object) -> None:
    found = (
        "select table_name from information_schema.tables where table_schema = 'LOADS' "
        f"and startswith(table_name, 'INCOMING_') and {condition}"
    )
    for (name,) in session.rows(found, [value]):
        session.execute(f'drop table if exists LOADS."{name}"')


def _clean_up(session: Session, load_id: str) -> None:
    session.execute(f"remove @{STAGE}/{safe(load_id)}/")
    _drop_incoming(session, "startswith(table_name, ?)", f"{_incoming(load_id)}_")
    sweep(session)


def sweep(session: Session, now: datetime | None = None) -> list[str]:
    """Remove staged files and incoming tables older than two days; return the folders removed."""
    before = (now or utc_now()) - KEPT
    newest: dict[str, datetime] = {}
    for name, _, _, modified in session.rows(f"list @{STAGE}"):
        folder = str(name).split("/")[1]
        at = parsedate_to_datetime(str(modified)).replace(tzinfo=None)
        newest[folder] = max(at, newest.get(folder, at))
    old = sorted(folder for folder, at in newest.items() if at < before)
    for folder in old:
        logger.info("Files of %s were staged before %s and never loaded.", folder, before)
        session.execute(f"remove @{STAGE}/{folder}/")
    _drop_incoming(session, "created < ?", before)
    return old
