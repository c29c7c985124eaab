"""Who and where each shape is about."""

from typing import Any

import pytest

from abe_redis.events.slack import (
    channel_of,
    channels_of,
    event_type,
    owners_of,
    user_of,
    users_of,
)
from abe_redis.testing import slack as makers
from tests.unit.events.shapes import (
    BY_WHAT,
    BY_WHAT_LACKS_ITS_USER,
    CHANNEL,
    MESSAGE,
    USER,
    action,
    command,
    envelope,
)


@BY_WHAT
def test_each_shape_has_its_channel_and_user(
    payload: dict[str, Any], channel: str | None, user: str | None, thread: str | None
) -> None:
    del thread
    assert (channel_of(payload), user_of(payload)) == (channel, user)
    assert channels_of(payload)[:1] == [channel] * bool(channel)
    assert users_of(payload)[:1] == [user] * bool(user)


def test_whoever_presses_a_button_does_it_and_not_who_wrote_the_message() -> None:
    assert users_of(action("block_actions", message={"user": "U0BOT"})) == [USER]


@BY_WHAT_LACKS_ITS_USER
def test_a_kind_whose_user_is_missing_is_nobodys_and_not_somebody_elses(payload: dict[str, Any]) -> None:
    assert user_of(payload) is None
    assert users_of(payload) == owners_of(payload) == []


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
