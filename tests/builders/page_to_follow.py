"""A page of the documentation as a recipe: code blocks with titles that say where each one goes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(
    r'^```(?P<language>\w+) title="(?P<title>[^"]+)"\n(?P<text>.*?)^```$', re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    language: str
    title: str
    text: str

    def put(self, project: Path) -> None:
        """Put a block where its title says.

        ``FILE`` (a new one), ``FILE, at the end``, ``FILE, above TEXT`` (a line that begins with
        it) or ``FILE, the last entry of NAME``.
        """
        name, _, place = self.title.partition(", ")
        file = project / name
        if not place:
            assert not file.exists(), f"{name} is there already"
            file.write_text(self.text)
            return
        before = file.read_text()
        if place == "at the end":
            file.write_text(before + self.text)
        elif place.startswith("above "):
            line = re.escape(place.removeprefix("above "))
            start = re.search(rf"^ *{line}(?!\w)", before, re.MULTILINE)
            assert start, self.title
            gap = "" if before[start.start()] == " " else "\n"
            rest = before[start.start() :]
            file.write_text(f"{before[: start.start()]}{self.text}{gap}{rest}")
        else:
            assert place.startswith("the last entry of "), f"nobody knows where {self.title!r} is"
            entries = place.removeprefix("the last entry of ")
            start = re.search(rf"^{entries}\b.*?^\)$", before, re.MULTILINE | re.DOTALL)
            assert start, self.title
            end = start.end() - 1
            file.write_text(f"{before[:end]}    {self.text.strip()},\n{before[end:]}")


def blocks_of(page: Path) -> dict[str, Block]:
    """The blocks by title, in the order of the page. Every code block must have one of its own."""
    text = page.read_text()
    blocks = {found["title"]: Block(**found.groupdict()) for found in _BLOCK.finditer(text)}
    assert len(blocks) == text.count("```") / 2, f"{page.name} has a block without a title"
    return blocks
