"""The embedded PostgreSQL: asks for its password, survives crashes, leaves nothing behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from sandbox.postgres import EmbeddedPostgres, EmbeddedPostgresError


def shared_memory_segment(server: EmbeddedPostgres) -> str:
    """Id of the small System V segment by which a running server marks its files as in use."""
    return (server.folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]


def shared_memory_segments() -> set[str]:
    """Ids of all segments on this machine, those of other servers included."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def killed(server: EmbeddedPostgres) -> None:
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while server.pid is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_starts_twice_as_one_server_and_stops_twice(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    server.start()
    try:
        pid = server.pid
        server.start()
        assert pid is not None
        assert server.pid == pid
        assert EmbeddedPostgres(tmp_path / "pg").port == server.port
        with closing(psycopg2.connect(server.dsn())) as client, client.cursor() as cursor:
            cursor.execute(
                "select current_setting('TimeZone'), current_setting('fsync'), version()"
            )
            zone, fsync, version = cursor.fetchone()
        assert (zone, fsync) == ("UTC", "on")
        assert "PostgreSQL 16" in version
    finally:
        server.stop()
    assert server.pid is None
    server.stop()


def test_a_wrong_password_is_refused_and_the_right_one_is_for_its_owner_only(
    postgres: EmbeddedPostgres,
) -> None:
    wrong = postgres.dsn().replace(postgres.password, "wrong")
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(wrong)
    assert stat.S_IMODE((postgres.folder / "password").stat().st_mode) == 0o600


def test_another_port_is_taken_when_the_kept_one_is_gone(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        first = server.port
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", first))
        squatter.listen()
        with server:
            assert server.port != first
            psycopg2.connect(server.dsn()).close()


@linux_only
def test_a_killed_server_starts_again_with_its_data(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        server.create_database("kept")
        first = shared_memory_segment(server)
        killed(server)
        server.start()
        psycopg2.connect(server.dsn("kept")).close()
        second = shared_memory_segment(server)
        assert second in shared_memory_segments()
    assert not {first, second} & shared_memory_segments()


@linux_only
def test_stop_clears_away_what_a_killed_server_left(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        segment = shared_memory_segment(server)
        killed(server)
        assert segment in shared_memory_segments()
    assert not (tmp_path / "pg" / "data" / "postmaster.pid").exists()
    assert segment not in shared_memory_segments()


def test_a_stale_pid_file_of_a_foreign_process_does_not_hinder(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        pass
    (tmp_path / "pg" / "data" / "postmaster.pid").write_text(
        f"{os.getpid()}\n{tmp_path}\n0\n1\n\n127.0.0.1\n1 1\nready\n"
    )
    with server:
        assert server.pid != os.getpid()
        psycopg2.connect(server.dsn()).close()


def test_a_stale_pid_file_never_stops_another_server(
    tmp_path: Path, postgres: EmbeddedPostgres
) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        pass
    others = (postgres.folder / "data" / "postmaster.pid").read_text()
    (tmp_path / "pg" / "data" / "postmaster.pid").write_text(others)
    assert server.pid is None
    server.stop()
    psycopg2.connect(postgres.dsn()).close()


@linux_only
def test_stop_leaves_no_process_socket_or_shared_memory(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "pg")
    with server:
        port, segment = server.port, shared_memory_segment(server)
        assert segment in shared_memory_segments()
        client = psycopg2.connect(server.dsn())  # an open client must not hold it up
    client.close()
    assert segment not in shared_memory_segments()
    assert not [path for path in tmp_path.rglob("*") if path.is_socket()]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match="needs the folder"):
        EmbeddedPostgres(tmp_path / "file" / "pg").start()


def test_a_database_is_created_once_and_dropped(postgres: EmbeddedPostgres) -> None:
    postgres.create_database('odd "name"')
    postgres.create_database('odd "name"')
    psycopg2.connect(postgres.dsn('odd "name"')).close()
    postgres.drop_database('odd "name"')
    with pytest.raises(psycopg2.OperationalError, match="does not exist"):
        psycopg2.connect(postgres.dsn('odd "name"'))


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.postgres.NEEDED_BYTES", 1 << 60)
    with pytest.raises(EmbeddedPostgresError, match="MB of disk space"):
        EmbeddedPostgres(tmp_path / "pg").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is kept from running the server as itself")
def test_as_root_without_user_namespaces_it_runs_as_somebody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbidden = tmp_path / "bin" / "unshare"
    forbidden.parent.mkdir()
    forbidden.write_text(
        "#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n"
    )
    forbidden.chmod(0o755)
    monkeypatch.setenv("PATH", f"{forbidden.parent}:{os.environ['PATH']}")
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is for root alone
        Path(folder).chmod(0o755)
        with EmbeddedPostgres(Path(folder) / "pg") as server:
            assert server.pid is not None
            assert psutil.Process(server.pid).uids().real != 0
            psycopg2.connect(server.dsn()).close()
