"""Commands run in the image's environment, with the configuration of the Helm values."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pipeline.settings import PROJECT
from tests.builders.helm import settings_of_all

HERE = PROJECT / "tests" / "deploy"


@dataclass(frozen=True)
class Image:
    """Commands run as in a container: only what the values give them, in folders of the test."""

    python: Path
    home: Path
    more: dict[str, str]

    def environment(self, **more: str) -> dict[str, str]:
        """What every container has; the code is the project's, `/tmp` is a folder of the test."""
        given = {
            name: value.replace("/tmp", str(self.home)).replace("/opt/airflow", str(PROJECT))
            for name, value in settings_of_all().items()
        }
        return {
            "PATH": f"{self.python.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(PROJECT),
            "AIRFLOW_HOME": str(self.home),
            **given,
            **self.more,
            **more,
        }

    def run(self, *command: str, **more: str) -> str:
        done = subprocess.run(
            command, env=self.environment(**more), cwd=self.home, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def script(self, name: str, *arguments: str, **more: str) -> str:
        """The last line that a script of this folder prints."""
        said = self.run(str(self.python), str(HERE / name), *arguments, **more)
        return said.strip().splitlines()[-1]
