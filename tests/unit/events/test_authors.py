"""Whose messages and files an event carries within it."""

from typing import Any

import pytest

from abe_redis.events.authors import authors_of
from tests.unit.events.shapes import CHANNEL, MESSAGE, USER, action, envelope

AUTHOR = "U0AUTHOR"
WROTE = {"type": "message", "user": AUTHOR, "text": "hi", "ts": "9.1"}
FILE = {"id": "F1", "user": AUTHOR, "name": "a.png", "title": "a", "mimetype": "image/png"}
OF_OTHERS = MESSAGE | {"user": USER}

CARRIED: dict[str, dict[str, Any]] = {
    "a shortcut": action("message_action", message=WROTE, channel={"id": CHANNEL}),
    "a button": action("block_actions", message=WROTE, actions=[{"type": "button", "value": "x"}]),
    "an older button": action("interactive_message", original_message=WROTE | {"bot_id": "B1"}),
    "a pin": envelope({"type": "pin_added", "user": USER, "item": {"type": "message", "message": WROTE}}),
    "a pin taken off": envelope({"type": "pin_removed", "user": USER, "item": {"message": WROTE}}),
    "a star": envelope({"type": "star_added", "user": USER, "item": {"type": "message", "message": WROTE}}),
    "a star taken off": envelope({"type": "star_removed", "user": USER, "item": {"message": WROTE}}),
    "a star on a file": envelope(
        {"type": "star_added", "user": USER, "item": {"type": "file", "file": FILE}}
    ),
    "a star on a comment": envelope(
        {"type": "star_added", "user": USER, "item": {"comment": {"user": AUTHOR, "comment": "hi"}}}
    ),
    "a reminder": envelope(
        {"type": "star_added", "user": USER, "item": {"creator": AUTHOR, "user": USER, "text": "hi"}}
    ),
    "a broadcast": envelope(OF_OTHERS | {"subtype": "thread_broadcast", "root": WROTE}),
    "a shared message": envelope(OF_OTHERS | {"attachments": [{"author_id": AUTHOR, "text": "hi"}]}),
    "a shared message of blocks": envelope(
        OF_OTHERS | {"attachments": [{"author_id": AUTHOR, "message_blocks": [], "fallback": "hi"}]}
    ),
    "a message deep in a shared one": envelope(
        OF_OTHERS | {"attachments": [{"text": "x", "message_blocks": [{"message": WROTE}]}]}
    ),
    "an edit of who quotes": envelope(
        MESSAGE | {"subtype": "message_changed", "message": OF_OTHERS | {"attachments": [{"files": [FILE]}]}}
    ),
    "a file": envelope(OF_OTHERS | {"subtype": "file_share", "files": [FILE]}),
    "a file's comment": envelope(
        OF_OTHERS | {"files": [{"user": USER, "initial_comment": {"user": AUTHOR, "comment": "hi"}}]}
    ),
    "a message of files alone": action(
        "message_action", message={"user": AUTHOR, "text": "", "files": ["F1"]}
    ),
    "a topic": envelope({"type": "channel_joined", "channel": {"topic": {"value": "hi", "creator": AUTHOR}}}),
    "an author as an object": action("message_action", message={"user": {"id": AUTHOR}, "text": "hi"}),
}


@pytest.mark.parametrize("payload", CARRIED.values(), ids=CARRIED)
def test_an_event_has_the_authors_of_what_it_carries(payload: dict[str, Any]) -> None:
    assert AUTHOR in authors_of(payload)


NAMED: dict[str, dict[str, Any]] = {
    "who wrote the event itself": envelope(WROTE),
    "who does it": action("block_actions", user={"id": AUTHOR, "name": "ann"}),
    "a reaction": envelope({"type": "reaction_added", "item_user": AUTHOR, "item": {"ts": "9.1"}}),
    "reactions": envelope(OF_OTHERS | {"reactions": [{"name": "eyes", "users": [AUTHOR]}]}),
    "an editor": envelope(OF_OTHERS | {"edited": {"user": AUTHOR, "ts": "9.1"}}),
    "replies": envelope(OF_OTHERS | {"replies": [{"user": AUTHOR, "ts": "9.1"}]}),
    "an inviter": envelope(OF_OTHERS | {"inviter": AUTHOR}),
    "a mention": envelope(OF_OTHERS | {"blocks": [{"elements": [{"type": "user", "user_id": AUTHOR}]}]}),
    "a file's id": envelope(OF_OTHERS | {"files": [{"id": "F1", "user": AUTHOR}]}),
    "who made the channel": envelope(
        {"type": "channel_joined", "channel": {"name": "room", "creator": AUTHOR, "topic": {"value": ""}}}
    ),
    "an input": envelope({"type": "function_executed", "inputs": {"user_id": AUTHOR, "text": "hi"}}),
    "metadata": envelope(OF_OTHERS | {"metadata": {"event_payload": {"user": AUTHOR, "title": "a"}}}),
    "whom a reminder is for": envelope(
        {"type": "star_added", "item": {"creator": USER, "user": AUTHOR, "text": "hi"}}
    ),
    "a choice": action("view_submission", view={"state": {"values": {"b": {"selected_user": AUTHOR}}}}),
}


@pytest.mark.parametrize("payload", NAMED.values(), ids=NAMED)
def test_who_is_only_named_is_no_author_of_what_an_event_carries(payload: dict[str, Any]) -> None:
    assert AUTHOR not in authors_of(payload)


def test_a_deep_event_is_searched_to_its_end() -> None:
    deep: Any = WROTE
    for _ in range(100_000):
        deep = [{"message": deep}]
    assert authors_of({"type": "x", "deep": deep}) == {AUTHOR}
