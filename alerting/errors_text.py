"""An exception as text for a person, and the facts it carries that help to act."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SHOWN = 5  # failing tests, rejected rows: enough to see the pattern, the rest is counted


def describe(exception: BaseException) -> str:
    """Class and text; for a failed test or model only the headline, since the facts list what
    failed.
    """
    text = str(exception).strip()
    if getattr(exception, "failures", ()):
        text = text.split("\n- ", 1)[0]
    name = type(exception).__name__
    return f"{name}: {text}" if text else name


def facts_of(exception: BaseException | None) -> list[tuple[str, str]]:
    """Label and text: tests or models that failed with counts and keys, rejected rows, how long the
    other side said to wait.
    """
    facts = []
    if failures := getattr(exception, "failures", ()):
        facts.append(("Failed", listed([_failure(failure) for failure in failures])))
    if rejects := getattr(exception, "rejects", ()):
        facts.append(("Rejected rows", listed([reject.sentence for reject in rejects])))
    if (wait := getattr(exception, "retry_after", None)) is not None:
        facts.append(("Asked to wait", f"{wait:g} seconds"))
    return facts


def listed(lines: Sequence[str]) -> str:
    """Lines as a list; the first of them where there are many."""
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return "\n".join(f"• {line}" for line in [*lines[:SHOWN], *more])


def counted(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def keys_text(keys: Iterable[Mapping[str, str]]) -> str:
    """Keys of rows as ``order_id=7, order_day=2026-11-22; order_id=9, ...``."""
    return "; ".join(", ".join(_named(*one) for one in key.items()) for key in keys)


def _named(name: str, value: str | None) -> str:
    return f"{name} is null" if value in (None, "None") else f"{name}={value}"


def _failure(failure: Any) -> str:
    rows = "" if failure.failing_rows is None else f" ({counted(failure.failing_rows, 'row')})"
    keys = keys_text(failure.keys)
    first = failure.message.splitlines()[0] if failure.message else ""
    return f"{failure.node}{rows}" + (f": {keys}" if keys else f": {first}" if first else "")
