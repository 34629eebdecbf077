"""The demo shop: a source database, Stripe account and CSV inbox full of realistic, seeded, messy data."""

from __future__ import annotations

from pathlib import Path

SCHEMA = (Path(__file__).parent / "schema.sql").read_text()
