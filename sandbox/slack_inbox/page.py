"""The inbox as a web page, newest message first: plain blocks of text, safe whatever they say.

Bold, code and links are shown as such, the rest of Slack's markup as it was written:
https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandbox.slack_inbox.messages import LINK, Message, texts

NEWEST_SHOWN = 200
DEFAULT_COLOUR = "#8d8d8d"
_CODE = re.compile(r"```(.+?)```|`([^`\n]+)`", re.DOTALL)
_BOLD = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")
_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="refresh" content="5">
<title>Slack inbox</title>
<link rel="icon" href="data:,">
<style>
body { max-width: 54rem; margin: 0 auto; padding: 1rem; font: 15px/1.5 system-ui, sans-serif; }
article { border: 1px solid #8884; border-radius: 8px; padding: .6rem 1rem; margin: .6rem 0; }
.text { margin: .3rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
pre { margin: .2rem 0; padding: .4rem .6rem; background: #8882; white-space: pre-wrap; }
time { opacity: .7; font-size: .85rem; }
.attachment { border-left: 4px solid; padding-left: .8rem; margin: .4rem 0; }
</style>
<h1>Slack inbox</h1>
<p>Alerts sent to this local stand-in, newest first. Nothing leaves this machine.
<a href="/messages">JSON</a></p>
"""


def page(messages: Sequence[Message]) -> str:
    """The whole document; it loads itself again every five seconds."""
    shown = [_message(message) for message in reversed(messages[-NEWEST_SHOWN:])]
    if not shown:
        shown = ["<p>No messages yet. They appear here as soon as one arrives.</p>"]
    if len(messages) > NEWEST_SHOWN:
        shown.append(f"<p>{len(messages) - NEWEST_SHOWN} older messages are in the JSON.</p>")
    return f"{_HEAD}<main>{''.join(shown)}</main>\n</html>\n"


def _message(message: Message) -> str:
    payload, at = message.payload, html.escape(message.received_at)
    sender = html.escape(str(payload.get("username") or "Incoming webhook"))
    # Beside blocks, Slack shows the text in notifications only.
    body = _blocks(payload.get("blocks")) or _paragraphs(payload.get("text"))
    for attachment in payload.get("attachments") or []:
        inside = _paragraphs({**attachment, "blocks": None}) + _blocks(attachment.get("blocks"))
        colour = _colour(attachment.get("color"))
        body += f'<div class="attachment" style="border-color: {colour}">{inside}</div>'
    return (
        f'<article id="message-{message.id}"><strong>{sender}</strong> '
        f'<time datetime="{at}">{at[:10]} {at[11:19]} UTC, #{message.id}</time>{body}</article>'
    )


def _blocks(blocks: Sequence[Mapping[str, Any]] | None) -> str:
    return "".join(
        "<hr>" if block["type"] == "divider" else _paragraphs(block) for block in blocks or []
    )


def _paragraphs(part: object) -> str:
    return "".join(f'<div class="text">{to_html(text)}</div>' for text in texts(part))


def to_html(text: str) -> str:
    """A text in Slack's markup as HTML; whatever is no bold, code or link of it is escaped."""
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(text):
        parts.append(_linked(text[end : code.start()]))
        block, inline = code.groups()
        parts.append(f"<pre>{_escape(block)}</pre>" if block else f"<code>{_escape(inline)}</code>")
        end = code.end()
    return "".join([*parts, _linked(text[end:])])


def _linked(text: str) -> str:
    parts: list[str] = []
    end = 0
    for link in LINK.finditer(text):
        if link["target"].startswith(("http://", "https://")):
            label = _styled(link["label"] or link["target"])
            parts.append(_styled(text[end : link.start()]))
            parts.append(f'<a href="{_escape(link["target"])}" rel="noreferrer">{label}</a>')
            end = link.end()
    return "".join([*parts, _styled(text[end:])])


def _styled(text: str) -> str:
    return _BOLD.sub(r"<strong>\1</strong>", _escape(text))


def _escape(text: str) -> str:
    # Senders write &amp; &lt; &gt; for & < >; whatever else stands there is text.
    return html.escape(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def _colour(colour: object) -> str:
    return str(colour) if re.fullmatch(r"#[0-9a-fA-F]{6}", str(colour)) else DEFAULT_COLOUR
