"""The first thing a newcomer runs says what is missing, in a sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pipeline.settings import PROJECT


def run_setup(tmp_path: Path, python: str) -> subprocess.CompletedProcess[str]:
    """`sandbox/setup.sh` with a stand-in for python3 of the given text, first on PATH."""
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    fake = bin_folder / "python3"
    fake.write_text(python)
    fake.chmod(0o755)
    for name in ("python3.14", "python3.13", "python3.12", "python3.11"):
        (bin_folder / name).symlink_to(fake)
    env = {**os.environ, "PATH": f"{bin_folder}:/usr/bin:/bin", "PYTHON3": ""}
    command = ["bash", str(PROJECT / "sandbox" / "setup.sh"), str(tmp_path / "venv")]
    return subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, text=True)


def test_an_old_python_is_refused_with_a_sentence(tmp_path: Path) -> None:
    old = '#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.2" && exit 0\nexit 1\n'
    done = run_setup(tmp_path, old)
    assert done.returncode == 1
    assert (
        "Python 3.11 or newer is needed, and none was found (python3 is Python 3.9.2)"
        in done.stderr
    )
    assert not (tmp_path / "venv").exists()


def test_a_python_without_venv_is_named_with_the_package_that_lacks(tmp_path: Path) -> None:
    without_venv = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\nexit 0\n'
    done = run_setup(tmp_path, without_venv)
    assert done.returncode == 1
    assert "has no venv module" in done.stderr
    assert "apt-get install python3-venv" in done.stderr
