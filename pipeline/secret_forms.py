"""The forms in which a known secret turns up in text.

It stands there as it is, escaped by whatever printed it, or encoded; and parts of an address or a
JSON document are secrets by themselves.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote

SHORTEST_SECRET = 5  # shorter values are words of everyday text, and no secrets
SENSITIVE_NAME = re.compile(
    r"(?i)pass(?:word|wd|phrase)?(?:$|_)|password|pwd|secret|token|credential|webhook|cookie"
    r"|(?:api|private|access|account|signing|encryption|fernet|jwt)[_-]?key|(?:^|_)key$"
    r"|signature|(?:^|[_-])sig$|sql_alchemy_conn|database_url|airflow_conn_|connection_?string|dsn$"
)
_LONGEST_WORD = 15
_LONG_LINE = 24  # characters of a line of a private key that identify it
_KEY_AS_USER = 12  # characters from which the user of an address without a password is its token
_AUTHORITY = re.compile(r"[A-Za-z][\w+.-]*://(?:([^/?#]*)@)?([^/?#]*)([^?#]*)\??([^#]*)")
_ASSIGNMENT = re.compile(r"([A-Za-z][\w-]*)\s*=\s*('[^']*'|[^\s;&]+)")
_PEM_EDGE = re.compile(r"-----[A-Z ]+-----")


def is_word(form: str) -> bool:
    """Whether a form is a word, such as the password `postgres`: names of tables may hold it."""
    return form.isdigit() or (form.isalpha() and len(form) <= _LONGEST_WORD)


def forms_of(secret: str) -> set[str]:
    """Every way in which a secret is written, the secret itself among them.

    Airflow's masker asks for it, too: `[logging] secret_mask_adapter`.
    """
    once = {write(secret) for write in _WRITTEN} | {secret}
    twice = {write(form) for form in once for write in _WRITTEN_AGAIN}
    return {
        form
        for form in once | twice | _encoded(secret.encode()) | _lines(secret)
        if len(form) >= SHORTEST_SECRET
    }


def _lower_quoted(text: str) -> str:
    return re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), quote(text, safe=""))


def _numeric_html(text: str) -> str:
    return html.escape(text, quote=False).replace("'", "&#39;").replace('"', "&#34;")


def _backslashes(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")


_Writer = Callable[[str], str]
_WRITTEN: tuple[_Writer, ...] = (
    lambda text: quote(text, safe=""),
    quote,
    quote_plus,
    _lower_quoted,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),  # PHP and older JavaScript
    lambda text: repr(text)[1:-1],
    lambda text: repr(text.encode())[2:-1],
    lambda text: ascii(text)[1:-1],
    html.escape,
    lambda text: html.escape(text, quote=False),
    _numeric_html,
    _backslashes,
    lambda text: text.replace("'", "''"),  # SQL and YAML
    lambda text: text.replace("'", "'\"'\"'"),  # shells
    lambda text: text.replace("\n", ""),
)
_WRITTEN_AGAIN: tuple[_Writer, ...] = (
    lambda text: quote(text, safe=""),
    lambda text: json.dumps(text)[1:-1],
    lambda text: repr(text)[1:-1],
    html.escape,
)


def _encoded(secret: bytes) -> set[str]:
    """In hex, and in Base64 at each of the three offsets at which it can begin in a group.

    Characters that depend on its neighbours are left out.
    """
    forms = {secret.hex(), secret.hex().upper()}
    for offset in range(3):
        text = base64.b64encode(b"\0" * offset + secret).decode()
        inner = text[(0, 2, 3)[offset] : (offset + len(secret)) * 8 // 6]
        forms |= {inner, inner.replace("+", "-").replace("/", "_"), quote(inner, safe="")}
    return forms


def _lines(secret: str) -> set[str]:
    """The lines of a private key, and its body in one piece: some programs print no more."""
    if "\n" not in secret:
        return set()
    body = _PEM_EDGE.sub("", secret)
    lines = {line.strip() for line in body.splitlines()}
    return {line for line in lines | {"".join(body.split())} if len(line) >= _LONG_LINE}


def parts_of(value: str) -> Iterator[str]:
    """What is secret within a setting by itself.

    That is in addresses (`user:password@`, tokens, webhook paths, signed parameters), JSON
    documents and connection strings.
    """
    if value.lstrip()[:1] in ("{", "["):
        yield from _parts_of_json(value)
    elif "://" in value:
        yield from _parts_of_address(value)
    elif "=" in value:
        for name, given in _ASSIGNMENT.findall(value):
            if SENSITIVE_NAME.search(name):
                yield given.strip("'")


def _parts_of_address(value: str) -> Iterator[str]:
    address = _AUTHORITY.match(value)
    if not address:
        return
    user, _, password = (address[1] or "").partition(":")
    for part in (password, unquote(password)):
        if part != user:  # the user's name is no secret, and stands everywhere
            yield part
    if len(user) >= _KEY_AS_USER and (not password or re.search(r"\d", user)):
        yield from (user, unquote(user))
    if not address[1] and (path := _token_in(address[3])):
        yield path
    for name, given in parse_qsl(address[4]):
        if SENSITIVE_NAME.search(name):
            yield given


def _token_in(path: str) -> str | None:
    """The path of a webhook: its last part is what lets anybody post."""
    last = path.rstrip("/").rpartition("/")[2]
    return last if len(last) >= _KEY_AS_USER and re.search(r"\d|[a-z][A-Z]", last) else None


def _parts_of_json(value: str) -> Iterator[str]:
    try:
        yield from _secret_leaves(json.loads(value), named_so=False)
    except (ValueError, RecursionError):
        return


def _secret_leaves(node: Any, named_so: bool) -> Iterator[str]:
    if isinstance(node, dict):
        for name, child in node.items():
            yield from _secret_leaves(child, named_so or bool(SENSITIVE_NAME.search(str(name))))
    elif isinstance(node, list):
        for child in node:
            yield from _secret_leaves(child, named_so)
    elif isinstance(node, str):
        if named_so:
            yield node
        yield from parts_of(node)
