"""Background processes of the sandbox, each remembered in a file and stopped as a whole tree."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

LOG_LINES_SHOWN = 15
REST_SECONDS = 3  # for what the process itself has not ended
STOP_PATIENCE = 15.0  # seconds that a process has to end by itself


class SandboxError(Exception):
    """A step of the sandbox failed; the text says which, with the end of its log and its path."""


@dataclass(frozen=True)
class Process:
    """One background process. Its log and the file that remembers it have its ``name``."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    run: Path
    logs: Path
    cwd: Path

    @property
    def log(self) -> Path:
        return self.logs / f"{self.name}.log"

    @property
    def file(self) -> Path:
        return self.run / f"{self.name}.json"

    def running(self) -> psutil.Process | None:
        return remembered(self.file)

    def start(self) -> bool:
        """Start it, in a session of its own, unless it runs already; tells whether it did."""
        if self.running():
            return False
        self.run.mkdir(parents=True, exist_ok=True)
        self.logs.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=dict(self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        created = psutil.Process(child.pid).create_time()
        known = {"pid": child.pid, "created": created, "cwd": str(self.cwd.resolve())}
        self.file.write_text(json.dumps(known))
        return True

    def wait_until(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for ``ready``; ``SandboxError`` if the process ends or time runs out."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.running() is None:
                raise SandboxError(f"{what}: {self.name} ended at once.\n{tail(self.log)}")
            if time.monotonic() > deadline:
                late = f"{self.name} was not ready within {seconds:.0f} seconds"
                raise SandboxError(f"{what}: {late}.\n{tail(self.log)}")
            time.sleep(0.1)


def remembered(file: Path) -> psutil.Process | None:
    """The process a run file speaks of, if it still is that process and not a stranger's.

    A recycled pid belongs to a process that started at another time, or works in another folder.
    """
    try:
        known = json.loads(file.read_text())
        process = psutil.Process(known["pid"])
        same = abs(process.create_time() - known["created"]) < 1 and process.cwd() == known["cwd"]
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, KeyError, psutil.Error):
        return None


def stop(file: Path, seconds: float = STOP_PATIENCE) -> bool:
    """End the process of a run file with all its descendants; tells whether anything ran.

    SIGTERM goes to the process alone first, so that it can end its children and give back their
    semaphores; then to whatever is left of its group; SIGKILL comes last, because one scheduler in
    seven was seen to ignore SIGTERM.
    """
    process = remembered(file)
    family: list[psutil.Process] = []
    if process:
        with suppress(psutil.NoSuchProcess):
            family = [process, *process.children(recursive=True)]
            process.terminate()
        _, alive = psutil.wait_procs(family, timeout=seconds)
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal_number)
            _, alive = psutil.wait_procs(alive, timeout=REST_SECONDS)
        for survivor in alive:  # one that left the group
            with suppress(psutil.NoSuchProcess):
                survivor.kill()
    file.unlink(missing_ok=True)
    return bool(family)


# Between the choice of a port and the moment when a service listens on it, no other sandbox may
# choose it. So a process claims what it has chosen by a UDP socket of the same number, which no
# service needs, and which goes when the process goes.
_claims: dict[int, socket.socket] = {}


def free_port(preferred: int) -> int:
    """The preferred port of 127.0.0.1, or the next that is free and no other sandbox has chosen."""
    for port in range(preferred, preferred + 200):
        with suppress(OSError), socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            if port not in _claims:
                claim = socket.socket(type=socket.SOCK_DGRAM)
                claim.bind(("127.0.0.1", port))  # else the socket is closed with its last name
                _claims[port] = claim
            return port
    raise SandboxError(f"No free port between {preferred} and {preferred + 199} on 127.0.0.1.")


def tail(log: Path, lines: int = LOG_LINES_SHOWN) -> str:
    """The last lines of a log and where the whole of it is."""
    text = log.read_text(errors="replace") if log.exists() else ""
    shown = "".join(f"  {line}\n" for line in text.splitlines()[-lines:])
    return f"Last lines of its log:\n{shown}The whole log: {log}"
