"""What is written is for its owner only."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerting.callbacks import on_execute
from sandbox.layout import Layout


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_a_task_writes_is_for_its_user_only(tmp_path: Path) -> None:
    on_execute({})
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    assert (_mode(tmp_path / "folder"), _mode(tmp_path / "file")) == (0o700, 0o600)


def test_the_sandboxes_folders_are_closed_also_those_that_were_open(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "sandbox")
    layout.warehouse.mkdir(parents=True)
    layout.make()
    for folder in (layout.warehouse, layout.slack, layout.logs, layout.airflow_home):
        assert _mode(folder) == 0o700, folder
