"""The image's environment with the configuration of the Helm values, without a cluster."""

from __future__ import annotations

import pytest

from tests.builders.helm import VALUES, airflow_cfg
from tests.builders.image import image_environment
from tests.builders.image_commands import Image


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    home = tmp_path_factory.mktemp("image")
    for folder in ("config", "logs"):
        (home / folder).mkdir()
    configured = airflow_cfg().replace("/tmp", str(home))
    (home / "airflow.cfg").write_text(configured)
    (home / "config" / "airflow_local_settings.py").write_text(VALUES["airflowLocalSettings"])
    return Image(image_environment() / "bin" / "python", home, {})
