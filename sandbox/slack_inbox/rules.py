"""What Slack refuses in a webhook's payload, with the words it answers.

Limits: https://docs.slack.dev/reference/block-kit/blocks and
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MAX_BLOCKS = 50
MAX_ATTACHMENTS = 100
MAX_FIELDS = 10
MAX_FIELD_TEXT = 2_000
MAX_SECTION_TEXT = 3_000
MAX_HEADER_TEXT = 150
MAX_CONTEXT_ELEMENTS = 10
MAX_ACTIONS = 25
MAX_BUTTON_TEXT = 75
MAX_URL = 3_000
MAX_BLOCK_ID = 255
TEXT_KINDS = ("mrkdwn", "plain_text")


class RefusedError(Exception):
    """Slack would answer 400. ``answer`` is its body; the text says which rule was broken, for the
    inbox's own log.
    """

    def __init__(self, answer: str, why: str) -> None:
        super().__init__(f"{answer}: {why}")
        self.answer = answer


class _BrokenRuleError(Exception):
    """One block breaks a rule."""


def check(payload: object) -> Mapping[str, Any]:
    """The payload as a mapping; ``RefusedError`` if Slack would not take it."""
    if not isinstance(payload, Mapping):
        raise RefusedError("invalid_payload", "the payload is no JSON object")
    attachments = payload.get("attachments") or []
    blocks = payload.get("blocks") or []
    if not isinstance(attachments, list) or not all(
        isinstance(attachment, Mapping) for attachment in attachments
    ):
        raise RefusedError("invalid_attachments", "attachments is no list of objects")
    if len(attachments) > MAX_ATTACHMENTS:
        raise RefusedError(
            "too_many_attachments", f"{len(attachments)} attachments, {MAX_ATTACHMENTS} are allowed"
        )
    if not (payload.get("text") or attachments or blocks):
        raise RefusedError("no_text", "there is neither text nor blocks nor attachments")
    if not isinstance(payload.get("text", ""), str):
        raise RefusedError("invalid_payload", "text is no string")
    try:
        _check_blocks(blocks)
    except _BrokenRuleError as broken:
        raise RefusedError("invalid_blocks", str(broken)) from None
    for number, attachment in enumerate(attachments):
        try:
            _check_blocks(attachment.get("blocks") or [])
        except _BrokenRuleError as broken:
            raise RefusedError("invalid_attachments", f"attachment {number}: {broken}") from None
    return payload


def _check_blocks(blocks: object) -> None:
    if not isinstance(blocks, list):
        raise _BrokenRuleError("blocks is no list")
    if len(blocks) > MAX_BLOCKS:
        raise _BrokenRuleError(f"{len(blocks)} blocks, {MAX_BLOCKS} are allowed")
    identifiers = [
        block["block_id"] for block in blocks if isinstance(block, Mapping) and "block_id" in block
    ]
    if len(set(map(str, identifiers))) < len(identifiers):
        raise _BrokenRuleError("two blocks have the same block_id")
    for number, block in enumerate(blocks):
        if not isinstance(block, Mapping):
            raise _BrokenRuleError(f"block {number} is no object")
        if len(str(block.get("block_id", ""))) > MAX_BLOCK_ID:
            raise _BrokenRuleError(
                f"block {number}: block_id has more than {MAX_BLOCK_ID} characters"
            )
        _check_block(block, f"block {number} ({block.get('type')})")


def _check_block(block: Mapping[str, Any], where: str) -> None:
    match block.get("type"):
        case "section":
            _check_section(block, where)
        case "header":
            _check_text(block.get("text"), MAX_HEADER_TEXT, where, kinds=("plain_text",))
        case "context":
            for element in _listed(block, "elements", MAX_CONTEXT_ELEMENTS, where):
                if isinstance(element, Mapping) and element.get("type") == "image":
                    _check_image(element, where)
                else:
                    _check_text(element, MAX_SECTION_TEXT, where)
        case "actions":
            for element in _listed(block, "elements", MAX_ACTIONS, where):
                _check_element(element, where)
        case "image":
            _check_image(block, where)
        case "divider" | "rich_text" | "markdown" | "video" | "table":
            pass
        case other:
            raise _BrokenRuleError(f"{where}: {other!r} is no kind of block")


def _check_section(block: Mapping[str, Any], where: str) -> None:
    if "text" not in block and not block.get("fields"):
        raise _BrokenRuleError(f"{where} has neither text nor fields")
    if "text" in block:
        _check_text(block["text"], MAX_SECTION_TEXT, where)
    if "fields" in block:
        for field in _listed(block, "fields", MAX_FIELDS, where):
            _check_text(field, MAX_FIELD_TEXT, f"{where}, a field")
    if "accessory" in block:
        _check_element(block["accessory"], where)


def _listed(block: Mapping[str, Any], name: str, most: int, where: str) -> list[Any]:
    listed = block.get(name)
    if not isinstance(listed, list) or not listed:
        raise _BrokenRuleError(f"{where} has no {name}")
    if len(listed) > most:
        raise _BrokenRuleError(f"{where} has {len(listed)} {name}, {most} are allowed")
    return listed


def _check_text(text: object, most: int, where: str, kinds: tuple[str, ...] = TEXT_KINDS) -> None:
    if (
        not isinstance(text, Mapping)
        or text.get("type") not in kinds
        or not isinstance(text.get("text"), str)
    ):
        raise _BrokenRuleError(f"{where}: the text is no {' or '.join(kinds)} object")
    if not 1 <= len(text["text"]) <= most:
        raise _BrokenRuleError(
            f"{where}: the text has {len(text['text'])} characters, 1 to {most} are allowed"
        )


def _check_image(image: Mapping[str, Any], where: str) -> None:
    if not (image.get("image_url") or image.get("slack_file")) or not image.get("alt_text"):
        raise _BrokenRuleError(f"{where}: an image needs image_url and alt_text")


def _check_element(element: object, where: str) -> None:
    if not isinstance(element, Mapping) or not element.get("type"):
        raise _BrokenRuleError(f"{where}: an element is no object with a type")
    if element["type"] == "button":
        _check_text(
            element.get("text"), MAX_BUTTON_TEXT, f"{where}, a button", kinds=("plain_text",)
        )
        if len(str(element.get("url", ""))) > MAX_URL:
            raise _BrokenRuleError(f"{where}: a button's url has more than {MAX_URL} characters")
    elif element["type"] == "image":
        _check_image(element, where)
