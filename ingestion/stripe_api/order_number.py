"""Reads an order's number from the metadata of a charge, however the shop writes it.

Taken as 131, from any key of ``STRIPE_ORDER_KEYS``, whatever its case and punctuation (``orderId``,
``Order ID``): ``131``, `` 131 ``, ``#131``, ``131.0``, ``00131``, ``ORDER-131``, ``Order No. 131``,
and the same in full-width digits. Left as they are, and matched with no order: ``13.5``, ``1.000``,
``-131``, ``GIFT-131``, ``n/a``. ``STRIPE_ORDER_PATTERN`` says it for shops that write otherwise.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any


class OrderNumber:
    """Reads metadata with the keys and the pattern of one shop."""

    def __init__(self, keys: str, pattern: str) -> None:
        self._keys = [name for key in keys.split(",") if (name := _plain(key))]
        self._pattern = re.compile(pattern, re.IGNORECASE)

    def __call__(self, metadata: Any) -> str | None:
        """The number as its digits; a text that is none as it stands; None without any."""
        if not isinstance(metadata, dict) or not metadata:
            return None
        given: dict[str, list[str]] = {}
        for key, value in metadata.items():
            if isinstance(value, str | int | float) and str(value).strip():
                given.setdefault(_plain(key), []).append(str(value))
        texts = [text for key in self._keys for text in given.get(key, [])]
        for text in texts:
            found = self._pattern.fullmatch(unicodedata.normalize("NFKC", text).strip())
            if found and found[1]:
                return found[1].lstrip("0") or "0"
        return texts[0] if texts else None


@lru_cache(maxsize=1_000)  # a shop writes the same few keys all the time
def _plain(key: str) -> str:
    return "".join(filter(str.isalnum, key)).casefold()
