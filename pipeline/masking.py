"""Takes secrets out of text before it leaves the machine.

Those that this process knows go in every form in which they are written, others by their shape.

Its work grows with the length of the text and no faster, whatever the text is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from os.path import commonprefix
from pathlib import Path

from pipeline.secret_forms import SENSITIVE_NAME, SHORTEST_SECRET, forms_of, is_word, parts_of
from pipeline.secret_shapes import MASK, mask_shapes

SHORTEST_CUT = 6  # characters of a secret, at the edge of a text that was cut, that are hidden
_LONGEST_ORDINARY_WORD = 9  # a rest of letters alone is a word up to this length
_CUT_AFTER = re.compile(r"""["'`)\]}>]{0,5}(?:\.\.\.|…|\n|\Z)""")
_CUT_BEFORE = re.compile(r"""(?:\A|\.\.\.|…|\n)["'`(\[{<]{0,5}\Z""")
_NAMES_A_FILE = re.compile(r"(?i)(?:file|path|dir|folder)$")
_SWITCHES = frozenset(("true", "false", "none", "null", "disabled", "enabled"))


def mask(text: str, secrets: Iterable[str] | None = None) -> str:
    """The text without secrets.

    ``secrets`` are values to hide wherever they stand; default: those this process knows.
    """
    forms, words = _forms(frozenset(known_secrets() if secrets is None else secrets))
    for form in forms:
        if form in text:
            text = text.replace(form, MASK)
    for form in forms:
        if "://" in form:  # its password is a form by itself, `https://` is none
            continue
        if form[:SHORTEST_CUT] in text:
            text = _without_beginning(text, form)
        if form[-SHORTEST_CUT:] in text:
            text = _without_end(text, form)
    if words:
        text = words.sub(MASK, text)
    return mask_shapes(text)


@lru_cache(maxsize=16)
def _forms(secrets: frozenset[str]) -> tuple[tuple[str, ...], re.Pattern[str] | None]:
    """The forms to hide wherever they stand, longest first, and a pattern for whole words.

    Forms that are words are hidden only where they stand alone.
    """
    written = {
        form for secret in secrets if len(secret) >= SHORTEST_SECRET for form in forms_of(secret)
    }
    words = sorted((form for form in written if is_word(form)), key=len, reverse=True)
    forms = tuple(sorted((form for form in written if not is_word(form)), key=len, reverse=True))
    alone = rf"(?<![A-Za-z0-9_-])(?:{'|'.join(map(re.escape, words))})(?![A-Za-z0-9_-])"
    return forms, re.compile(alone) if words else None


def _without_beginning(text: str, form: str) -> str:
    """The text without a form's beginning at which it was cut: `the key is 9fQ2v_Zk...`."""
    kept, rest, seed = [], 0, form[:SHORTEST_CUT]
    start = text.find(seed)
    while start >= 0:
        end = start + len(commonprefix((form, text[start : start + len(form)])))  # noqa: RUF071
        if _CUT_AFTER.match(text, end) and not _is_ordinary(text[start:end]):
            kept += [text[rest:start], MASK]
            rest = end
        start = text.find(seed, end)
    return "".join([*kept, text[rest:]])


def _without_end(text: str, form: str) -> str:
    """The text without ends of a form before which it was cut, such as `...Rt0 was refused`."""
    kept, rest, seed = [], 0, form[-SHORTEST_CUT:]
    found = text.find(seed)
    while found >= 0:
        end = found + len(seed)
        before = text[max(rest, end - len(form)) : end]
        start = end - len(commonprefix((form[::-1], before[::-1])))  # noqa: RUF071
        if _CUT_BEFORE.search(text, max(0, start - 8), start) and not _is_ordinary(text[start:end]):
            kept += [text[rest:start], MASK]
            rest = end
        found = text.find(seed, end)
    return "".join([*kept, text[rest:]])


def _is_ordinary(piece: str) -> bool:
    return piece.isalpha() and len(piece) <= _LONGEST_ORDINARY_WORD


def known_secrets() -> frozenset[str]:
    """The secrets that this process holds, and what is secret within them.

    They come from sensitive environment variables, secret settings of `.env`, and any address.
    """
    from pipeline.settings import env_file

    file = env_file()
    try:
        written = file.stat().st_mtime_ns if file else 0
    except OSError:
        file, written = None, 0
    return _secrets_in(file, written, tuple(os.environ.items()))


@lru_cache(maxsize=4)
def _secrets_in(
    file: Path | None, written: int, environment: tuple[tuple[str, str], ...]
) -> frozenset[str]:
    """Read the file once for each time it was ``written``: every line of a log asks for it."""
    from dotenv import dotenv_values

    in_file = dotenv_values(file) if file else {}
    variables: Mapping[str, str | None] = {**in_file, **dict(environment)}
    secrets: set[str] = set()
    for name, value in variables.items():
        if not value:
            continue
        secrets.update(parts_of(value))
        if SENSITIVE_NAME.search(name) and not _NAMES_A_FILE.search(name):
            secrets.add(value)
    return frozenset(
        secret
        for secret in secrets
        if len(secret) >= SHORTEST_SECRET and secret.lower() not in _SWITCHES
    )
