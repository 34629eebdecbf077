"""Chances that belong to an order or customer for good, drawn from its number: no state is kept.

An order that will be disputed in seven weeks is known by its number alone, whoever asks and when.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Texts = list[Any]  # str or None


def chance(numbers: Ints, purpose: str) -> Floats:
    """One value in [0, 1) per number, always the same for that purpose (splitmix64)."""
    salt = int.from_bytes(hashlib.blake2b(purpose.encode(), digest_size=8).digest(), "little")
    with np.errstate(over="ignore"):
        z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(salt)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def stripe_id(prefix: str, *parts: object) -> str:
    """An id as Stripe makes them, always the same for the same parts."""
    digest = hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=12)
    return f"{prefix}_{digest.hexdigest()}"
