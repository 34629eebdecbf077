"""PostgreSQL: COPY out of the source into Arrow batches, by windows of change, under the
open-transaction rule.
"""

from ingestion.postgres.extractor import PostgresExtractor
from ingestion.postgres.parts import Part

__all__ = ["Part", "PostgresExtractor"]
