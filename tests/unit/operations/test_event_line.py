"""Each kind has a line in which a person recognises it."""

from typing import Any

import pytest

from abe_redis.events import kinds
from abe_redis.operations.event_line import summarise
from tests.unit.events.shapes import CHANNEL, USER, action, command, envelope

SAID = {"type": "message", "channel": CHANNEL, "user": USER, "text": "hi", "ts": "10.1"}
CHANGED = {"type": "message", "subtype": "message_changed", "channel": CHANNEL}
BUTTON = {"type": "button", "action_id": "approve", "value": "7"}


@pytest.mark.parametrize(
    ("payload", "line"),
    [
        (envelope(SAID), "message in C0ROOM by U0ANN: 'hi'"),
        (
            envelope(CHANGED | {"message": {"user": USER, "text": "hello\nthere"}}),
            "edit by U0ANN in C0ROOM: 'hello there'",
        ),
        (
            envelope(
                {
                    "type": "message",
                    "subtype": "message_deleted",
                    "channel": CHANNEL,
                    "previous_message": {"user": USER, "text": "oops"},
                }
            ),
            "deletion by U0ANN in C0ROOM: 'oops'",
        ),
        (envelope(SAID | {"subtype": "thread_broadcast"}), "thread_broadcast by U0ANN in C0ROOM: 'hi'"),
        (
            envelope(SAID | {"subtype": "file_share", "files": [{"name": "plan.pdf"}]}),
            "file_share by U0ANN in C0ROOM plan.pdf: 'hi'",
        ),
        (envelope(SAID | {"subtype": "hologram"}), "hologram by U0ANN in C0ROOM: 'hi'"),
        (
            envelope(
                {"type": "reaction_added", "user": USER, "reaction": "eyes", "item": {"channel": CHANNEL}}
            ),
            "reaction_added in C0ROOM by U0ANN :eyes:",
        ),
        (envelope({"type": "emoji_changed", "subtype": "add", "name": "party"}), "emoji_changed add :party:"),
        (
            envelope({"type": "function_executed", "function": {"callback_id": "triage"}, "inputs": {}}),
            "function_executed triage",
        ),
        (
            envelope({"type": "file_shared", "channel_id": CHANNEL, "user_id": USER, "file_id": "F0"}),
            "file_shared in C0ROOM by U0ANN F0",
        ),
        (envelope({"type": "file_public", "file": {"id": "F0"}}), "file_public F0"),
        (
            action("block_actions", channel={"id": CHANNEL}, actions=[BUTTON]),
            "button approve by U0ANN in C0ROOM",
        ),
        (action("block_actions", actions=[]), "block_actions by U0ANN"),
        (action("message_action", user=None, message={"text": "it"}), "message_action: 'it'"),
        (action("block_suggestion", user=None, value="w"), "block_suggestion: 'w'"),
        (action("view_submission", view={"callback_id": "form"}), "view_submission form by U0ANN"),
        (action("view_closed", view={"callback_id": "form"}), "view_closed form by U0ANN"),
        (action("shortcut", callback_id="new"), "shortcut new by U0ANN"),
        (
            action("message_action", callback_id="save", channel={"id": CHANNEL}, message={"text": "hi"}),
            "message_action save by U0ANN in C0ROOM: 'hi'",
        ),
        (
            action("block_suggestion", action_id="city", value="Ber"),
            "block_suggestion city by U0ANN: 'Ber'",
        ),
        (command(), "/deploy web by U0ANN in C0ROOM"),
        (command(text=""), "/deploy by U0ANN in C0ROOM"),
        ({"type": "hologram_shown", "user": USER}, "hologram_shown by U0ANN"),
        ({"type": "x" * 200}, "x" * 80 + "…"),
        ({"type": "two\nlines"}, "two lines"),
        ({"n": 1}, "event without a type"),
    ],
)
def test_the_line_of_each_kind(payload: dict[str, Any], line: str) -> None:
    assert summarise(payload) == line


@pytest.mark.parametrize("kind", kinds.KINDS, ids=lambda kind: f"{kind.family} {kind.name}")
def test_a_kind_is_named_though_it_has_no_fields(kind: kinds.Kind) -> None:
    match kind.family:
        case "message":
            subtype = {} if kind.name == "message" else {"subtype": kind.name}
            line = summarise(envelope({"type": "message"} | subtype))
        case "event":
            line = summarise(envelope({"type": kind.name}))
        case _:
            line = summarise({"type": kind.name})
    assert line
    assert ":" not in line
    if kind.name not in {"message_changed", "message_deleted"}:
        assert kind.name in line
