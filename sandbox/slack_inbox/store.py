"""The messages that arrived, kept in one JSONL file."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.slack_inbox.mrkdwn import to_plain


@dataclass(frozen=True)
class Message:
    """One message: number from 1 on, time of arrival (ISO 8601, UTC), and the payload as it was
    sent.
    """

    id: int
    received_at: str
    payload: Mapping[str, Any]

    @property
    def text(self) -> str:
        """All that a person reads in it, one line per piece of text."""
        return "\n".join(to_plain(piece) for piece in _pieces(self.payload))

    @property
    def colour(self) -> str | None:
        """Colour of the first attachment that has one."""
        return next(
            (
                attachment["color"]
                for attachment in self.payload.get("attachments") or []
                if attachment.get("color")
            ),
            None,
        )

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "text": self.text, "colour": self.colour}


class MessageStore:
    """Appends messages to ``folder/messages.jsonl`` and reads back what an earlier run left
    there.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "messages.jsonl"
        self._lock = threading.Lock()
        self._messages: list[Message] = []
        if self._file.exists():
            text = self._file.read_text(encoding="utf-8", errors="replace")
            whole, _, torn = text.rpartition(
                "\n"
            )  # a line without its end was being written when the process died
            self._messages = [Message(**json.loads(line)) for line in whole.splitlines() if line]
            if torn:
                self._file.write_text(whole + "\n" if whole else "", encoding="utf-8")

    def add(self, payload: Mapping[str, Any]) -> Message:
        with self._lock:
            received_at = (
                datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            )
            message = Message(len(self._messages) + 1, received_at, payload)
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(message), ensure_ascii=True) + "\n")
            self._messages.append(message)
            return message

    def all(self) -> list[Message]:
        """Oldest first."""
        with self._lock:
            return list(self._messages)


def _pieces(node: object, *, is_text_object: bool = False) -> list[str]:
    """The texts of a payload in reading order: text, then blocks, then attachments."""
    if isinstance(node, str):
        return [node] if is_text_object else []
    if isinstance(node, list):
        return [piece for element in node for piece in _pieces(element)]
    if not isinstance(node, Mapping):
        return []
    pieces: list[str] = []
    for name in (
        "pretext",
        "title",
        "text",
        "value",
        "fields",
        "elements",
        "accessory",
        "blocks",
        "attachments",
        "footer",
    ):
        pieces.extend(_pieces(node.get(name), is_text_object=True))
    return pieces
