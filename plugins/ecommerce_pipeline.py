"""Airflow plugin: the page "Pipeline", as an entry of the navigation and as a tab on every DAG.

Every component of Airflow imports this file; only the API server needs the page, so only it loads
what the page is made of.
"""

import sys
from typing import Any, ClassVar
from urllib.parse import urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

PREFIX = "/pipeline"
# Behind a proxy with a path, `[api] base_url` names it. Airflow strips it from requests, but leaves
# the links of plugins as they are.
BASE = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")


def _page() -> list[dict[str, Any]]:
    # The API server has FastAPI's application class loaded before it looks for plugins; schedulers
    # and tasks have not.
    if "airflow.api_fastapi.app" not in sys.modules:
        return []
    from pipeline_page.app import create_app

    return [{"app": create_app(), "url_prefix": PREFIX, "name": "Pipeline"}]


class EcommercePipeline(AirflowPlugin):
    name = "ecommerce_pipeline"
    fastapi_apps: ClassVar[list[Any]] = _page()
    external_views: ClassVar[list[Any]] = [
        {
            "name": "Pipeline",
            "href": f"{BASE}{PREFIX}/",
            "destination": "nav",
            "url_route": "pipeline",
            "category": "browse",
        },
        {
            "name": "Pipeline",
            "href": f"{BASE}{PREFIX}/?dag={{DAG_ID}}",
            "destination": "dag",
            "url_route": "pipeline_of_dag",
        },
    ]
