"""Runs a program that refuses to run as root or as a nameless user, without adding a user.

First choice: a user namespace of its own, in which root is somebody else. Where the kernel forbids
those (as in most containers): as the owner of the folder it works in, or as ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NOBODY = 65534  # on Linux


@dataclass(frozen=True)
class Identity:
    """How to run programs: as they are, with a command in front of them, or as another user id."""

    prefix: tuple[str, ...] = ()
    uid: int | None = None

    def run(self, command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run the command in the folder to its end, in English and UTC."""
        return subprocess.run(
            [*self.prefix, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
        )


def unprivileged(folder: Path, data: Path, probe: Sequence[str]) -> Identity:
    """The first identity that can run ``probe`` and write to ``folder``, whose owner may change.

    ``data`` is what an earlier run left in the folder, if anything: its owner stays the same.

    Raises:
        PermissionError: none can; the text says why and what to do.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return Identity()
    problem = "no way is known on this system"
    for candidate in _candidates(folder, data):
        try:
            if candidate.uid is not None:
                os.chown(folder, candidate.uid, -1)
            ran = candidate.run(probe, folder)
            writes = candidate.run(["test", "-w", str(folder)], folder)
        except OSError as error:
            problem = str(error)
            continue
        if ran.returncode == 0 and writes.returncode == 0:
            return candidate
        problem = ran.stderr.strip() or f"no right to write to {folder}"
    raise PermissionError(
        f"No other user could run it here ({problem}). Run this as a normal user."
    )


def _candidates(folder: Path, data: Path) -> list[Identity]:
    name = min((entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid > 0), default=NOBODY)
    namespace = Identity(prefix=("unshare", "--user", f"--map-user={name}", f"--map-group={name}"))
    if os.geteuid() != 0:
        return [namespace]
    owner = (data if data.exists() else folder.parent).stat().st_uid
    others = [Identity(uid=uid) for uid in (owner, NOBODY) if uid != 0 and _has_name(uid)]
    set_up_by_another = data.exists() and owner != 0
    return others if set_up_by_another else [namespace, *others]


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)  # asks directories as well, which getpwall may not list
    except KeyError:
        return False
    return True
