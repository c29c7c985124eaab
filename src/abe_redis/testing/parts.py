"""The parts of Slack's payloads, for the makers: ids, times, rich text."""

import re
import secrets
import time
from collections.abc import Iterator
from functools import cache
from itertools import count
from typing import Any

from abe_redis.runtime import fork

TEAM, CHANNEL, USER, BOT, APP = "T061EG9R6", "C0LAN2Q65", "U061F7AUR", "U0LAN0Z89", "A0MDYCDME"
"""The ids of a team, a channel, a person, the bot and its app, from Slack's own documentation."""
DIRECT_CHANNEL, BOT_ID = "D024BE91L", "B19LU7CSY"
"""The person's direct messages with the bot, and the bot's id as an author."""
TOKEN = "Jhj5dZrVaK7ZwHHjRyZWjbDl"  # noqa: S105 - Slack's own example
"""The deprecated verification token, which Slack still sends; it never reaches Redis."""


@cache
def _numbers(generation: int) -> Iterator[int]:  # noqa: ARG001 - a forked process has numbers of its own
    """Where they begin, nobody else does: Redis may know the events of other processes."""
    return count(secrets.randbelow(9_000_000_000))


def next_number() -> int:
    """A number that no other call has, in this process or, most probably, in any."""
    return next(_numbers(fork.generation()))


def timestamp() -> str:
    """Slack's `ts`: the time, with six digits that make it the message's id in its channel."""
    return f"{int(time.time())}.{next_number() % 1_000_000:06d}"


_MARKED = re.compile(r"<@([A-Z0-9]+)(?:\|[^>]*)?>|<#([A-Z0-9]+)(?:\|[^>]*)?>|<(https?:[^|>]+)(?:\|([^>]*))?>")


def blocks_of(text: str) -> list[dict[str, Any]]:
    """The rich text that Slack's own client writes beside a text, in which mentions are elements."""
    elements: list[dict[str, Any]] = []
    at = 0
    for match in _MARKED.finditer(text):
        elements += _plain(text[at : match.start()])
        user, channel, url, label = match.groups()
        if user:
            elements.append({"type": "user", "user_id": user})
        elif channel:
            elements.append({"type": "channel", "channel_id": channel})
        else:
            elements.append({"type": "link", "url": url} | ({"text": label} if label else {}))
        at = match.end()
    elements += _plain(text[at:])
    section = {"type": "rich_text_section", "elements": elements}
    return [{"type": "rich_text", "block_id": f"b{next_number():04x}", "elements": [section]}]


def _plain(text: str) -> list[dict[str, Any]]:
    """A text without marks, in which Slack writes `&amp;` for an ampersand, and its like."""
    for entity, char in (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")):
        text = text.replace(entity, char)
    return [{"type": "text", "text": text}] if text else []
