"""A streaming standby beside a primary: two real servers, the second a copy of the first."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.postgres import EmbeddedPostgres


@contextmanager
def standby_of(primary: EmbeddedPostgres, folder: Path) -> Iterator[EmbeddedPostgres]:
    """A standby that has replayed what the running primary holds, and goes on replaying."""
    primary.stop()
    subprocess.run(["cp", "-a", str(primary.folder), str(folder)], check=True)
    with (primary.folder / "data" / "postgresql.auto.conf").open("a") as conf:
        conf.write("wal_sender_timeout = '2s'\n")  # an idle one says so every half of it
    primary.start()
    connection = " ".join(f"{name}={value}" for name, value in primary.settings().items())
    connection = connection.replace("db=postgres", "application_name=standby")
    with (folder / "data" / "postgresql.auto.conf").open("a") as conf:
        conf.write(f"primary_conninfo = '{connection}'\n")
    signal = folder / "data" / "standby.signal"
    subprocess.run(["cp", "-a", str(folder / "password"), str(signal)], check=True)  # its owner too
    with EmbeddedPostgres(folder, durable=False) as standby:
        yield standby
