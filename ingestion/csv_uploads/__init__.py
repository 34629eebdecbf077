"""Marketing exports as CSV files: the inbox, their records, their values, and the load of a day."""

from ingestion.csv_uploads.loader import CsvLoader

__all__ = ["CsvLoader"]
