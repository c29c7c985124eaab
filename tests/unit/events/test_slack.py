"""Who and where each shape is about, and what it is kept in order with."""

from typing import Any

import pytest

from abe_redis.events.slack import (
    channel_of,
    channels_of,
    conversation_of,
    event_type,
    owners_of,
    user_of,
    users_of,
)
from abe_redis.testing import slack as makers
from tests.unit.events.shapes import CHANNEL, TEAM, USER, action, command, envelope

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


@BY_WHAT
def test_each_shape_has_its_channel_and_user(
    payload: dict[str, Any], channel: str | None, user: str | None, thread: str | None
) -> None:
    del thread
    assert (channel_of(payload), user_of(payload)) == (channel, user)
    assert channels_of(payload)[:1] == [channel] * bool(channel)
    assert users_of(payload)[:1] == [user] * bool(user)


@pytest.mark.promise("`channel` (default): a channel")
@BY_WHAT
def test_each_shape_belongs_to_its_channel_then_its_user_then_its_team(
    payload: dict[str, Any], channel: str | None, user: str | None, thread: str | None
) -> None:
    root_of_thread = thread if channel is None else None
    assert conversation_of(payload) == (channel or root_of_thread)
    assert conversation_of(payload, "thread") == thread
    assert conversation_of(payload, "user") == (user or channel or root_of_thread)


def test_one_channel_is_one_conversation_whatever_the_team() -> None:
    found = {
        conversation_of(envelope(MESSAGE, team_id=team, authorizations=[{"team_id": other}]))
        for team in ("T1", "T2", None)
        for other in ("T1", "T3")
    }
    assert found == {CHANNEL}


def test_whoever_presses_a_button_does_it_and_not_who_wrote_the_message() -> None:
    assert users_of(action("block_actions", message={"user": "U0BOT"})) == [USER]


@pytest.mark.parametrize(
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
def test_a_kind_whose_user_is_missing_is_nobodys_and_not_somebody_elses(payload: dict[str, Any]) -> None:
    assert user_of(payload) is None
    assert users_of(payload) == owners_of(payload) == []
    assert conversation_of(payload, "user") in {CHANNEL, TEAM}


@pytest.mark.parametrize(
    ("event", "user"),
    [
        ({"type": "function_executed", "user": USER}, USER),
        ({"type": "assistant_thread_started", "user_id": USER}, USER),
        ({"type": "team_rename", "user": {"id": USER}}, USER),
    ],
)
def test_whoever_stands_at_the_top_of_an_event_did_it(event: dict[str, Any], user: str) -> None:
    assert users_of(envelope(event)) == owners_of(envelope(event)) == [user]


def test_a_kind_whose_channel_is_missing_does_not_take_that_of_another_thing() -> None:
    item = {"channel": "C0OTHER"}
    assert channel_of(envelope({"type": "member_joined_channel", "user": USER, "item": item})) is None
    assert channels_of(action("view_submission", assistant_thread={"channel_id": "C0OTHER"})) == []
    assert channel_of(envelope({"type": "file_created", "user": USER, "channel_id": CHANNEL})) == CHANNEL


@pytest.mark.parametrize(
    ("event", "users"),
    [
        (
            {
                "type": "message",
                "subtype": "message_changed",
                "message": {"user": "U1", "edited": {"user": "U2"}},
                "previous_message": {"user": "U3"},
            },
            {"U1", "U2", "U3"},
        ),
        ({"type": "message", "subtype": "message_deleted", "previous_message": {"user": "U3"}}, {"U3"}),
        ({"type": "message", "user": "U1", "bot_id": "B1"}, {"U1", "B1"}),
        ({"type": "reaction_added", "user": "U1", "item_user": "U2"}, {"U1"}),
    ],
)
def test_a_filter_meets_everybody_who_did_it_and_nobody_else(event: dict[str, Any], users: set[str]) -> None:
    assert set(users_of(envelope(event))) == users


@pytest.mark.parametrize(
    ("payload", "name"),
    [
        (envelope(MESSAGE | {"subtype": "file_share"}), "message"),
        (envelope({"type": "app_mention"}), "app_mention"),
        (envelope({}), None),
        (action("view_closed"), "view_closed"),
        (command(), "slash_command"),
        ({"command": "not Slack's"}, None),
        ({"command": "/deploy"}, None),
        ({"type": 7}, None),
    ],
)
def test_the_type_of_an_event(payload: dict[str, Any], name: str | None) -> None:
    assert event_type(payload) == name


def test_makers_agree_with_themselves() -> None:
    edit = makers.message_changed("b", before="a", of="1.1")["event"]
    assert edit["message"]["client_msg_id"] == edit["previous_message"]["client_msg_id"]
    share = makers.file_share("look", channel="G1")["event"]
    assert share["files"][0]["shares"]["public"]["G1"][0]["ts"] == share["ts"]
    types = {one: makers.message("hi", channel=one)["event"]["channel_type"] for one in ("C1", "D1", "G1")}
    assert types == {"C1": "channel", "D1": "im", "G1": "group"}
