"""dbt's part of the day: run a layer, test everything, publish the marts. Knows nothing of Airflow.

Importing this package is light; dbt and the warehouse driver load on first use.

    run_layer("staging", day); run_layer("intermediate", day); run_layer("marts", day)
    test_all(day)
    publish_marts(day)
    write_docs()
"""

from __future__ import annotations

from transform.documentation import refresh_docs, write_docs
from transform.errors import (
    DataTestError,
    ModelError,
    ProjectError,
    StaleSourceError,
    TransformError,
)
from transform.publication import publish_marts, read_publication, read_published, rollback
from transform.results import FreshnessResult, LayerResult, TestResult
from transform.steps import run_layer, source_freshness, test_all
from warehouse.publication import Publication, PublicationError

__all__ = [
    "DataTestError",
    "FreshnessResult",
    "LayerResult",
    "ModelError",
    "ProjectError",
    "Publication",
    "PublicationError",
    "StaleSourceError",
    "TestResult",
    "TransformError",
    "publish_marts",
    "read_publication",
    "read_published",
    "refresh_docs",
    "rollback",
    "run_layer",
    "source_freshness",
    "test_all",
    "write_docs",
]
