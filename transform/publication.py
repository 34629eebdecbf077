"""Publishes the tested marts, all at once, and can bring an earlier publication back.

Each publication is a file of its own; what people open, ``published/ecommerce_analytics.duckdb``,
is one of them under its public name, changed by one atomic rename. A reader holds the old file or
the new one, never a mix, and needs no lock.

    published/ecommerce_analytics.duckdb      the current publication
    published/versions/<id>.duckdb            the newest of them, the current one included (DBT_KEEP_PUBLICATIONS)
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import MissingInputError
from pipeline.settings import settings as configured
from transform import snowflake_publication
from transform.errors import PublicationError
from transform.results import Publication
from transform.settings import TransformSettings
from warehouse.settings import WarehouseSettings

if TYPE_CHECKING:
    from transform.duckdb import Run

logger = logging.getLogger(__name__)

SCHEMA = "published"
CREATE_PUBLICATION = f"""
create table {SCHEMA}.publication (
    publication_id varchar not null, day date not null, built_for date not null, published_at timestamp not null,
    tested_at timestamp not null, tests_passed integer not null, tests_warned integer not null,
    models json not null, load_ids json not null, rows_loaded json not null
)"""


def publish_marts(
    day: date, *, dbt: TransformSettings | None = None, warehouse: WarehouseSettings | None = None
) -> Publication:
    """Publish every mart as it was tested. Raises ``PublicationError`` unless the newest marts are
    the day's and passed.

    Running it again publishes the same marts again and changes no number.
    """
    dbt, warehouse = (
        dbt or configured(TransformSettings),
        warehouse or configured(WarehouseSettings),
    )
    if warehouse.kind == "snowflake":
        publication = snowflake_publication.publish(day, dbt.keep_publications)
    else:
        from warehouse.duckdb.warehouse import warehouse_lock

        with _exclusive(warehouse), warehouse_lock(warehouse):
            publication = _write_version(day, warehouse)
            _make_current(warehouse, publication.publication_id)
            _forget_old(warehouse, keep=dbt.keep_publications)
    rows = sum(publication.models.values())
    logger.info(
        "Published %d marts with %s rows, complete up to %s.",
        len(publication.models),
        f"{rows:,}",
        publication.day,
    )
    return publication


def rollback(
    publication_id: str | None = None, *, warehouse: WarehouseSettings | None = None
) -> Publication:
    """Bring back the publication before the current one, or the given one. The files stay, so it
    can be undone by id.
    """
    warehouse = warehouse or configured(WarehouseSettings)
    if warehouse.kind == "snowflake":
        publication = snowflake_publication.rollback(publication_id)
    else:
        publication = _rolled_back(publication_id, warehouse)
    logger.warning(
        "Publication %s (day %s) is current again.", publication.publication_id, publication.day
    )
    return publication


def _rolled_back(publication_id: str | None, warehouse: WarehouseSettings) -> Publication:
    with _exclusive(warehouse):
        known = sorted(path.stem for path in _versions(warehouse).glob("*.duckdb"))
        current = read_publication(warehouse=warehouse)
        if publication_id is None:
            older = [
                version
                for version in known
                if current is not None and version < current.publication_id
            ]
            if not older:
                raise PublicationError("There is no earlier publication to go back to.")
            publication_id = older[-1]
        elif publication_id not in known:
            raise PublicationError(
                f"There is no publication {publication_id}. Kept: {', '.join(known) or 'none'}."
            )
        _make_current(warehouse, publication_id)
    publication = read_publication(warehouse=warehouse)
    assert publication is not None
    return publication


def published_file(warehouse: WarehouseSettings | None = None) -> Path:
    """Where dashboards and people find the published marts."""
    warehouse = warehouse or configured(WarehouseSettings)
    return warehouse.duckdb_dir / "published" / "ecommerce_analytics.duckdb"


def read_published(
    sql: str, warehouse: WarehouseSettings | None = None, parameters: Sequence[object] = ()
) -> list[tuple[object, ...]]:
    """Rows of a query on the published marts (schema ``published``). Takes no lock and waits for
    nobody.
    """
    if (warehouse or configured(WarehouseSettings)).kind == "snowflake":
        return snowflake_publication.read(sql, parameters)
    import duckdb

    file = published_file(warehouse)
    if not file.exists():
        raise MissingInputError(
            f"Nothing has been published yet: there is no {file}. `publish_marts` writes it."
        )
    with duckdb.connect(str(file), read_only=True) as connection:
        return connection.execute(sql, list(parameters)).fetchall()


def read_publication(*, warehouse: WarehouseSettings | None = None) -> Publication | None:
    """The current publication, None before the first."""
    if (warehouse or configured(WarehouseSettings)).kind == "snowflake":
        return snowflake_publication.current()
    if not published_file(warehouse).exists():
        return None
    columns = "publication_id, day, built_for, published_at, tested_at, tests_passed, tests_warned, models, load_ids, rows_loaded"
    row: tuple[Any, ...] = read_published(f"select {columns} from {SCHEMA}.publication", warehouse)[
        0
    ]  # noqa: S608
    models, load_ids, rows_loaded = map(json.loads, row[7:])
    identity, day, built_for, published_at, tested_at, passed, warned = row[:7]
    return Publication(
        identity,
        day,
        built_for,
        published_at,
        tested_at,
        passed,
        warned,
        models,
        load_ids,
        rows_loaded,
    )


def tested_marts(day: date, steps: Mapping[str, Run | None]) -> tuple[Run, Run]:
    """The newest run of the marts and the tests it has passed, of the newest run of each step.
    ``PublicationError`` unless the marts are the day's, and were tested since they, and all they
    are made of, were built."""
    marts, tests = steps["marts"], steps["test"]
    if marts is None or marts.day != day or not marts.succeeded:
        raise PublicationError(
            f"The newest marts are not those of {day}: run the marts layer for it first."
        )
    newest = max(
        run.finished_at for name, run in steps.items() if name != "test" and run is not None
    )
    if tests is None or not tests.succeeded or tests.day != day or tests.started_at < newest:
        raise PublicationError(
            f"The marts of {day} have not passed their tests since they were built; nothing is "
            "published."
        )
    return marts, tests


def _versions(warehouse: WarehouseSettings) -> Path:
    return published_file(warehouse).parent / "versions"


@contextmanager
def _exclusive(warehouse: WarehouseSettings) -> Iterator[None]:
    """One publish or rollback at a time. A lock of its own, so that a rollback does not wait for a
    dbt run to end.
    """
    _versions(warehouse).mkdir(parents=True, exist_ok=True)
    with (published_file(warehouse).parent / "publish.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write_version(day: date, warehouse: WarehouseSettings) -> Publication:
    """Copy the marts that the newest marts run built into a file of their own, and make it durable."""
    from transform.duckdb import connect, latest_run, quoted

    before = read_publication(warehouse=warehouse)
    now = datetime.now(UTC).replace(tzinfo=None)
    with connect(warehouse) as connection:
        steps = {
            step: latest_run(connection, step)
            for step in ("staging", "intermediate", "marts", "test")
        }
        marts, tests = tested_marts(day, steps)
        identity = f"{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}Z"
        unfinished = _versions(warehouse) / f"{identity}.unfinished"
        connection.execute(f"attach {quoted(unfinished)} as publication")
        connection.execute(f"create schema publication.{SCHEMA}")
        models: dict[str, int] = {}
        for result in marts.results:
            if result["published"]:
                target = f'publication.{SCHEMA}."{result["name"]}"'
                connection.execute(f"create table {target} as select * from {result['relation']}")  # noqa: S608
                copied = connection.execute(f"select count(*) from {target}").fetchone()  # noqa: S608
                models[result["name"]] = int(copied[0]) if copied else 0
        if not models:
            raise PublicationError(f"The marts layer of {day} holds no model to publish.")
        statuses = [test["status"] for test in tests.results]
        publication = Publication(
            publication_id=identity,
            day=max(day, before.day) if before else day,
            built_for=day,
            published_at=now,
            tested_at=tests.finished_at,
            tests_passed=statuses.count("pass"),
            tests_warned=statuses.count("warn"),
            models=models,
            load_ids=marts.raw.load_ids,
            rows_loaded=marts.raw.rows_loaded,
        )
        connection.execute("use publication")
        connection.execute(CREATE_PUBLICATION)
        values = [
            publication.publication_id,
            publication.day,
            publication.built_for,
            now,
            publication.tested_at,
        ]
        counts = [publication.tests_passed, publication.tests_warned]
        texts = [
            json.dumps(text) for text in (models, publication.load_ids, publication.rows_loaded)
        ]
        row = [*values, *counts, *texts]
        connection.execute(
            f"insert into {SCHEMA}.publication values ({', '.join('?' * len(row))})", row
        )  # noqa: S608
        connection.execute("use memory")
        connection.execute("detach publication")  # writes the log into the file and closes it
    _sync(unfinished)
    unfinished.rename(unfinished.with_suffix(".duckdb"))
    return publication


def _make_current(warehouse: WarehouseSettings, publication_id: str) -> None:
    current = published_file(warehouse)
    beside = current.with_suffix(".next")
    beside.unlink(missing_ok=True)
    version = _versions(warehouse) / f"{publication_id}.duckdb"
    try:
        beside.hardlink_to(version)
    except OSError:  # a file system without hard links
        shutil.copyfile(version, beside)
        _sync(beside)
    beside.replace(current)
    _sync(current.parent)


def _forget_old(warehouse: WarehouseSettings, *, keep: int) -> None:
    for unfinished in _versions(warehouse).glob(
        "*.unfinished*"
    ):  # left by a process that was killed
        unfinished.unlink()
    for version in sorted(_versions(warehouse).glob("*.duckdb"))[:-keep]:
        version.unlink()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
