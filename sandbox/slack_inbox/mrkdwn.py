"""Slack's message markup as HTML that is safe to show, whatever the text says.

https://docs.slack.dev/messaging/formatting-message-text
"""

from __future__ import annotations

import html
import re

EMOJI = {
    "white_check_mark": "✅", "x": "❌", "warning": "⚠️",
    "rotating_light": "🚨", "tada": "🎉", "fire": "🔥",
    "hourglass": "⌛", "hourglass_flowing_sand": "⏳", "clock1": "🕐",
    "alarm_clock": "⏰", "stopwatch": "⏱️", "repeat": "🔁",
    "arrows_counterclockwise": "🔄", "red_circle": "🔴",
    "large_green_circle": "🟢", "large_yellow_circle": "🟡",
    "large_orange_circle": "🟠", "large_blue_circle": "🔵", "information_source": "ℹ️",
    "bell": "🔔", "eyes": "👀",
    "heavy_check_mark": "✔️", "no_entry": "⛔", "boom": "💥",
    "package": "📦", "bar_chart": "📊", "link": "🔗",
    "chart_with_upwards_trend": "📈", "chart_with_downwards_trend": "📉",
    "moneybag": "💰", "memo": "📝",
    "wrench": "🔧", "mag": "🔍", "rocket": "🚀",
    "green_heart": "💚", "page_facing_up": "📄", "skull": "💀",
}  # fmt: skip

_CODE = re.compile(r"```(?P<block>.+?)```|`(?P<inline>[^`\n]+)`", re.DOTALL)
_LINK = re.compile(r"<(?P<target>[^<>|\n]+)(?:\|(?P<label>[^<>\n]*))?>")
_EMOJI = re.compile(r":([a-z0-9_+-]+):")
_STYLES = (
    (re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])"), r"<strong>\1</strong>"),
    (re.compile(r"(?<![\w_])_(?=\S)([^_\n]+?)(?<=\S)_(?![\w_])"), r"<em>\1</em>"),
    (re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])"), r"<del>\1</del>"),
)
_LINKABLE = ("http://", "https://", "mailto:")


def to_html(text: str) -> str:
    """Bold, italic, strike, code, quotes, links and emoji of a ``mrkdwn`` text as HTML; everything
    else escaped.
    """
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(text):
        parts.append(_quoted(text[end : code.start()]))
        block, inline = code.group("block"), code.group("inline")
        parts.append(
            f"<pre>{_escape(block.strip(chr(10)))}</pre>"
            if block is not None
            else f"<code>{_escape(inline)}</code>"
        )
        end = code.end()
    parts.append(_quoted(text[end:]))
    return "".join(parts)


def plain_to_html(text: str) -> str:
    """A ``plain_text``: escaped, with emoji and line breaks only."""
    return _emoji(html.escape(text)).replace("\n", "<br>")


def to_plain(text: str) -> str:
    """A ``mrkdwn`` text as it reads, without its markup characters for links; for tests and the
    command line.
    """
    return html.unescape(_LINK.sub(lambda link: link.group("label") or link.group("target"), text))


def _escape(text: str) -> str:
    # Senders write &amp; &lt; &gt; for & < >; whatever else stands there is text.
    return html.escape(text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def _quoted(text: str) -> str:
    lines: list[str] = []
    for line in text.split("\n"):
        quote = re.match(r"(?:&gt;|>) ?", line)
        lines.append(f"<q>{_linked(line[quote.end() :])}</q>" if quote else _linked(line))
    return "<br>".join(lines)


def _linked(text: str) -> str:
    parts: list[str] = []
    end = 0
    for link in _LINK.finditer(text):
        parts.append(_styled(text[end : link.start()]))
        target, label = link.group("target"), link.group("label")
        if target.startswith(_LINKABLE):
            address = html.escape(target.replace("&amp;", "&"))
            parts.append(
                f'<a href="{address}" rel="noreferrer" target="_blank">'
                f"{_styled(label or target)}</a>"
            )
        elif target.startswith(("!", "@", "#")):
            parts.append(
                f'<span class="mention">{_escape(label or "@" + target.lstrip("!@#"))}</span>'
            )
        else:
            parts.append(_escape(link.group(0)))
        end = link.end()
    parts.append(_styled(text[end:]))
    return "".join(parts)


def _styled(text: str) -> str:
    styled = _escape(text)
    for pattern, replacement in _STYLES:
        styled = pattern.sub(replacement, styled)
    return _emoji(styled)


def _emoji(text: str) -> str:
    return _EMOJI.sub(lambda name: EMOJI.get(name.group(1), name.group(0)), text)
