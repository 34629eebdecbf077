"""The Python environment of the container image, outside of a container: the packages of
`requirements-container.txt`, kept in `.local` until the lock changes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import portalocker

from pipeline.settings import PROJECT

LOCK = PROJECT / "requirements-container.txt"


def image_environment() -> Path:
    """The folder of the environment; made on first use, by one process at a time."""
    kept = PROJECT / ".local" / "image"
    kept.mkdir(parents=True, exist_ok=True)
    folder = kept / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    uv = Path(sys.executable).with_name("uv")
    with portalocker.Lock(kept / "lock", timeout=280):
        if (folder / ".installed").exists():
            return folder
        for older in kept.iterdir():
            if older.is_dir():
                shutil.rmtree(older)
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
        install = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--require-hashes",
            "--requirement",
            LOCK,
        ]
        subprocess.run([*install, "--python", folder / "bin" / "python"], check=True)
        (folder / ".installed").touch()
    return folder
