"""An alert as a Slack message: Block Kit in a coloured attachment, inside Slack's limits.

The fields stand in the specification's order. The limits are those of
https://docs.slack.dev/reference/block-kit/blocks: 3,000 characters of text in a section, 50 blocks.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlparse

from alerting.alert import Alert, Status, duration

COLOURS: dict[Status, str] = {
    "success": "#36a64f",
    "recovery": "#36a64f",
    "failure": "#ff0000",
    "retry": "#ff9900",
    "sla_breach": "#ffcc00",
    "difference": "#ffcc00",
    "attention": "#ffcc00",
    "held": "#ff0000",
}
SECTION_LIMIT = 3000
EXCEPTION_LIMIT = 1500  # enough for any sentence; the log has the rest
FACT_LIMIT = 1200
SUMMARY_LIMIT = 150
BLOCK_LIMIT = 50
_CUT = " … "


def slack_message(alert: Alert) -> dict[str, Any]:
    """The webhook's payload."""
    blocks = [
        _section(f"*{escape(alert.title, 200)}*"),
        *(_section(text) for text in _fields(alert)),
    ]
    attachment = {
        "color": COLOURS[alert.status],
        "fallback": _summary(alert),
        "blocks": blocks[:BLOCK_LIMIT],
    }
    return {"text": _summary(alert), "attachments": [attachment]}


def escape(text: str, limit: int) -> str:
    """Text from outside for Slack's mrkdwn: no mention, link or channel call in it works, and it is
    at most ``limit`` long.

    Longer text keeps its beginning and its end, where errors say what happened.
    """
    escaped = [
        _ESCAPES.get(character, character)
        for character in text
        if character.isprintable() or character in "\n\t"
    ]
    if sum(map(len, escaped)) <= limit:
        return "".join(escaped)
    room = limit - len(_CUT)
    head = _taken(escaped, room * 2 // 3)
    tail = _taken(escaped[::-1], room - sum(map(len, head)))[::-1]
    return "".join(head) + _CUT + "".join(tail)


_ESCAPES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "`": "'",
}  # a backtick would end the code block around an exception


def _taken(characters: list[str], room: int) -> list[str]:
    taken = []
    for character in characters:
        room -= len(character)
        if room < 0:
            break
        taken.append(character)
    return taken


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _summary(alert: Alert) -> str:
    """What a phone shows: one line without markup."""
    parts = [alert.title, alert.task_id if alert.task_id != alert.dag_id else None, alert.day]
    return escape(" · ".join(part for part in parts if part), SUMMARY_LIMIT)


def _line(label: str, text: str, limit: int = 300) -> str:
    return f"*{label}:* {escape(text, limit)}"


def _fields(alert: Alert) -> list[str]:
    """Sections: status and DAG are the title; then task, day, duration; exception; log; then what
    helps to act.
    """
    when = [
        _line("Task", alert.task_id) if alert.task_id else None,
        _line("Day", alert.day) if alert.day else None,
        _line("Duration", duration(alert.seconds)) if alert.seconds is not None else None,
    ]
    sections = ["\n".join(line for line in when if line)]
    if alert.exception:
        sections.append(f"*Exception:*\n```{escape(alert.exception, EXCEPTION_LIMIT)}```")
    if alert.log_url:
        sections.append(
            f"*Log:* {_link(alert.log_url, 'Open the log' if alert.task_id else 'Open the run')}"
        )
    if tried := _tries(alert):
        sections.append(tried)
    sections += [
        f"*{escape(label, 100)}:*{_separator(text)}{escape(text, FACT_LIMIT)}"
        for label, text in alert.facts
    ]
    if alert.runbook:
        is_address = urlparse(alert.runbook).scheme in ("http", "https")
        runbook = _link(alert.runbook, "What to do") if is_address else escape(alert.runbook, 300)
        sections.append(f"*Runbook:* {runbook}")
    return [section for section in sections if section]


def _separator(text: str) -> str:
    return "\n" if "\n" in text or text.startswith("•") else " "


def _tries(alert: Alert) -> str:
    if alert.try_number is None:
        return ""
    before = alert.first_try - 1 if alert.first_try <= alert.try_number else 0
    number, tries = alert.try_number - before, alert.tries - before if alert.tries else None
    of = (f" of {tries}" if tries else "") + (" since it was cleared" if before else "")
    if alert.status == "retry":
        at = alert.next_try_at
        after = f", the next one starts at {at:%H:%M:%S} UTC" if at else ", another one follows"
    elif alert.permanent:
        after = ". This error is permanent: nothing more will be tried, somebody has to act"
    elif tries and number < tries:
        after = ". Its run was ended from outside: nothing more will be tried"
    else:
        after = ", the last: nothing more will be tried"
    return f"*Try:* {number}{of}{after}"


def _link(url: str, text: str) -> str:
    safe = url.replace("&", "&amp;").replace("<", "%3C").replace(">", "%3E").replace("|", "%7C")
    return f"<{safe}|{text}>"
