"""Holds the emulator's objects, serialised once, in memory and (on request) in a file."""

from __future__ import annotations

import heapq
import json
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

Object = dict[str, Any]
# Created (seconds since 1970), order of arrival, id: sorts as Stripe does, oldest first.
Place = tuple[int, int, str]

KINDS = ("charge", "refund", "dispute", "event")
INDEXED = {
    "charge": ("customer", "payment_intent"),
    "refund": ("charge", "payment_intent"),
    "dispute": ("charge", "payment_intent"),
    "event": ("type",),
}
_OBJECT = b',"object":'  # ends the head of a stored line, see _line


def encode(value: object) -> bytes:
    """JSON in UTF-8; half of a surrogate pair, which has no bytes there, stays an escape."""
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Query:
    """What a list asks for.

    ``after`` and ``before`` bound ``created`` inclusively; ``where`` holds any of the values.
    """

    limit: int = 10
    after: int | None = None
    before: int | None = None
    starting_after: str | None = None
    ending_before: str | None = None
    where: tuple[str, tuple[str, ...]] | None = None


class Collection:
    """All objects of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._bodies: dict[str, bytes] = {}
        self._places: dict[str, Place] = {}
        self._order: list[Place] = []
        self._indexes: dict[tuple[str, str], list[Place]] = {}

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._bodies

    def body(self, identifier: str) -> bytes | None:
        return self._bodies.get(identifier)

    def bodies(self) -> Iterator[bytes]:
        """All of them, in the order of their arrival."""
        return iter(self._bodies.values())

    def get(self, identifier: str) -> Object | None:
        """A copy of the object, free to be changed."""
        body = self._bodies.get(identifier)
        return None if body is None else json.loads(body)

    def put(self, identifier: str, created: int, keys: Mapping[str, str], body: bytes) -> None:
        """Add an object or replace its body; its place and its index keys never change."""
        if identifier not in self._bodies:
            place = (created, len(self._order), identifier)
            self._places[identifier] = place
            insort(self._order, place)
            for key in keys.items():
                insort(self._indexes.setdefault(key, []), place)
        self._bodies[identifier] = body

    def page(self, query: Query) -> tuple[list[bytes], bool]:
        """Bodies newest first, and whether there are more in the direction of travel.

        ``KeyError``: unknown cursor.
        """
        if query.where is None:
            lists: Sequence[list[Place]] = (self._order,)
        else:
            name, values = query.where
            lists = [places for value in values if (places := self._indexes.get((name, value)))]
        slices = [(places, *self._range(places, query)) for places in lists]
        if query.ending_before is None:
            found = heapq.merge(
                *(_walk(places, range(high - 1, low - 1, -1)) for places, low, high in slices),
                reverse=True,
            )
        else:  # the nearest newer ones, so walk upwards and turn the page round
            found = heapq.merge(*(_walk(places, range(low, high)) for places, low, high in slices))
        taken = list(islice(found, query.limit + 1))
        more = len(taken) > query.limit
        taken = taken[: query.limit]
        if query.ending_before is not None:
            taken.reverse()
        return [self._bodies[place[2]] for place in taken], more

    def _range(self, places: list[Place], query: Query) -> tuple[int, int]:
        low, high = 0, len(places)
        if query.after is not None:
            low = bisect_left(places, (query.after,))
        if query.before is not None:
            high = bisect_left(places, (query.before + 1,))
        if query.starting_after is not None:
            high = min(high, bisect_left(places, self._places[query.starting_after]))
        if query.ending_before is not None:
            low = max(low, bisect_right(places, self._places[query.ending_before]))
        return low, high


def _walk(places: list[Place], positions: range) -> Iterator[Place]:
    return (places[position] for position in positions)


class Store:
    """The collections, and ``objects.jsonl`` in ``folder``, to which each change is appended.

    At start the file is replayed, the last line of an object counts. A line cut short by a kill is
    dropped.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.collections = {kind: Collection(kind) for kind in KINDS}
        self._file = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / "objects.jsonl"
            whole = self._replay(path) if path.exists() else 0
            self._file = path.open("ab")
            self._file.truncate(whole)

    def __getitem__(self, kind: str) -> Collection:
        return self.collections[kind]

    def put(self, item: Object) -> None:
        """Add or replace an object. ``flush`` hands it to the operating system."""
        kind = item["object"]
        keys = {name: value for name in INDEXED[kind] if isinstance(value := item.get(name), str)}
        body = encode(item)
        self.collections[kind].put(item["id"], item["created"], keys, body)
        if self._file is not None:
            self._file.write(_line(kind, item["id"], item["created"], keys, body))

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _replay(self, path: Path) -> int:
        """Read the lines back and return the size of the whole ones.

        Only the short head of a line is parsed.
        """
        size = 0
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"}\n"):
                    break
                cut = line.index(_OBJECT)
                head = json.loads(line[:cut] + b"}")
                self.collections[head["kind"]].put(
                    head["id"], head["created"], head["keys"], line[cut + len(_OBJECT) : -2]
                )
                size += len(line)
        return size


def _line(kind: str, identifier: str, created: int, keys: Mapping[str, str], body: bytes) -> bytes:
    head = encode({"kind": kind, "id": identifier, "created": created, "keys": dict(keys)})
    return head[:-1] + _OBJECT + body + b"}\n"
