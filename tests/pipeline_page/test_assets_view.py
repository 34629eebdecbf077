"""Airflow's Assets view draws the design's sentence, and nothing else."""

from __future__ import annotations

import requests

from pipeline.sources import SOURCES
from tests.builders.served_page import Served


def test_the_assets_view_shows_six_sources_dbt_and_what_it_publishes(served: Served) -> None:
    graph = requests.get(
        f"{served.address.url}/ui/dependencies",
        params={"node_id": "dag:ecommerce_dbt"},
        headers={"Authorization": f"Bearer {served.token()}"},
        timeout=30,
    ).json()
    loads = {source.dag_id for source in SOURCES}
    raw = {f"raw_{source.name}" for source in SOURCES}
    labels = {node["id"]: node["label"] for node in graph["nodes"]}
    kinds = {node["label"]: node["type"] for node in graph["nodes"]}
    assert kinds == {
        **dict.fromkeys((*loads, "ecommerce_dbt"), "dag"),
        **dict.fromkeys((*raw, "published_marts"), "asset"),
    }
    lines = {(labels[edge["source_id"]], labels[edge["target_id"]]) for edge in graph["edges"]}
    assert lines == {
        *((source.dag_id, f"raw_{source.name}") for source in SOURCES),
        *((f"raw_{source.name}", "ecommerce_dbt") for source in SOURCES),
        ("ecommerce_dbt", "published_marts"),
    }
