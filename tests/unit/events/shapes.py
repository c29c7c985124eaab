"""Payloads of the shapes that Slack sends, made for these tests."""

from typing import Any

import pytest

TEAM, CHANNEL, USER, APP = "T0HOME", "C0ROOM", "U0ANN", "A0BOT"


def envelope(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What Slack posts around an event."""
    return {
        "type": "event_callback",
        "token": "verification",
        "team_id": TEAM,
        "api_app_id": APP,
        "event_id": "Ev0",
        "authorizations": [{"team_id": TEAM, "user_id": "U0BOT", "is_bot": True}],
        "event": event,
    } | more


def action(kind: str, **more: Any) -> dict[str, Any]:
    """What Slack posts when somebody uses something interactive."""
    return {
        "type": kind,
        "token": "verification",
        "team": {"id": TEAM, "domain": "home"},
        "user": {"id": USER, "username": "ann", "team_id": TEAM},
        "api_app_id": APP,
        "trigger_id": "1.2.abc",
    } | more


def command(**more: Any) -> dict[str, Any]:
    """What Slack posts when somebody uses a slash command."""
    return {
        "token": "verification",
        "team_id": TEAM,
        "team_domain": "home",
        "channel_id": CHANNEL,
        "channel_name": "room",
        "user_id": USER,
        "user_name": "ann",
        "command": "/deploy",
        "text": "web",
        "response_url": "https://hooks.slack.com/commands/1/2/3",
        "trigger_id": "1.2.abc",
    } | more


MESSAGE = {"type": "message", "channel": CHANNEL, "user": USER, "text": "hi", "ts": "10.1"}
ASSISTANT = {
    "user_id": USER,
    "channel_id": "D0ANN",
    "thread_ts": "10.1",
    "context": {"channel_id": "C0OTHER"},
}

SHAPES: list[tuple[str, dict[str, Any], str | None, str | None, str | None]] = [
    # what, payload, channel, user, thread
    ("a message", envelope(MESSAGE), CHANNEL, USER, f"{CHANNEL}/10.1"),
    ("a reply", envelope(MESSAGE | {"thread_ts": "9.1"}), CHANNEL, USER, f"{CHANNEL}/9.1"),
    (
        "a message of another workspace",
        envelope(MESSAGE | {"team": "T0AWAY"}, team_id="T0AWAY", context_team_id=TEAM),
        CHANNEL,
        USER,
        f"{CHANNEL}/10.1",
    ),
    (
        "an edit of a reply",
        envelope(
            {
                "type": "message",
                "subtype": "message_changed",
                "channel": CHANNEL,
                "ts": "11.1",
                "message": {"user": USER, "ts": "10.1", "thread_ts": "9.1", "edited": {"user": USER}},
                "previous_message": {"user": USER, "ts": "10.1", "thread_ts": "9.1"},
            }
        ),
        CHANNEL,
        USER,
        f"{CHANNEL}/9.1",
    ),
    (
        "a deletion",
        envelope(
            {
                "type": "message",
                "subtype": "message_deleted",
                "channel": CHANNEL,
                "ts": "11.1",
                "deleted_ts": "10.1",
                "previous_message": {"user": USER, "ts": "10.1"},
            }
        ),
        CHANNEL,
        USER,
        f"{CHANNEL}/10.1",
    ),
    (
        "a deletion of a reply",
        envelope(
            {
                "type": "message",
                "subtype": "message_deleted",
                "channel": CHANNEL,
                "deleted_ts": "10.1",
                "previous_message": {"user": USER, "ts": "10.1", "thread_ts": "9.1"},
            }
        ),
        CHANNEL,
        USER,
        f"{CHANNEL}/9.1",
    ),
    (
        "a bot's message",
        envelope(
            {"type": "message", "subtype": "bot_message", "channel": CHANNEL, "bot_id": "B0", "ts": "1.1"}
        ),
        CHANNEL,
        "B0",
        f"{CHANNEL}/1.1",
    ),
    (
        "a message of a subtype that nobody knows yet",
        envelope(MESSAGE | {"subtype": "hologram"}),
        CHANNEL,
        USER,
        f"{CHANNEL}/10.1",
    ),
    (
        "a reaction",
        envelope(
            {
                "type": "reaction_added",
                "user": USER,
                "item_user": "U0BOB",
                "item": {"type": "message", "channel": CHANNEL, "ts": "10.1"},
            }
        ),
        CHANNEL,
        USER,
        f"{CHANNEL}/10.1",
    ),
    (
        "a pin",
        envelope(
            {
                "type": "pin_added",
                "user": USER,
                "channel_id": CHANNEL,
                "item": {"channel": CHANNEL, "message": {"user": "U0BOB", "ts": "10.1", "thread_ts": "9.1"}},
            }
        ),
        CHANNEL,
        USER,
        f"{CHANNEL}/9.1",
    ),
    (
        "an assistant's thread",
        envelope({"type": "assistant_thread_started", "assistant_thread": ASSISTANT}),
        "D0ANN",
        USER,
        "D0ANN/10.1",
    ),
    (
        "another context of it",
        envelope({"type": "assistant_thread_context_changed", "assistant_thread": ASSISTANT}),
        "D0ANN",
        USER,
        "D0ANN/10.1",
    ),
    (
        "a new channel",
        envelope({"type": "channel_created", "channel": {"id": CHANNEL, "creator": USER}}),
        CHANNEL,
        USER,
        CHANNEL,
    ),
    (
        "a shared file",
        envelope({"type": "file_shared", "channel_id": CHANNEL, "user_id": USER}),
        CHANNEL,
        USER,
        CHANNEL,
    ),
    ("a file", envelope({"type": "file_created", "user_id": USER, "file_id": "F0"}), None, USER, USER),
    ("somebody's change", envelope({"type": "user_change", "user": {"id": USER}}), None, USER, USER),
    ("somebody new", envelope({"type": "team_join", "user": {"id": USER}}), None, USER, USER),
    ("another emoji", envelope({"type": "emoji_changed", "subtype": "add"}), None, None, TEAM),
    ("a removal", envelope({"type": "app_uninstalled"}), None, None, TEAM),
    (
        "a removal from an organization",
        envelope({"type": "app_uninstalled"}, team_id=None, enterprise_id="E0"),
        None,
        None,
        "E0",
    ),
    (
        "a function with a channel",
        envelope({"type": "function_executed", "inputs": {"channel_id": CHANNEL, "user_id": USER}}),
        CHANNEL,
        USER,
        CHANNEL,
    ),
    (
        "a function with whoever started it",
        envelope({"type": "function_executed", "inputs": {"interactivity": {"interactor": {"id": USER}}}}),
        None,
        USER,
        USER,
    ),
    (
        "a function with its user's context",
        envelope({"type": "function_executed", "inputs": {"user_context": {"id": USER, "secret": "s"}}}),
        None,
        USER,
        USER,
    ),
    (
        "a link in a message that is not sent yet",
        envelope({"type": "link_shared", "channel": "COMPOSER", "message_ts": "U0-9", "user": USER}),
        None,
        USER,
        USER,
    ),
    ("a function with nobody", envelope({"type": "function_executed", "inputs": {}}), None, None, TEAM),
    (
        "a button",
        action(
            "block_actions",
            channel={"id": CHANNEL, "name": "room"},
            container={"type": "message", "message_ts": "10.1", "channel_id": CHANNEL},
            message={"ts": "10.1", "user": "U0BOT"},
        ),
        CHANNEL,
        USER,
        f"{CHANNEL}/10.1",
    ),
    (
        "a button that only its container places",
        action(
            "block_actions",
            container={"type": "message", "message_ts": "10.1", "channel_id": CHANNEL, "thread_ts": "9.1"},
        ),
        CHANNEL,
        USER,
        f"{CHANNEL}/9.1",
    ),
    (
        "a button in a view",
        action("block_actions", container={"type": "view", "view_id": "V0"}),
        None,
        USER,
        USER,
    ),
    ("a view", action("view_submission", view={"callback_id": "form"}), None, USER, USER),
    (
        "a view of an organization",
        action("view_closed", team=None, user={}, enterprise={"id": "E0"}),
        None,
        None,
        "E0",
    ),
    ("a shortcut", action("shortcut", callback_id="new"), None, USER, USER),
    (
        "a shortcut on a message",
        action("message_action", channel={"id": CHANNEL}, message={"ts": "10.1", "user": "U0BOB"}),
        CHANNEL,
        USER,
        f"{CHANNEL}/10.1",
    ),
    (
        "an attachment's button",
        action("interactive_message", channel={"id": CHANNEL}),
        CHANNEL,
        USER,
        CHANNEL,
    ),
    ("a dialog", action("dialog_submission", channel={"id": CHANNEL}), CHANNEL, USER, CHANNEL),
    ("a command", command(), CHANNEL, USER, CHANNEL),
    (
        "an event that nobody knows yet",
        envelope({"type": "hologram_shown", "channel_id": CHANNEL, "user_id": USER, "message_ts": "10.1"}),
        CHANNEL,
        USER,
        f"{CHANNEL}/10.1",
    ),
    ("an event without its envelope", MESSAGE, CHANNEL, USER, f"{CHANNEL}/10.1"),
    (
        "an envelope with nothing in it",
        {"type": "event_callback", "team_id": 1, "event": "none"},
        None,
        None,
        None,
    ),
    ("ids that are none", envelope(MESSAGE | {"channel": 7, "user": ""}), None, None, TEAM),
    ("a health check", {"type": "health_check"}, None, None, None),
    ("what is not Slack's", {"n": 1}, None, None, None),
]
BY_WHAT = pytest.mark.parametrize(
    ("payload", "channel", "user", "thread"),
    [shape[1:] for shape in SHAPES],
    ids=[shape[0] for shape in SHAPES],
)
BY_WHAT_LACKS_ITS_USER = pytest.mark.parametrize(
    "payload",
    [
        *(
            action(kind, user=None, message={"user": "U0BOT"}, bot_id="B0BOT")
            for kind in ("block_actions", "block_suggestion", "message_action", "interactive_message")
        ),
        envelope({"type": "message", "message": {"user": "U0BOB"}, "previous_message": {"user": "U0BOB"}}),
        envelope({"type": "reaction_added", "item_user": "U0BOB", "message": {"user": "U0BOB"}}),
        envelope({"type": "pin_added", "item": {"message": {"user": "U0BOB"}}, "bot_id": "B0BOT"}),
        envelope({"type": "emoji_changed", "message": {"user": "U0BOB"}}),
        command(user_id="", message={"user": "U0BOB"}),
    ],
)
