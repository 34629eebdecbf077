"""What Slack refuses in a webhook's payload, with the words it answers.

Blocks are checked by slack_sdk's models. What those let pass and Slack does not is checked here:
https://docs.slack.dev/reference/block-kit/blocks and
https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block

MAX_BLOCKS = 50
MAX_ATTACHMENTS = 100
MAX_FIELD_TEXT = 2_000
MAX_BUTTON_TEXT = 75
TEXTS = ("plain_text", "mrkdwn")


class RefusedError(Exception):
    """Slack would answer 400 with ``answer``; the text also names the broken rule, for the log."""

    def __init__(self, answer: str, why: str) -> None:
        super().__init__(f"{answer}: {why}")
        self.answer = answer


def check(payload: object) -> Mapping[str, Any]:
    """The payload as a mapping; ``RefusedError`` if Slack would not take it."""
    if not isinstance(payload, Mapping):
        raise RefusedError("invalid_payload", "the payload is no JSON object")
    text, blocks = payload.get("text") or "", payload.get("blocks") or []
    attachments = payload.get("attachments") or []
    if not (text or attachments or blocks):
        raise RefusedError("no_text", "there is neither text nor blocks nor attachments")
    if not isinstance(text, str):
        raise RefusedError("invalid_payload", "text is no string")
    if not isinstance(attachments, list) or not all(
        isinstance(one, Mapping) for one in attachments
    ):
        raise RefusedError("invalid_attachments", "attachments is no list of objects")
    if len(attachments) > MAX_ATTACHMENTS:
        raise RefusedError("too_many_attachments", f"there are {len(attachments)} attachments")
    for answer, one in (
        ("invalid_blocks", blocks),
        *(("invalid_attachments", attachment.get("blocks") or []) for attachment in attachments),
    ):
        if broken := next(_broken_rules(one), None):
            raise RefusedError(answer, broken)
    return payload


def _broken_rules(blocks: Any) -> Iterator[str]:
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        yield "blocks is no list of objects"
        return
    if len(blocks) > MAX_BLOCKS:
        yield f"there are {len(blocks)} blocks"
    named = [block["block_id"] for block in blocks if "block_id" in block]
    if len(named) > len(set(map(str, named))):
        yield "two blocks have the same block_id"
    for block in blocks:
        if isinstance(block.get("type"), str):
            yield from _broken_rules_of(block)
        else:
            yield "a block has no type"


def _broken_rules_of(block: dict[str, Any]) -> Iterator[str]:
    kind = block["type"]
    try:
        if (parsed := Block.parse(block)) is None:
            yield f"{kind!r} is no kind of block"
            return
        parsed.validate_json()
    except (SlackObjectFormationError, TypeError, AttributeError, ValueError, KeyError) as error:
        yield f"{kind}: {error}"
        return
    if kind in ("context", "actions") and not _listed(block, "elements"):
        yield f"{kind} has no elements"
    if kind in ("section", "header") and "text" in block:
        yield from _wrong_text(block["text"], ("plain_text",) if kind == "header" else TEXTS)
    for field in _listed(block, "fields"):
        yield from _wrong_text(field, TEXTS, MAX_FIELD_TEXT)
    for element in [*_listed(block, "elements"), *filter(None, [block.get("accessory")])]:
        of_kind = element.get("type") if isinstance(element, Mapping) else None
        if of_kind == "button":
            yield from _wrong_text(element.get("text"), ("plain_text",), MAX_BUTTON_TEXT)
        elif kind == "context" and of_kind != "image":
            yield from _wrong_text(element, TEXTS)


def _listed(block: Mapping[str, Any], name: str) -> list[Any]:
    found = block.get(name)
    return found if isinstance(found, list) else []


def _wrong_text(text: object, kinds: tuple[str, ...], most: int = 3_000) -> Iterator[str]:
    if not isinstance(text, Mapping) or text.get("type") not in kinds:
        yield f"a text is no {' or '.join(kinds)} object"
    elif not isinstance(text.get("text"), str) or not 1 <= len(text["text"]) <= most:
        yield f"a text is no string of 1 to {most} characters"
