"""A Docker engine for these tests: the one at hand, else one of their own with stand-ins for the base images."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from ingestion.settings import PROJECT
from tests.compose.deployment import Deployment, docker

ENGINE = PROJECT / "tests" / "compose" / "engine.sh"
IMAGE = "ecommerce-pipeline:test"


def _answers(*command: str) -> bool:
    return shutil.which("docker") is not None and subprocess.run(["docker", *command], capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[None]:
    """An engine with Compose that `docker` finds, ended afterwards if it was made here."""
    if _answers("info") and _answers("compose", "version"):
        yield
        return
    # Beside the checkout: the folder for temporary files may be too small for images.
    folder = PROJECT / ".local" / "compose-engine"
    before = dict(os.environ)
    try:
        with pytestconfig.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            subprocess.run([ENGINE, "start", folder], check=True)
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


@pytest.fixture(scope="module")
def deployment(engine: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A fresh checkout, its image built from nothing; afterwards nothing of it is left.

    A test file names its profile of Compose in ``PROFILE``.
    """
    profile = getattr(request.module, "PROFILE", "")
    folder = tmp_path_factory.mktemp("checkout")
    deployment = Deployment(folder, f"test-{profile or 'local'}", profile, {"PIPELINE_IMAGE": IMAGE})
    try:
        yield deployment
    finally:
        deployment.compose("down", "--volumes", "--timeout", "30")
        for kind in ("container", "volume", "network"):
            listed = ["--all"] if kind == "container" else []
            left = docker(kind, "ls", *listed, "--quiet", "--filter", f"label=com.docker.compose.project={deployment.name}")
            assert not left, f"A {kind} is left: {left}"
