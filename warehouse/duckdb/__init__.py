"""The embedded warehouse: DuckDB files in one folder, open for as short as possible under a
lock.
"""
