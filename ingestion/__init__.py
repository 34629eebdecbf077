"""Loads a day of a source: PostgreSQL | Stripe | CSV -> Arrow -> staged Parquet -> raw tables."""
