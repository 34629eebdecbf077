"""Background processes are found again, ended as a whole tree, and never mistaken for others."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from pipeline.settings import PROJECT
from sandbox.processes import Process, SandboxError, free_port, remembered, stop

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", ignoring])
print("child", child.pid, flush=True)
time.sleep(60)
"""


def process(tmp_path: Path, code: str) -> Process:
    command = [sys.executable, "-c", code]
    return Process("thing", command, os.environ, tmp_path / "run", tmp_path / "logs", tmp_path)


def test_a_process_that_ignores_sigterm_is_ended_with_its_children(tmp_path: Path) -> None:
    stubborn = process(tmp_path, STUBBORN)
    assert stubborn.start()
    stubborn.wait_until(lambda: "child" in stubborn.log.read_text(), 20, "Starting")
    running = stubborn.running()
    assert running is not None
    family = [running, *running.children(recursive=True)]
    assert len(family) == 2

    assert stop(tmp_path / "run" / "thing.json", seconds=0.5)

    psutil.wait_procs(family, timeout=5)
    assert not any(
        member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in family
    )
    assert not stop(tmp_path / "run" / "thing.json")


def test_starting_twice_starts_once(tmp_path: Path) -> None:
    sleeper = process(tmp_path, "import time; time.sleep(60)")
    try:
        assert sleeper.start()
        assert not sleeper.start()
    finally:
        stop(tmp_path / "run" / "thing.json")


@pytest.mark.parametrize("stranger", ["started at another time", "works in another folder"])
def test_another_process_with_a_recycled_pid_is_left_alone(tmp_path: Path, stranger: str) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    other = subprocess.Popen(command, cwd=tmp_path)
    try:
        file = tmp_path / "thing.json"
        created = psutil.Process(other.pid).create_time()
        known = {"pid": other.pid, "created": created, "cwd": str(tmp_path.resolve())}
        file.write_text(json.dumps(known))
        assert remembered(file) is not None
        known |= {"created": created - 1000} if "time" in stranger else {"cwd": "/"}
        file.write_text(json.dumps(known))
        assert remembered(file) is None
        assert not stop(file)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


def test_a_process_that_ends_at_once_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    broken = process(tmp_path, "raise SystemExit('no such database: shop')")
    broken.start()
    with pytest.raises(SandboxError, match="Starting the thing: thing ended at once") as caught:
        broken.wait_until(lambda: False, 20, "Starting the thing")
    assert "no such database: shop" in str(caught.value)
    assert str(broken.log) in str(caught.value)


def test_a_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) > port


def test_a_port_that_another_process_has_chosen_is_passed_over_while_that_lives_and_only_then() -> (
    None
):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = f"from sandbox.processes import free_port; print(free_port({port}), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        chosen = int(other.stdout.readline())
        assert free_port(chosen) > chosen
        other.communicate("")
    assert free_port(chosen) == chosen == free_port(chosen)
