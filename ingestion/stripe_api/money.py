"""Turns Stripe's amounts, integers in a currency's smallest unit, into exact decimals.

The lists are those of https://docs.stripe.com/currencies (zero-decimal, three-decimal, special
cases).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())  # noqa: SIM905
THREE_DECIMAL = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
# ISK and UGX have no decimals any more, but Stripe goes on counting them in hundredths: 500 are 5
# ISK. HUF and TWD are zero-decimal for payouts only. All of them are therefore two-decimal here, as
# every other currency is.

_SCALE = 3
_TYPE = pa.decimal128(18, _SCALE)


def exponent(currency: str) -> int:
    """How many decimals Stripe's amounts in this currency have."""
    lower = currency.lower()
    return 0 if lower in ZERO_DECIMAL else 3 if lower in THREE_DECIMAL else 2


def thousandths(currencies: Sequence[str]) -> pa.Array[Any]:
    """What one smallest unit of each currency is worth, in thousandths of the major unit."""
    return pa.array([10 ** (_SCALE - exponent(currency)) for currency in currencies], pa.int64())


def major_units(minor: pa.Array[Any], worth: pa.Array[Any]) -> pa.Array[Any]:
    """``decimal(18,3)`` of amounts in smallest units. Integers all the way, so nothing is rounded.

    ``ArrowInvalid`` where an amount does not fit.
    """
    counted = (
        pc.multiply_checked(minor, worth).cast(pa.decimal128(19, 0)).cast(pa.decimal128(18, 0))
    )
    return pa.Array.from_buffers(
        _TYPE, len(counted), counted.buffers(), counted.null_count, counted.offset
    )
