"""Faults on request: which of the coming requests go wrong, and how."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

FaultKind = Literal["429", "500", "503", "timeout", "cut"]


@dataclass(frozen=True)
class Fault:
    """One rule: every Nth matching request fails, ``times`` in all, or the next ``times``.

    ``every`` is that N; ``times`` 0: for ever.

    Attributes:
        kind: an HTTP status; ``timeout``: no answer for ``seconds``, then the connection closes;
            ``cut``: the connection is cut in the middle of a correct answer's body.
        path: regular expression searched in the path with its query; empty matches all.
        retry_after: seconds, sent as ``Retry-After`` with 429 and 503.
    """

    kind: FaultKind
    times: int = 1
    every: int | None = None
    path: str = ""
    retry_after: float | None = None
    seconds: float = 30.0

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Fault:
        """``ValueError`` for an unknown field or kind."""
        unknown = set(data) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(
                f"unknown field {sorted(unknown)[0]!r}; a fault has "
                f"{', '.join(field.name for field in fields(cls))}"
            )
        fault = cls(**{**data, "kind": str(data.get("kind"))})
        if fault.kind not in get_args(FaultKind):
            raise ValueError(
                f"unknown kind {fault.kind!r}; one of {', '.join(get_args(FaultKind))}"
            )
        re.compile(fault.path)
        return fault


@dataclass
class _Armed:
    fault: Fault
    seen: int = 0
    fired: int = 0

    def fires(self, path: str) -> bool:
        fault = self.fault
        spent = self.fired >= fault.times and (fault.every is None or fault.times > 0)
        if spent or not re.search(fault.path, path):
            return False
        self.seen += 1
        if fault.every is not None and self.seen % fault.every:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in force; the first that fires wins."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []

    def add(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(_Armed(fault))

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def next(self, path: str) -> Fault | None:
        if not self._armed:
            return None
        with self._lock:
            return next((armed.fault for armed in self._armed if armed.fires(path)), None)
