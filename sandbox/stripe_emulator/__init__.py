"""A small stateful emulator of Stripe's charges, refunds, disputes and events, in one process.

    python -m sandbox.stripe_emulator --port 12111 --store .local/stripe

or in a test:

    with StripeEmulator() as emulator:
        client = stripe.StripeClient("sk_test_anything", base_addresses={"api": emulator.url})

What is there, as at Stripe:

* ``GET  /v1/charges|refunds|disputes|events`` newest first, with ``limit``, ``starting_after``,
  ``ending_before``, ``created`` and ``created[gt|gte|lt|lte]``; ``customer``/``payment_intent`` on
  charges, ``charge``/``payment_intent`` on refunds and disputes, ``type``/``types[]`` on events,
  which reach back 30 days only; ``GET .../{id}``
* ``POST /v1/charges`` (also with ``source=tok_chargeDeclined`` and ``tok_createDispute``),
    ``/v1/charges/{id}``, ``/v1/charges/{id}/capture``, ``/v1/refunds``, ``/v1/refunds/{id}``,
    ``/v1/disputes/{id}``, ``/v1/disputes/{id}/close``
* Refunds and disputes change their charge, and everything that changes emits its event. An
  authorisation is voided by a refund, captured whole or in part, or expires after seven days.
  ``Idempotency-Key`` replays.
* Any key that begins with ``sk_test_`` is let in (or the one given with ``api_key``); ``rk_test_``
    keys get a 403, all others a 401, with Stripe's error bodies. ``livemode`` takes ``sk_live_``.
* The ``Date`` of an answer is the emulator's time.

And for tests and demo data, without a key:

* ``POST /_emulator/import``: one JSON object per line (``object`` is charge, refund or dispute)
    with ``id`` and ``created`` of its own. A new charge is stored as it is; a new refund or dispute
    changes its charge and emits its events at its ``created``; the ``charge`` of a refund may be
    null. An object that is there already is changed, with the events of that change. ``_at``
    (seconds since 1970) says when it happened: by default ``created`` for a new object, now for a
    changed one. All lines count, or none.
* ``POST /_emulator/faults``: see :class:`sandbox.stripe_emulator.faults.Fault`; ``DELETE`` forgets
  all of them.
* ``GET /_emulator/requests``: the latest requests, newest last. ``GET /_emulator/health``: counts
  of objects.
"""

from sandbox.stripe_emulator.faults import Fault
from sandbox.stripe_emulator.server import StripeEmulator

__all__ = ["Fault", "StripeEmulator"]
