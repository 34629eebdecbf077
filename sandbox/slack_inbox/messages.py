"""The messages that arrived, kept in one JSONL file."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

LINK = re.compile(r"<(?P<target>[^<>|\n]+)(?:\|(?P<label>[^<>\n]*))?>")
# Where a payload has text that a person reads, in reading order.
_READ = (
    *("pretext", "title", "text", "value", "fields", "elements", "accessory"),
    *("blocks", "attachments", "footer"),
)


@dataclass(frozen=True)
class Message:
    """One message: its number from 1 on, when it came (ISO 8601, UTC), the payload as sent."""

    id: int
    received_at: str
    payload: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All that a person reads in it, a line per piece of text, links as their labels."""
        return "\n".join(
            html.unescape(LINK.sub(lambda link: link["label"] or link["target"], piece))
            for piece in texts(self.payload)
        )

    @property
    def colour(self) -> str | None:
        """Colour of the first attachment that has one."""
        attachments = self.payload.get("attachments") or []
        return next((one["color"] for one in attachments if one.get("color")), None)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.text, "colour": self.colour}


class MessageStore:
    """Appends messages to ``folder/messages.jsonl``; begins with those of earlier runs."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "messages.jsonl"
        self._lock = threading.Lock()
        known = self._file.read_text(errors="replace") if self._file.exists() else ""
        # A line without its end was being written when the process died.
        whole, _, torn = known.rpartition("\n")
        self._messages = [Message(**json.loads(line)) for line in whole.splitlines() if line]
        if torn:
            self._file.write_text(whole + "\n" if whole else "")

    def add(self, payload: Mapping[str, Any]) -> Message:
        with self._lock:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            message = Message(len(self._messages) + 1, now, payload)
            with self._file.open("a") as file:
                file.write(json.dumps(asdict(message)) + "\n")
            self._messages.append(message)
            return message

    def all(self) -> list[Message]:
        """Oldest first."""
        with self._lock:
            return list(self._messages)


def texts(node: object) -> Iterator[str]:
    """The texts of a payload, or of a part of one, in reading order."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, list):
        for element in node:
            if not isinstance(element, str):
                yield from texts(element)
    elif isinstance(node, Mapping):
        for name in _READ:
            yield from texts(node.get(name))
