"""The embedded warehouse: DuckDB files in one folder, opened briefly and under a lock."""
