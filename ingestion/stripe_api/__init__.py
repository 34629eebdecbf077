"""Stripe's charges, refunds and disputes into the warehouse: new ones by ``created``, changed ones
by events.

One row's way through the files: ``transport`` (HTTP, retries, rate) -> ``client`` (Stripe's API,
errors) -> ``listing`` (windows in parallel) and ``changes`` (what events touched) -> ``rows``
(Arrow batches) -> ``connector`` (one load).
"""

from ingestion.stripe_api.connector import StripeConnector

__all__ = ["StripeConnector"]
