"""Loads one day of one source: PostgreSQL | Stripe | CSV -> Arrow batches -> staged Parquet -> raw
tables.
"""
