"""Who builds or copies the marts now: one row that its holder renews while it works.

A table lock would not do. A session that is killed keeps its locks while a statement of it runs on
the server, and gives them up five minutes later
(https://docs.snowflake.com/en/sql-reference/transactions, "Aborting transactions"). So a lease ends
later than what its holder may have left running: ABORT_DETACHED_QUERY ends a statement five minutes
after its client is gone (https://docs.snowflake.com/en/sql-reference/parameters).
"""

# ruff: noqa: S608 - names are fixed here, values are bound

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from pipeline.errors import PipelineError, WarehouseUnavailableError
from warehouse.session import Session

logger = logging.getLogger(__name__)

TABLE = "TRANSFORM.LEASE"
LASTS_SECONDS = 420
RENEWED_SECONDS = 60.0
ASKED_SECONDS = 10.0


@contextmanager
def lease(
    opened: Callable[[], AbstractContextManager[Session]], wait_seconds: float
) -> Iterator[None]:
    """Hold the marts; nobody else does until the block ends, or this process.

    Args:
        opened: opens a session of the transformer. None is open while the block runs, but for a
            moment each minute.
        wait_seconds: for how long to wait for another holder.

    Raises:
        WarehouseUnavailableError: somebody else held them for the whole time; the text says who.
    """
    me = f"process {os.getpid()} on {socket.gethostname()}, {secrets.token_hex(4)}"
    with opened() as session:
        _make(session)
        deadline = time.monotonic() + wait_seconds
        while not _take(session, me):
            if time.monotonic() >= deadline:
                found = session.rows(f"select holder from {TABLE}")
                raise WarehouseUnavailableError(
                    f"The marts are being built or published by {found[0][0] if found else '?'}, "
                    f"and were for more than {wait_seconds:g} seconds. Wait until that has ended."
                )
            time.sleep(ASKED_SECONDS)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(opened, me, ended), name="lease", daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(PipelineError), opened() as session:
            session.execute(f"update {TABLE} set held_until = sysdate() where holder = ?", [me])


def _make(session: Session) -> None:
    """Made with its row in one statement: without a row nobody could take it."""
    there = "select 1 from information_schema.tables where table_schema = ? and table_name = ?"
    if not session.rows(there, TABLE.split(".")):
        session.execute(
            f"create table if not exists {TABLE} as select cast('nobody' as varchar) as holder, "
            "cast('1970-01-01' as timestamp_ntz) as held_until"
        )


def _take(session: Session, me: str) -> bool:
    """Take it where it is free, or keep it where it is ours. The server's clock counts."""
    ((taken, *_),) = session.rows(
        f"update {TABLE} set holder = ?, held_until = dateadd('second', {LASTS_SECONDS}, sysdate())"
        " where holder = ? or held_until < sysdate()",
        [me, me],
    )
    return bool(taken)


def _renew(
    opened: Callable[[], AbstractContextManager[Session]], me: str, ended: threading.Event
) -> None:
    while not ended.wait(RENEWED_SECONDS):
        try:
            with opened() as session:
                if not _take(session, me):
                    logger.error("Somebody else has taken the marts while they are being built.")
        except PipelineError as error:
            logger.warning("The lease of the marts could not be renewed: %s", error)
