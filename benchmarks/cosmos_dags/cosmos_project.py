"""What both cosmos DAGs share: the project, its profile, the fastest way to read and run it."""

from __future__ import annotations

import os
from typing import Any

from cosmos import ExecutionConfig, ProfileConfig, ProjectConfig, RenderConfig
from cosmos.constants import ExecutionMode, InvocationMode, LoadMode, TestIndirectSelection


def options(mode: ExecutionMode) -> dict[str, Any]:
    """Arguments of ``DbtDag``.

    ``BENCHMARK_PROJECT`` and ``BENCHMARK_MANIFEST`` name the project and its parsed manifest.
    """
    project = os.environ["BENCHMARK_PROJECT"]
    return {
        "project_config": ProjectConfig(
            manifest_path=os.environ["BENCHMARK_MANIFEST"], project_name="ecommerce"
        ),
        "profile_config": ProfileConfig(
            "ecommerce", "duckdb", profiles_yml_filepath=f"{project}/profiles.yml"
        ),
        "execution_config": ExecutionConfig(
            execution_mode=mode,
            invocation_mode=InvocationMode.DBT_RUNNER,
            dbt_project_path=project,
            # A test of two models runs after the later of them; by default it would run after each,
            # and fail after the first.
            test_indirect_selection=TestIndirectSelection.BUILDABLE,
        ),
        "render_config": RenderConfig(load_method=LoadMode.DBT_MANIFEST, emit_datasets=False),
        # Unit tests are left out, as in the pipeline's own day.
        "operator_args": {
            "install_deps": False,
            "append_env": True,
            "env": {"DBT_EXCLUDE_RESOURCE_TYPES": "unit_test"},
        },
        "default_args": {"retries": 0},
    }
