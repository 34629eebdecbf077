"""The Datasets (Airflow 3: Assets) that tie the DAGs: one per source, and the published marts."""

from __future__ import annotations

from airflow.sdk import Asset

from pipeline.contracts import Source
from pipeline.pool import PUBLISH_POOL as PUBLISH_POOL
from pipeline.sources import SOURCES


def raw_dataset(source: Source) -> Asset:
    """The Dataset whose events say: this day of this source is in its raw tables."""
    return Asset(
        name=f"raw_{source.name}",
        uri=source.dataset_uri,
        group="raw",
        extra={"source": source.kind},
    )


RAW_DATASETS = tuple(raw_dataset(source) for source in SOURCES)

MARTS = Asset(
    name="published_marts", uri="ecommerce://analytics/published_marts", group="analytics"
)
