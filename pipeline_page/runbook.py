"""docs/runbook.md as HTML, a heading's anchor as the alerts name it."""

from __future__ import annotations

import re
from functools import cache
from itertools import pairwise

from markdown_it import MarkdownIt

from alerting.runbook import RUNBOOK


@cache
def runbook_html() -> str:
    """The page's text; every ``## CredentialsError`` can be reached as ``#credentialserror``."""
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(RUNBOOK.read_text())
    for opening, text in pairwise(tokens):
        if opening.type == "heading_open":
            opening.attrSet("id", re.sub(r"[^\w]+", "-", text.content.lower()).strip("-"))
    return str(markdown.renderer.render(tokens, markdown.options, {}))
