"""Each kind has its stream, which an operator may choose."""

from typing import Any

import pytest

from abe_redis.errors import InvalidNameError, SettingsError
from abe_redis.settings import Settings
from abe_redis.slack.queues import Queues, names_in
from abe_redis.slack.shapes import Sent
from abe_redis.testing import block_actions, message, slash_command, view_submission
from tests.unit.events.shapes import action, envelope

SETTINGS = Settings(slack_events_topic="slack_events")


@pytest.mark.parametrize(
    ("payload", "stream"),
    [
        (message("hi"), "slack_events"),
        (envelope({"type": "hologram_shown"}), "slack_events"),
        ({"type": "app_rate_limited", "team_id": "T0"}, "slack_events"),
        ({"type": "hologram"}, "slack_events"),
        (block_actions("go"), "slack:actions"),
        (action("interactive_message"), "slack:actions"),
        (action("hologram_touched"), "slack:actions"),
        (slash_command("/go"), "slack:commands"),
        ({"trigger_word": "go", "user_name": "ann", "text": "go"}, "slack:commands"),
        (action("shortcut"), "slack:shortcuts"),
        (action("message_action"), "slack:shortcuts"),
        (action("workflow_step_edit"), "slack:shortcuts"),
        (view_submission("form"), "slack:views"),
        (action("view_closed"), "slack:views"),
        (action("dialog_submission"), "slack:views"),
    ],
)
def test_each_kind_has_its_stream(payload: dict[str, Any], stream: str) -> None:
    sent = Sent(payload, "event")
    assert Queues.chosen(SETTINGS).of(sent) == stream
    assert Queues.chosen(SETTINGS, ["all"]).of(sent) == "all"


def test_a_listener_is_named_by_what_bolt_looks_at() -> None:
    two = block_actions("first")
    two["actions"].append({"action_id": "second"})
    assert "first" in names_in(two)
    assert "second" not in names_in(two)


@pytest.mark.parametrize(
    ("payload", "asks"),
    [
        (action("block_suggestion"), True),
        (action("interactive_message", name="menu", value="w"), True),
        (action("interactive_message", actions=[{"name": "menu"}]), False),
        (block_actions("go"), False),
    ],
)
def test_menus_that_wait_for_their_options_are_known(payload: dict[str, Any], asks: bool) -> None:
    assert Sent(payload, "interactive").asks_for_options is asks


@pytest.mark.parametrize(
    ("sent", "stream"),
    [
        (Sent({"type": "zz"}, "interactive"), "slack:actions"),
        (Sent({"type": "url_verification", "challenge": "x"}, "interactive"), "slack:actions"),
        (Sent({"type": "message", "team_id": "T0"}, "interactive"), "slack:actions"),
        (Sent(action("shortcut"), "interactive"), "slack:shortcuts"),
        (Sent(view_submission("form"), "interactive"), "slack:views"),
        (Sent(slash_command("/go") | {"type": "url_verification"}, "command"), "slack:commands"),
        (Sent(slash_command("/go") | {"type": "block_suggestion"}, "command"), "slack:commands"),
        (Sent({"command": "/go"}, "command"), "slack:commands"),
    ],
)
def test_the_form_in_which_it_came_decides_where_the_payload_does_not(sent: Sent, stream: str) -> None:
    assert Queues.chosen(SETTINGS).of(sent) == stream


def test_a_choice_is_for_one_kind_and_the_last_one_counts() -> None:
    queues = Queues.chosen(SETTINGS, ["slack:all", "actions=slack:buttons", "actions=slack:b=c"[:15]])
    assert queues == Queues("slack:all", "slack:b", "slack:all", "slack:all", "slack:all")


@pytest.mark.parametrize("choice", ["buttons=slack:x", "=slack:x", "actions=a=b"])
def test_a_choice_for_no_kind_is_refused(choice: str) -> None:
    with pytest.raises(SettingsError, match="events, actions, commands, shortcuts, views"):
        Queues.chosen(SETTINGS, [choice])


@pytest.mark.parametrize("choice", ["actions=", "", "actions=a}b", "abe:x"])
def test_a_name_that_cannot_be_a_stream_is_refused(choice: str) -> None:
    with pytest.raises(InvalidNameError):
        Queues.chosen(SETTINGS, [choice])
