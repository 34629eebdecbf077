"""The inbox as a web page: messages as a person would see them in Slack, newest first."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.slack_inbox.mrkdwn import plain_to_html, to_html
from sandbox.slack_inbox.store import Message

ASSETS = {
    "/inbox.css": ("text/css; charset=utf-8", (Path(__file__).parent / "inbox.css").read_bytes()),
    "/inbox.js": (
        "text/javascript; charset=utf-8",
        (Path(__file__).parent / "inbox.js").read_bytes(),
    ),
}
NAMED_COLOURS = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200"}
DEFAULT_COLOUR = "#8d8d8d"
NEWEST_SHOWN = 200


def page(messages: Sequence[Message]) -> str:
    """The whole document; its script asks for ``message_list`` again every few seconds."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Slack inbox</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/inbox.css">
<noscript><meta http-equiv="refresh" content="5"></noscript>
<script src="/inbox.js" defer></script>
</head>
<body>
<header class="top">
<h1>Slack inbox</h1>
<p>Alerts sent to this local stand-in, newest first. Nothing leaves this machine.
<a href="/messages">JSON</a></p>
</header>
<main id="messages" aria-live="polite">{message_list(messages)}</main>
</body>
</html>
"""


def message_list(messages: Sequence[Message]) -> str:
    """The messages alone, newest first, with a heading per day."""
    if not messages:
        return '<p class="empty">No messages yet. They appear here as soon as one arrives.</p>'
    parts: list[str] = []
    day = ""
    for message in reversed(messages[-NEWEST_SHOWN:]):
        if message.received_at[:10] != day:
            day = message.received_at[:10]
            parts.append(f'<h2 class="day"><span>{html.escape(day)}</span></h2>')
        parts.append(_message(message))
    hidden = len(messages) - NEWEST_SHOWN
    if hidden > 0:
        parts.append(f'<p class="empty">{hidden} older messages are in the JSON.</p>')
    return "\n".join(parts)


def _message(message: Message) -> str:
    payload = message.payload
    sender = str(payload.get("username") or "Incoming webhook")
    blocks = payload.get("blocks") or []
    body: list[str] = []
    if (
        payload.get("text") and not blocks
    ):  # beside blocks, Slack shows the text in notifications only
        body.append(f'<div class="text">{to_html(str(payload["text"]))}</div>')
    body.extend(_block(block) for block in blocks)
    body.extend(_attachment(attachment) for attachment in payload.get("attachments") or [])
    raw = html.escape(json.dumps(payload, indent=2, ensure_ascii=False))
    at = html.escape(message.received_at)
    return (
        f'<article id="message-{message.id}"><div class="by">'
        f'<span class="sender">{html.escape(sender)}</span>'
        f'<time datetime="{at}">{at[11:19]} UTC</time>'
        f'<span class="number">#{message.id}</span></div>'
        f"{''.join(body)}<details><summary>payload</summary><pre>{raw}</pre></details></article>"
    )


def _attachment(attachment: Mapping[str, Any]) -> str:
    inner: list[str] = []
    if attachment.get("pretext"):
        inner.append(f'<div class="text">{to_html(str(attachment["pretext"]))}</div>')
    if attachment.get("title"):
        title, link = (
            plain_to_html(str(attachment["title"])),
            str(attachment.get("title_link") or ""),
        )
        if link.startswith(("http://", "https://")):
            title = f'<a href="{html.escape(link)}" rel="noreferrer" target="_blank">{title}</a>'
        inner.append(f'<div class="title">{title}</div>')
    if attachment.get("text"):
        inner.append(f'<div class="text">{to_html(str(attachment["text"]))}</div>')
    fields = [field for field in attachment.get("fields") or [] if isinstance(field, Mapping)]
    if fields:
        cells = (
            f"<div><strong>{plain_to_html(str(field.get('title', '')))}</strong><br>"
            f"{to_html(str(field.get('value', '')))}</div>"
            for field in fields
        )
        inner.append(f'<div class="fields">{"".join(cells)}</div>')
    inner.extend(_block(block) for block in attachment.get("blocks") or [])
    if attachment.get("footer"):
        inner.append(
            f'<div class="context"><span>{plain_to_html(str(attachment["footer"]))}</span></div>'
        )
    colour = _colour(attachment.get("color"))
    return f'<div class="attachment" style="border-color: {colour}">{"".join(inner)}</div>'


def _colour(colour: object) -> str:
    named = NAMED_COLOURS.get(str(colour), str(colour))
    named = named if named.startswith("#") else f"#{named}"
    return named if re.fullmatch(r"#[0-9a-fA-F]{6}", named) else DEFAULT_COLOUR


def _block(block: Mapping[str, Any]) -> str:
    match block.get("type"):
        case "header":
            return f"<h3>{_text(block['text'])}</h3>"
        case "divider":
            return "<hr>"
        case "section":
            text = f'<div class="text">{_text(block["text"])}</div>' if block.get("text") else ""
            fields = "".join(f"<div>{_text(field)}</div>" for field in block.get("fields") or [])
            accessory = _element(block["accessory"]) if block.get("accessory") else ""
            return f'<div class="section">{text}{accessory}</div>' + (
                f'<div class="fields">{fields}</div>' if fields else ""
            )
        case "context":
            elements = "".join(f"<span>{_element(element)}</span>" for element in block["elements"])
            return f'<div class="context">{elements}</div>'
        case "actions":
            elements = "".join(_element(element) for element in block["elements"])
            return f'<div class="actions">{elements}</div>'
        case "image":
            return f'<div class="image">{_element(block)}</div>'
        case other:
            kind = html.escape(str(other))
            return (
                f'<div class="context"><span>A block of kind {kind}; see the payload.</span></div>'
            )


def _text(text: Mapping[str, Any]) -> str:
    written = str(text.get("text", ""))
    return to_html(written) if text.get("type") == "mrkdwn" else plain_to_html(written)


def _element(element: Mapping[str, Any]) -> str:
    match element.get("type"):
        case "button":
            label, link = plain_to_html(str(element["text"]["text"])), str(element.get("url") or "")
            style = "button " + ("primary" if element.get("style") == "primary" else "plain")
            if link.startswith(("http://", "https://")):
                address = f'href="{html.escape(link)}" rel="noreferrer" target="_blank"'
                return f'<a class="{style}" {address}>{label}</a>'
            return f'<span class="{style}">{label}</span>'
        case "image":
            # never fetched: pages show what arrived, no more
            return f"🖼 {html.escape(str(element.get('alt_text', '')))}"
        case "mrkdwn" | "plain_text":
            return _text(element)
        case other:
            return html.escape(f"({other})")
