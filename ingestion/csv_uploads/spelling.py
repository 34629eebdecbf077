"""Names that look the same are the same: one spelling for each channel and campaign.

For the comparison a name is in Unicode form NFKC, without invisible characters, its spaces
collapsed, in folded case; a channel's spaces and hyphens are underscores. What is loaded is the
spelling that was seen first.
"""

from __future__ import annotations

import re
import unicodedata

NAMES = ("channel", "campaign_name")
_BLANKS = re.compile(r"[^\S\n]+")
_SPACE = re.compile(r"\s+")
_VARIATION_SELECTORS = re.compile("[\ufe00-\ufe0f]")


def cleaned(name: str) -> str:
    """A name as it can be shown: NFC, without invisible characters, its blanks collapsed."""
    if not name.isascii():
        name = unicodedata.normalize("NFC", name)
        name = "".join(letter for letter in name if unicodedata.category(letter) != "Cf")
        name = _VARIATION_SELECTORS.sub("", name)
    return _BLANKS.sub(" ", name).strip()


def folded(column: str, name: str) -> str:
    """Equal for names that look the same."""
    name = unicodedata.normalize("NFKC", cleaned(name)).casefold()
    name = _SPACE.sub(" ", name).strip()
    return re.sub(r"[ _-]+", "_", name) if column == "channel" else name


class Spellings:
    """The spelling of each name that was seen first, in both tables alike."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, str], str] = {}

    def of(self, column: str, name: str) -> str:
        shown = cleaned(name)
        return self._first.setdefault((column, folded(column, shown)), shown)
