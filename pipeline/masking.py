"""Takes secrets out of text before it leaves the machine: keys, tokens, passwords in connection
strings, our own settings.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "***"
_SHORTEST_SECRET = 5  # shorter values are words of everyday text, and no secrets

_NAMES = r"pass(?:word|wd|phrase)?|pwd|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential|webhook"
_SENSITIVE_VARIABLE = re.compile(rf"(?i)(?:{_NAMES}|sql_alchemy_conn|fernet_key|database_url)")

_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            re.DOTALL,
        ),
        MASK,
    ),
    (re.compile(r"\b((?:sk|rk|pk)_(?:test|live)_)[A-Za-z0-9_]+"), rf"\1{MASK}"),  # Stripe
    (re.compile(r"\bwhsec_[A-Za-z0-9_+/=-]+"), f"whsec_{MASK}"),
    (re.compile(r"\bxox[a-z]-[A-Za-z0-9-]+"), MASK),  # Slack tokens
    (
        re.compile(r"(?i)(/services/)[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]+"),
        rf"\1{MASK}",
    ),  # Slack webhooks
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}"), MASK),  # AWS
    (re.compile(r"\bgh[pousr]_[A-Za-z0-9]{20,}"), MASK),  # GitHub
    (
        re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"),
        MASK,
    ),  # JSON web tokens
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (
        re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/?#@]*):[^\s/?#]*@(?=[^\s@])"),
        rf"\1:{MASK}@",
    ),  # user:password@host
    (
        re.compile(
            rf"""(?i)(["']?\b[\w.-]*(?:{_NAMES})["']?\s*[:=]\s*)(?:"[^"]*"|'[^']*'|[^\s,;&"'}})]+)"""
        ),
        rf"\1{MASK}",
    ),
)


def mask(text: str, secrets: Iterable[str] | None = None) -> str:
    """The text without secrets. ``secrets`` are values to hide wherever they stand; default: those
    this process knows.
    """
    for secret in sorted(
        known_secrets() if secrets is None else set(secrets), key=len, reverse=True
    ):
        if len(secret) < _SHORTEST_SECRET:
            continue
        for form in {secret, quote(secret, safe="")}:
            if (
                form.isalpha()
            ):  # a word, like a password "postgres": not inside of longer words such as table names
                text = re.sub(rf"(?<![A-Za-z0-9_-]){re.escape(form)}(?![A-Za-z0-9_-])", MASK, text)
            else:
                text = text.replace(form, MASK)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def known_secrets() -> set[str]:
    """Secret values that this process holds: sensitive environment variables and the secret
    settings from `.env`.
    """
    from dotenv import dotenv_values

    from pipeline.settings import env_file

    file = env_file()
    variables = {**(dotenv_values(file) if file and file.exists() else {}), **os.environ}
    return {
        value
        for name, value in variables.items()
        if value and _SENSITIVE_VARIABLE.search(name) and not value.startswith("/")
    }
