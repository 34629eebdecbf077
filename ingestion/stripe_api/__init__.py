"""Stripe: charges with their refunds and disputes.

One row's way through the files: ``transport`` (HTTP, retries, rate) -> ``client`` (Stripe's API,
errors) -> ``listing`` (windows in parallel) and ``changes`` (what events touched) -> ``contract``
(Arrow batches) -> ``load`` (one load).
"""
