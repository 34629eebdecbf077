"""A Docker engine for these tests: the one at hand, else their own with stand-in base images."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.settings import PROJECT
from tests.builders.deployment import IMAGE, Deployment, docker

ENGINE = PROJECT / "tests" / "compose" / "engine.sh"


def _answers(*command: str) -> bool:
    return (
        shutil.which("docker") is not None
        and subprocess.run(["docker", *command], capture_output=True).returncode == 0
    )


@pytest.fixture(scope="session")
def engine(pytestconfig: pytest.Config) -> Iterator[None]:
    """An engine with Compose that `docker` finds, ended afterwards if it was made here."""
    if _answers("info") and _answers("compose", "version"):
        yield
        return
    # Beside the checkout: the folder for temporary files may be too small for images.
    folder = PROJECT / ".local" / "compose-engine"
    before = dict(os.environ)
    try:
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            if subprocess.run([ENGINE, "start", folder]).returncode:
                pytest.fail(
                    "No Docker engine is at hand, and none could be made; see above.", pytrace=False
                )
        os.environ.update(
            DOCKER_HOST=f"unix://{folder}/docker.sock",
            DOCKER_CONFIG=str(folder / "client"),
            PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        )
        yield
    finally:
        subprocess.run([ENGINE, "stop", folder], check=True)
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def deployed(folder: Path, profile: str = "") -> Iterator[Deployment]:
    """A fresh checkout, its image built from nothing by `up`; afterwards nothing of it is left."""
    deployment = Deployment(
        folder, f"test-{profile or 'local'}", profile, {"PIPELINE_IMAGE": IMAGE}
    )
    try:
        yield deployment
    finally:
        deployment.compose("down", "--volumes", "--timeout", "30")
        for kind in ("container", "volume", "network"):
            listed = ["--all"] if kind == "container" else []
            left = docker(
                kind,
                "ls",
                *listed,
                "--quiet",
                "--filter",
                f"label=com.docker.compose.project={deployment.name}",
            )
            assert not left, f"A {kind} is left: {left}"


@pytest.fixture(scope="session")
def deployment(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """`docker compose up -d`, shared by the files that look at it."""
    with deployed(tmp_path_factory.mktemp("checkout")) as deployment:
        yield deployment


@pytest.fixture(scope="module")
def celery_deployment(
    engine: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """`docker compose --profile celery up -d`."""
    with deployed(tmp_path_factory.mktemp("checkout"), "celery") as deployment:
        yield deployment
